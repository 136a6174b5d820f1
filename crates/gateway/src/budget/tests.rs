//! Tables, and any interleaving of replicas that reserve, settle and die.

use proptest::prelude::*;
use punching_fist_api::Usage;

use super::*;

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// The status after a write, as the next one reads it.
fn read(usage: &GatewayUsage) -> RunUsage {
    serde_json::from_value(serde_json::to_value(usage).unwrap()).unwrap()
}

fn usage(cost: &str, charges: &[(&str, i64)]) -> RunUsage {
    let in_flight = charges.iter().enumerate().map(|(index, (charge, second))| Reservation {
        id: index.to_string(),
        charge_usd: (*charge).to_owned(),
        time: Time(at(*second)),
    });
    RunUsage {
        total: Usage { cost_usd: Some(cost.to_owned()), ..Usage::default() },
        in_flight: in_flight.collect(),
    }
}

fn ask(charge: &str, budget: &str, second: i64) -> Ask {
    Ask { id: "new".to_owned(), charge: money(charge), budget: money(budget), now: at(second) }
}

fn rates(input: &str, output: &str, read: Option<&str>, write: Option<&str>) -> Rates {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let (cache_read, cache_write) = (text(read), text(write));
    let (input, output) = (input.to_owned(), output.to_owned());
    let (max_output_tokens, max_input_tokens) = (1, 1);
    Rates::of(&Prices { input, output, cache_read, cache_write, max_output_tokens, max_input_tokens })
        .unwrap()
}

#[test]
fn a_call_goes_out_while_something_is_left() {
    let open = i64::try_from(CALLS_MAX).unwrap();
    let crowd: Vec<(&str, i64)> = (0..open).map(|_| ("0.001", 0)).collect();
    let old = OVER_AFTER.as_secs() + 1;
    for (what, usage, ask, expected) in [
        ("fresh", None, ask("9", "1", 0), "admit"),
        ("a unit left", Some(usage("0.999999999999", &[])), ask("9", "1", 0), "admit"),
        ("spent", Some(usage("1", &[])), ask("0.1", "1", 0), "spent"),
        ("reserved by others", Some(usage("0.5", &[("0.5", 0)])), ask("0.1", "1", 0), "wait"),
        (
            "of which nobody says that it goes on is spent",
            Some(usage("0.5", &[("0.5", 0)])),
            ask("0.1", "1", old),
            "spent",
        ),
        ("no budget", None, ask("0.1", "0", 0), "spent"),
        ("no price", Some(usage("7", &[("7", 0)])), ask("0", "0", 0), "admit"),
        ("an amount that can't be read", Some(usage("free", &[])), ask("0.1", "99", 0), "spent"),
        ("a charge that can't be read", Some(usage("0", &[("free", 0)])), ask("0.1", "99", 0), "wait"),
        ("too many at once", Some(usage("0", &crowd)), ask("0.1", "1", 0), "crowded"),
        ("the dead make room", Some(usage("0", &crowd)), ask("0.1", "1", old), "admit"),
    ] {
        let decision = match reserve(usage.as_ref(), &ask) {
            Decision::Admit(_) => "admit",
            Decision::Wait { .. } => "wait",
            Decision::Spent(_) => "spent",
            Decision::Crowded => "crowded",
        };
        assert_eq!(decision, expected, "{what}");
    }
}

#[test]
fn a_charge_becomes_what_the_answer_said() {
    let before = usage("0.5", &[("0.2", 0)]);
    let tokens = Tokens { input: 10, output: 3, cache_read: 4, cache_write: 1 };
    for (end, cost, calls, input) in [
        (End::Free, "0.5", 0, 0),
        (End::Unknown, "0.7", 1, 0),
        (End::Used(tokens, money("0.01")), "0.51", 1, 10),
    ] {
        let after = settle(Some(&before), "0", end, at(1)).unwrap();
        assert_eq!(
            (after.cost_usd.as_str(), after.calls, after.input_tokens),
            (cost, calls, input),
            "{end:?}"
        );
        assert!(after.in_flight.is_empty());
        assert_eq!(settle(Some(&read(&after)), "0", end, at(1)), None, "it is settled once");
    }
}

#[test]
fn a_call_that_is_renewed_stays_under_way() {
    let before = usage("0.5", &[("0.2", 0), ("0.1", 0)]);
    let over = OVER_AFTER.as_secs() + 1;
    let renewed = read(&renew(Some(&before), "0", at(over - 60)).unwrap());
    let after = renew(Some(&renewed), "0", at(over)).unwrap();
    assert_eq!((after.cost_usd.as_str(), after.in_flight.len()), ("0.6", 1), "the other is over");
    assert_eq!(renew(Some(&read(&after)), "1", at(over)), None, "what is spent isn't renewed");
    let settled = settle(Some(&read(&after)), "0", End::Free, at(3 * over)).unwrap();
    assert_eq!((settled.cost_usd.as_str(), settled.in_flight.len()), ("0.6", 0));
}

#[test]
fn who_holds_a_call_knows_that_it_goes_on() {
    let over = OVER_AFTER.as_secs() + 1;
    let before = with_live(Some(&usage("0", &[("0.2", 0), ("0.1", 0)])), |id| id == "0", at(over));
    let Decision::Admit(after) = reserve(before.as_ref(), &ask("0.3", "1", over)) else { panic!("refused") };
    assert_eq!((after.cost_usd.as_str(), after.in_flight.len()), ("0.1", 2), "only the other one is spent");
    assert_eq!(with_live(None, |_| true, at(0)), None);
}

#[test]
fn every_kind_of_token_has_its_price() {
    let tokens = Tokens { input: 1_000_000, output: 100_000, cache_read: 600_000, cache_write: 300_000 };
    for (rates, cost) in [
        (rates("3", "15", Some("0.3"), Some("3.75")), "3.105"),
        (rates("3", "15", None, None), "4.725"),
        (rates("0", "0", None, None), "0"),
    ] {
        assert_eq!(rates.cost(&tokens).to_string(), cost);
    }
    assert_eq!(rates("3", "15", None, Some("3.75")).charge(1_000_000, 100_000).to_string(), "5.25");
    assert_eq!(
        rates("1", "1", None, None).charge(u64::MAX, u64::MAX),
        Money::parse("41505174165846.49113375").unwrap()
    );
    let dear = rates("999999999999999", "1", None, None).charge(u64::MAX, u64::MAX);
    assert_eq!(Money::parse(&dear.to_string()), Some(dear), "whatever is charged can be written and read");
}

#[test]
fn exactly_the_gateways_fields_are_written() {
    let before = RunUsage { total: Usage { iterations: 7, ..Usage::default() }, in_flight: Vec::new() };
    let Decision::Admit(usage) = reserve(Some(&before), &ask("0.25", "1", 0)) else { panic!("refused") };
    let written = serde_json::to_value(&usage).unwrap();
    let expected = serde_json::json!({
        "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "calls": 0, "costUSD": "0",
        "inFlight": [{"id": "new", "chargeUSD": "0.25", "time": "2023-11-14T22:13:20Z"}],
    });
    assert_eq!(written, expected);
}

/// What a replica does next.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Wants to send a call that will end so.
    Reserve { charge: u64, how: u8 },
    /// Settles one of its calls.
    Settle { which: usize },
    /// Says that one of its calls goes on.
    Renew { which: usize },
    /// Forgets its calls, as a replica that is killed.
    Die,
    /// Time passes.
    Later { minutes: i64 },
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (1_u64..400, 0_u8..3).prop_map(|(charge, how)| Deed::Reserve { charge, how }),
        3 => (0_usize..8).prop_map(|which| Deed::Settle { which }),
        2 => (0_usize..8).prop_map(|which| Deed::Renew { which }),
        1 => Just(Deed::Die),
        1 => (0_i64..9).prop_map(|minutes| Deed::Later { minutes }),
    ]
}

fn cents(count: u64) -> Money {
    money(&format!("{}.{:02}", count / 100, count % 100))
}

/// What a call comes to, and what it costs then: of what nobody knows it may be the whole charge.
fn end(how: u8, charge: Money) -> (End, Money) {
    let half = charge.for_tokens(500_000);
    match how {
        0 => (End::Free, Money::ZERO),
        1 => (End::Used(Tokens::default(), half), half),
        _ => (End::Unknown, charge),
    }
}

/// The API server: one status, and its version.
#[derive(Default)]
struct Status {
    usage: Option<RunUsage>,
    version: u64,
}

impl Status {
    /// Writes, if the version is still the one that was read.
    fn write(&mut self, usage: &GatewayUsage, version: u64) -> bool {
        if version == self.version {
            self.usage = Some(read(usage));
            self.version += 1;
        }
        version + 1 == self.version && self.usage.as_ref() == Some(&read(usage))
    }

    fn total(&self) -> Money {
        let usage = GatewayUsage::read(self.usage.as_ref());
        amount(&usage.cost_usd) + usage.reserved()
    }
}

/// A replica, and the status as it saw it last.
#[derive(Default)]
struct Replica {
    seen: Option<RunUsage>,
    version: u64,
    calls: Vec<(String, End)>,
}

/// What replicas make of a budget, and what has really come of it.
struct World {
    budget: Money,
    status: Status,
    replicas: Vec<Replica>,
    now: i64,
    dearest: Money,
    /// What all calls cost that went out, whether or not anybody lived to settle them.
    really_spent: Money,
}

impl World {
    fn new(budget: Money) -> Self {
        let replicas = (0..3).map(|_| Replica::default()).collect();
        let (dearest, really_spent) = (Money::ZERO, Money::ZERO);
        Self { budget, status: Status::default(), replicas, now: 0, dearest, really_spent }
    }

    fn look(&mut self, replica: usize) {
        let replica = &mut self.replicas[replica];
        (replica.seen, replica.version) = (self.status.usage.clone(), self.status.version);
    }

    fn does(&mut self, replica: usize, deed: Deed, number: usize) -> Result<(), TestCaseError> {
        match deed {
            Deed::Later { minutes } => self.now += minutes * 60,
            Deed::Die => self.replicas[replica].calls.clear(),
            Deed::Reserve { charge, how } => self.reserves(replica, cents(charge), how, number)?,
            Deed::Settle { which } => self.settles(replica, which)?,
            Deed::Renew { which } => self.renews(replica, which)?,
        }
        Ok(())
    }

    fn reserves(
        &mut self,
        replica: usize,
        charge: Money,
        how: u8,
        number: usize,
    ) -> Result<(), TestCaseError> {
        let replica = &mut self.replicas[replica];
        let ask = Ask { id: number.to_string(), charge, budget: self.budget, now: at(self.now) };
        let Decision::Admit(usage) = reserve(replica.seen.as_ref(), &ask) else { return Ok(()) };
        let before = self.status.total();
        if self.status.write(&usage, replica.version) {
            prop_assert!(before < self.budget, "{before} of {} was gone", self.budget);
            self.dearest = self.dearest.max(ask.charge);
            let (end, cost) = end(how, charge);
            self.really_spent = self.really_spent + cost;
            replica.calls.push((ask.id, end));
        }
        Ok(())
    }

    fn settles(&mut self, replica: usize, which: usize) -> Result<(), TestCaseError> {
        let replica = &mut self.replicas[replica];
        let Some((id, end)) = replica.calls.get(which).cloned() else { return Ok(()) };
        let before = self.status.total();
        let Some(usage) = settle(replica.seen.as_ref(), &id, end, at(self.now)) else { return Ok(()) };
        if self.status.write(&usage, replica.version) {
            prop_assert!(self.status.total() <= before, "a settlement never charges more");
            replica.calls.remove(which);
        }
        Ok(())
    }

    fn renews(&mut self, replica: usize, which: usize) -> Result<(), TestCaseError> {
        let replica = &self.replicas[replica];
        let Some((id, _)) = replica.calls.get(which) else { return Ok(()) };
        let before = self.status.total();
        let Some(usage) = renew(replica.seen.as_ref(), id, at(self.now)) else { return Ok(()) };
        if self.status.write(&usage, replica.version) {
            prop_assert_eq!(self.status.total(), before, "to go on costs nothing");
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.status.usage.iter().all(|usage| usage.in_flight.len() <= CALLS_MAX));
        let bound = self.budget + self.dearest;
        prop_assert!(self.status.total() < bound || self.dearest == Money::ZERO);
        prop_assert!(
            self.really_spent < bound || self.dearest == Money::ZERO,
            "{} was spent",
            self.really_spent
        );
        prop_assert!(self.really_spent <= self.status.total(), "the status knows of all that was spent");
        Ok(())
    }
}

proptest! {
    /// Replicas look when they like, and so decide on what is old: the version alone keeps them together. What calls have
    /// really cost never passes the budget by more than one call's charge.
    #[test]
    fn no_interleaving_passes_the_budget(
        budget in 0_u64..500,
        deeds in prop::collection::vec((0_usize..3, any::<bool>(), deed()), 1..120),
    ) {
        let mut world = World::new(cents(budget));
        for (number, (replica, looks, deed)) in deeds.into_iter().enumerate() {
            if looks {
                world.look(replica);
            }
            world.does(replica, deed, number)?;
            world.check()?;
        }
    }
}
