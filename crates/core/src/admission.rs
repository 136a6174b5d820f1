//! Whose turn it is: which waiting tasks may have a Job now, under the limits of the operator and of each profile.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use punching_fist_api::TaskKind;

use crate::profile::Settings;

/// A task that waits for its Job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Alerts come before maintenance: this order is the kinds' own.
    pub kind: TaskKind,
    /// Then who waits longest.
    pub created: Timestamp,
    /// Then any order that every replica agrees on.
    pub uid: String,
    /// The profile whose limit counts.
    pub profile: String,
}

/// Runs that hold a slot: UID of the task, and its profile.
pub type Taken = HashMap<String, String>;

/// The candidates that may start now, in their order. A profile that is full holds nobody else up.
pub fn admit(mut candidates: Vec<Candidate>, taken: &Taken, settings: &Settings) -> Vec<Candidate> {
    candidates.retain(|candidate| !taken.contains_key(&candidate.uid));
    candidates.sort();
    let mut free = settings.max_concurrent.saturating_sub(taken.len());
    let mut running: BTreeMap<&str, usize> = BTreeMap::new();
    for profile in taken.values() {
        *running.entry(profile).or_default() += 1;
    }
    let mut admitted = Vec::new();
    for candidate in &candidates {
        let limit = settings.profile(&candidate.profile).map_or(0, |profile| profile.max_concurrent);
        let running = running.entry(&candidate.profile).or_default();
        if free > 0 && *running < limit {
            free -= 1;
            *running += 1;
            admitted.push(candidate.clone());
        }
    }
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tests::settings;

    fn candidate(uid: &str, kind: TaskKind, created: i64, profile: &str) -> Candidate {
        let created = Timestamp::from_second(created).unwrap();
        Candidate { kind, created, uid: uid.to_owned(), profile: profile.to_owned() }
    }

    fn taken(runs: &[(&str, &str)]) -> Taken {
        runs.iter().map(|(uid, profile)| ((*uid).to_owned(), (*profile).to_owned())).collect()
    }

    /// Three in all, two of `openhands`, two of `other`.
    fn admitted(candidates: Vec<Candidate>, taken: &Taken) -> Vec<String> {
        let mut settings = settings();
        settings.max_concurrent = 3;
        let mut profile = settings.profiles["openhands"].clone();
        profile.max_concurrent = 2;
        settings.profiles.insert("other".to_owned(), profile.clone());
        settings.profiles.insert("openhands".to_owned(), profile);
        admit(candidates, taken, &settings).into_iter().map(|candidate| candidate.uid).collect()
    }

    #[test]
    fn alerts_before_maintenance_then_the_older_then_the_uid() {
        use TaskKind::{AlertTask, MaintenanceTask};
        let waiting = vec![
            candidate("d", MaintenanceTask, 1, "other"),
            candidate("c", AlertTask, 9, "openhands"),
            candidate("b", AlertTask, 5, "other"),
            candidate("a", AlertTask, 9, "openhands"),
        ];
        assert_eq!(admitted(waiting, &taken(&[])), ["b", "a", "c"]);
    }

    #[test]
    fn a_full_profile_holds_nobody_else_up() {
        let waiting = vec![
            candidate("a", TaskKind::AlertTask, 1, "openhands"),
            candidate("b", TaskKind::MaintenanceTask, 2, "other"),
        ];
        assert_eq!(admitted(waiting, &taken(&[("x", "openhands"), ("y", "openhands")])), ["b"]);
    }

    #[test]
    fn nobody_starts_past_the_limit_and_nobody_twice() {
        let one = || vec![candidate("a", TaskKind::AlertTask, 1, "openhands")];
        assert!(admitted(one(), &taken(&[("x", "other"), ("y", "other"), ("z", "openhands")])).is_empty());
        assert!(admitted(one(), &taken(&[("a", "openhands")])).is_empty());
        let unknown = vec![candidate("a", TaskKind::AlertTask, 1, "nobody")];
        assert!(admitted(unknown, &taken(&[])).is_empty());
    }
}
