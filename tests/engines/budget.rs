//! What a run of a real engine spends beyond its budget, in calls of the model: one at most, whatever becomes of the two
//! replicas behind the gateway's Service. Every answer costs a dollar here.

use std::time::Duration;

use punching_fist_api::{MaintenanceTask, Phase, TaskStatus};
use punching_fist_e2e::money::{Spent, dollar, prices};
use punching_fist_e2e::{Failure, Outcome, Replica, Space, until};
use punching_fist_testkit::scripted_model::{Behaviour, Request, Step};
use punching_fist_testkit::wait;
use serde_json::{Value, json};

use crate::engine::{Engine, IMPATIENT};
use crate::runs::{LIMIT, end, word};
use crate::table::{Key, Place, Row};
use crate::{SERVICE, settings};

/// Where it is told.
pub const TABLE: Place = Place {
    file: "docs/gateway.md",
    head: "| the run | engine | attempts | calls let through | budget | spent | beyond it, in calls | phase | reason |\n|---|---|---|---|---|---|---|---|---|\n",
};
/// What is run if nobody asks for more: the others take minutes, of the processors or of the clock.
const IN_BRIEF: [(Engine, &str); 5] = [
    (Engine::Sdk, "killed-in-brief"),
    (Engine::Command, "one-by-one"),
    (Engine::Command, "to-the-cent"),
    (Engine::Command, "in-parallel"),
    (Engine::Command, "three-attempts"),
];
/// Commands that a conversation has run when the provider fails.
const UNTIL_FAULT: usize = 2;

/// As patient as the engines are by themselves, without their pauses.
const PATIENT: [(&str, &str); 2] = [("LLM_RETRY_MIN_WAIT", "1"), ("LLM_RETRY_MAX_WAIT", "1")];

/// One kind of run that goes on until it is stopped.
pub struct Case {
    /// In names of objects.
    pub name: &'static str,
    /// In the table.
    title: &'static str,
    budget: &'static str,
    behaviour: fn() -> Behaviour,
    /// Tokens that are reserved for an answer; it takes 100.
    reserved: u32,
    env: &'static [(&'static str, &'static str)],
    /// Whether the agent's shell calls the model too.
    is_parallel: bool,
    /// Whether the replica with the second call is killed.
    kills: bool,
    attempts: usize,
}

const PLAIN: Case = Case {
    name: "",
    title: "",
    budget: "4.5",
    behaviour: works,
    reserved: 100,
    env: &IMPATIENT,
    is_parallel: false,
    kills: false,
    attempts: 1,
};

const CASES: [Case; 6] = [
    Case { name: "one-by-one", title: "calls in turn, by two replicas", ..PLAIN },
    Case {
        name: "to-the-cent",
        title: "calls in turn, the budget is a whole number of them",
        budget: "4",
        ..PLAIN
    },
    Case {
        name: "in-parallel",
        title: "six more calls at once, by the agent's shell",
        behaviour: works_in_parallel,
        is_parallel: true,
        ..PLAIN
    },
    Case {
        name: "three-attempts",
        title: "provider fails in the third call of an attempt",
        behaviour: works_until_fault,
        attempts: 3,
        ..PLAIN
    },
    Case {
        name: "killed-for-good",
        title: "replica killed in the second call",
        behaviour: works_in_spite,
        env: &PATIENT,
        kills: true,
        ..PLAIN
    },
    Case {
        name: "killed-in-brief",
        title: "replica killed in the second call, half of its cost was reserved",
        budget: "4",
        behaviour: works_in_spite,
        reserved: 50,
        env: &PATIENT,
        kills: true,
        ..PLAIN
    },
];

/// One engine in one case.
pub struct Run {
    pub engine: Engine,
    pub case: &'static Case,
    /// The name of its profile and its task.
    pub profile: String,
}

impl Run {
    /// Every engine in every case, case by case.
    pub fn all() -> Vec<Self> {
        let new = |engine: Engine, case: &'static Case| {
            let profile = format!("{}-{}", engine.name(), case.name);
            Self { engine, case, profile }
        };
        CASES.iter().flat_map(|case| Engine::ALL.map(|engine| new(engine, case))).collect()
    }

    /// Whether it is run where nobody asks for a case.
    pub fn is_in_brief(&self) -> bool {
        IN_BRIEF.contains(&(self.engine, self.case.name))
    }

    /// What its row in the docs is found by.
    pub fn key(&self) -> Key {
        [self.case.title.to_owned(), format!("`{}`", self.engine.name())]
    }

    /// How its model behaves.
    pub fn behaviour(&self) -> Behaviour {
        (self.case.behaviour)()
    }

    /// What its profile says besides the model.
    pub fn profile(&self) -> Value {
        let mut profile = self.engine.profile(self.case.env.iter());
        profile["prices"] = prices(self.case.reserved);
        profile
    }

    /// Runs it to its end: its row.
    pub async fn play(&self, space: &Space) -> Result<Row, Failure> {
        let doomed = if self.case.kills { Some(self.doomed(space).await?) } else { None };
        let task = self.begin(space).await?;
        let uid = task.metadata.uid.ok_or("no UID")?;
        if let Some(doomed) = doomed {
            SERVICE.favours(&uid, doomed.gateway());
            self.is_under_way(space).await?;
            doomed.operator().await.kill().await?;
        }
        let ended = end(space, &self.profile).await?;
        self.check(&ended, SERVICE.replicas_of(&uid))?;
        self.check_parallel(space)?;
        let spent = self.settled(space).await?;
        self.row(&ended, spent)
    }

    async fn begin(&self, space: &Space) -> Result<MaintenanceTask, Failure> {
        let agent = json!({ "profile": self.profile, "maxCostUSD": self.case.budget });
        let spec = json!({ "prompt": "Find out why the disk is full.", "maxRetries": 2, "agent": agent });
        space.task_with(&self.profile, spec).await
    }

    /// A replica of which the Service doesn't know yet.
    async fn doomed(&self, space: &Space) -> Result<Replica, Failure> {
        space.world().start(settings(&format!("doomed-{}", self.profile))).await
    }

    /// Waits for the second call.
    async fn is_under_way(&self, space: &Space) -> Outcome {
        let model = space.world().model(&self.profile);
        let asked_twice = async || (model.requests().len() == 2).then_some(());
        Ok(wait::until_within(LIMIT, "the model is asked twice", asked_twice).await?)
    }

    fn check(&self, ended: &TaskStatus, replicas: usize) -> Outcome {
        let (phase, reason) = (ended.phase, ended.reason.as_deref());
        let last = ended.attempts.last().map(|attempt| (attempt.exit_code, attempt.reason.as_deref()));
        let is_right = (phase, reason) == (Some(Phase::Failed), Some("BudgetExceeded"))
            && last == Some((Some(12), Some("BudgetExceeded")))
            && ended.attempts.len() == self.case.attempts;
        if is_right && replicas > 1 {
            return Ok(());
        }
        let (attempts, said) = (&ended.attempts, &ended.last_error);
        Err(format!("{phase:?} {reason:?} {attempts:?} {said:?}, by {replicas} replicas").into())
    }

    /// The shell's calls were let through beside the engine's.
    fn check_parallel(&self, space: &Space) -> Outcome {
        let requests = space.world().model(&self.profile).requests();
        let of_shell =
            requests.iter().filter(|request| request.body["messages"][0]["content"] == BESIDE).count();
        let is_right =
            if self.case.is_parallel { of_shell > 1 && of_shell < requests.len() } else { of_shell == 0 };
        if is_right {
            Ok(())
        } else {
            Err(format!("{of_shell} calls of {} are the shell's", requests.len()).into())
        }
    }

    /// What it has cost when all of its calls are known that the model has answered, or never will.
    async fn settled(&self, space: &Space) -> Result<Spent, Failure> {
        let requests = || space.world().model(&self.profile).requests();
        let answered = async || requests().iter().filter(|request| !self.fails(request)).count();
        let look = async || {
            let task = space.api::<MaintenanceTask>().get(&self.profile).await.ok()?;
            let spent = Spent::read(&task.status?.task).ok()?;
            (spent.calls == answered().await).then_some(spent)
        };
        until("as many calls in the status as at the model", look).await
    }

    /// Whether the provider fails at this request: that costs nothing.
    fn fails(&self, request: &Request) -> bool {
        let messages = request.body["messages"].as_array().into_iter().flatten();
        let commands = messages.filter(|message| message["role"] == "tool").count();
        self.case.attempts > 1 && commands >= UNTIL_FAULT
    }

    fn row(&self, ended: &TaskStatus, spent: Spent) -> Result<Row, Failure> {
        let beyond = spent.dollars - self.case.budget.parse::<f64>()?;
        if !(0.0..=1.0).contains(&beyond) {
            return Err(
                format!("{} calls for {} dollars: {beyond} too many", spent.calls, spent.dollars).into()
            );
        }
        let cells = [
            ended.attempts.len().to_string(),
            spent.calls.to_string(),
            self.case.budget.to_owned(),
            spent.dollars.to_string(),
            format!("+{beyond}"),
            word(ended.phase),
            ended.reason.clone().unwrap_or_default(),
        ];
        Ok(Row::new(self.key(), cells))
    }
}

/// Works for ever; no command twice, as an agent that repeats itself is stopped for that.
fn works() -> Behaviour {
    Behaviour::Steps((1..=9).map(work).collect())
}

fn work(number: u32) -> Step {
    dollar(Step::Shell(format!("echo step {number}; sleep 0.5")))
}

/// As [`works`], and the second answer takes longer than anybody waits.
fn works_in_spite() -> Behaviour {
    let late = Step::Wait(Duration::from_secs(1000), Box::new(work(2)));
    Behaviour::Steps([work(1), late].into_iter().chain((3..=9).map(work)).collect())
}

/// Every conversation works until the provider fails.
fn works_until_fault() -> Behaviour {
    Behaviour::EachTime(
        (0..UNTIL_FAULT).zip(1..).map(|(_, number)| work(number)).chain([Step::Status(500)]).collect(),
    )
}

/// Has its shell call the model too, with the pod's token, while it goes on. Each answer takes a second.
fn works_in_parallel() -> Behaviour {
    let first = dollar(Step::Shell(PARALLEL.to_owned()));
    let late = |number| Step::Wait(Duration::from_secs(1), Box::new(work(number)));
    Behaviour::Steps([first].into_iter().chain((2..=9).map(late)).collect())
}

/// What the shell says to the model.
const BESIDE: &str = "beside";
/// Calls of the shell that the engine doesn't wait for; one command, as no engine takes more at once.
const PARALLEL: &str = r#"body='{
  "model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": "beside"}],
  "tools": [{"type": "function", "function": {"name": "terminal", "parameters": {"properties": {"command": {}}}}}]
}' && token=$(cat "$PUNCHING_FIST_TOKEN_FILE") && for number in 1 2 3 4 5 6; do
  curl --silent --header "Authorization: Bearer $token" --header 'Content-Type: application/json' --data "$body" \
    "$LLM_BASE_URL/chat/completions" > /dev/null 2>&1 &
done && echo asked"#;
