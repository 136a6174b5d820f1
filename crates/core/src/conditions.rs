//! The standard `status.conditions`: one of each type, its time changes only with its status (as apimachinery's
//! `SetStatusCondition` does it).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use punching_fist_api::reasons;

/// The condition types that the controller writes. Others on the object belong to others.
pub const OURS: [&str; 7] = [
    reasons::FINISHED,
    reasons::COMPLETE,
    reasons::FAILED,
    reasons::STOPPING,
    reasons::READY,
    reasons::RECONCILING,
    reasons::STALLED,
];

/// The API server refuses longer messages of conditions.
const MESSAGE_LIMIT: usize = 32768;

/// What is said with a condition.
#[derive(Clone, Copy, Debug)]
pub struct Because<'a> {
    /// One CamelCase word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
    /// Generation of the object that was looked at.
    pub generation: i64,
    /// When.
    pub now: Timestamp,
}

/// Sets the condition of `type_`.
pub fn set(conditions: &mut Vec<Condition>, type_: &str, holds: bool, because: Because<'_>) {
    let status = if holds { "True" } else { "False" };
    let old = find(conditions, type_);
    let since = old.filter(|old| old.status == status).map_or_else(
        || Time(crate::status::whole_seconds(because.now)),
        |old| old.last_transition_time.clone(),
    );
    let new = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: because.reason.to_owned(),
        message: crate::text::cut(because.message, MESSAGE_LIMIT),
        observed_generation: Some(because.generation),
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(condition) => *condition = new,
        None => conditions.push(new),
    }
}

/// The condition of `type_`.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The condition of `type_`, if it is true.
pub fn holds<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    find(conditions, type_).filter(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_changes_only_with_the_status() {
        let mut conditions = Vec::new();
        let at = |second, reason| Because {
            reason,
            message: "",
            generation: second,
            now: Timestamp::from_second(second).unwrap(),
        };
        set(&mut conditions, "Ready", false, at(1, "Queued"));
        set(&mut conditions, "Ready", false, at(2, "Starting"));
        let ready = find(&conditions, "Ready").unwrap();
        assert_eq!((ready.reason.as_str(), ready.observed_generation), ("Starting", Some(2)));
        assert_eq!(ready.last_transition_time.0.as_second(), 1);
        assert!(holds(&conditions, "Ready").is_none());
        set(&mut conditions, "Ready", true, at(3, "Done"));
        assert_eq!(holds(&conditions, "Ready").unwrap().last_transition_time.0.as_second(), 3);
        assert_eq!(conditions.len(), 1);
    }
}
