//! Routes: which alerts ask for work, and what is made of them.

mod matcher;
mod parse;

use std::collections::BTreeMap;

use punching_fist_api::{Alert, AlertRouteSpec, RouteRef};

pub use matcher::{Matcher, MatcherError};

use crate::notification::Notification;

/// Name of the route that the operator's configuration holds.
pub const DEFAULT: &str = "default";

/// What the default route takes: everything but what asks for nothing. Watchdog fires for ever by design, InfoInhibitor
/// only silences others, and our own alerts would make a failed task make a task.
pub const DEFAULT_MATCHERS: [&str; 2] =
    [r#"alertname!~"Watchdog|InfoInhibitor|PunchingFist.*""#, r#"severity!~"none|info""#];

/// The default route's matchers and policy; its template is the configuration's.
pub fn default_spec() -> AlertRouteSpec {
    AlertRouteSpec { matchers: DEFAULT_MATCHERS.map(str::to_owned).into(), ..AlertRouteSpec::default() }
}

/// A route, its matchers read.
#[derive(Clone, Debug)]
pub struct Route {
    namespace: String,
    name: String,
    spec: AlertRouteSpec,
    matchers: Vec<Matcher>,
}

impl Route {
    /// Reads the matchers; the error names the one that can't be read.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        spec: AlertRouteSpec,
    ) -> Result<Self, MatcherError> {
        let matchers =
            spec.matchers.iter().map(|text| Matcher::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let matchers = matchers.into_iter().flatten().collect();
        Ok(Self { namespace: namespace.into(), name: name.into(), spec, matchers })
    }

    /// Its namespace, in which its tasks are made: never one that an alert names.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it asks for.
    pub fn spec(&self) -> &AlertRouteSpec {
        &self.spec
    }

    /// What its tasks point to it with.
    pub fn reference(&self) -> RouteRef {
        RouteRef { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Whether an alert with these labels is taken.
    pub fn takes(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// The notification with the alerts that are taken, and those that are not.
    pub fn split(&self, mut notification: Notification) -> (Notification, Vec<Alert>) {
        let (taken, left) =
            std::mem::take(&mut notification.alerts).into_iter().partition(|alert| self.takes(&alert.labels));
        notification.alerts = taken;
        (notification, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_default_route_takes_what_asks_for_work() {
        let route = Route::new("agents", DEFAULT, default_spec()).unwrap();
        for (alert, taken) in [
            (labels(&[("alertname", "KubePodCrashLooping"), ("severity", "warning")]), true),
            (labels(&[("alertname", "KubePodCrashLooping")]), true),
            (labels(&[("alertname", "WatchdogBites"), ("severity", "critical")]), true),
            (labels(&[]), true),
            (labels(&[("alertname", "Watchdog"), ("severity", "none")]), false),
            (labels(&[("alertname", "Watchdog")]), false),
            (labels(&[("alertname", "InfoInhibitor")]), false),
            (labels(&[("alertname", "CPUThrottlingHigh"), ("severity", "info")]), false),
            (labels(&[("alertname", "Anything"), ("severity", "none")]), false),
            (labels(&[("alertname", "PunchingFistTaskFailed"), ("severity", "critical")]), false),
            (labels(&[("alertname", "PunchingFist")]), false),
        ] {
            assert_eq!(route.takes(&alert), taken, "{alert:?}");
        }
    }

    #[test]
    fn one_alert_of_a_group_can_be_taken_alone() {
        let route = Route::new("agents", DEFAULT, default_spec()).unwrap();
        let alert = |name: &str| Alert { labels: labels(&[("alertname", name)]), ..Alert::default() };
        let group =
            Notification { alerts: vec![alert("Watchdog"), alert("Real")], ..Notification::default() };
        let (taken, left) = route.split(group);
        assert_eq!((taken.alerts, left), (vec![alert("Real")], vec![alert("Watchdog")]));
    }

    #[test]
    fn a_route_without_matchers_takes_everything() {
        let route = Route::new("agents", "all", AlertRouteSpec::default()).unwrap();
        assert!(route.takes(&labels(&[("alertname", "Watchdog")])));
    }

    #[test]
    fn a_bad_matcher_is_named() {
        let spec =
            AlertRouteSpec { matchers: vec!["a=b".into(), "severity".into()], ..AlertRouteSpec::default() };
        let error = Route::new("agents", "bad", spec).unwrap_err().to_string();
        assert!(error.contains("`severity`") && error.contains("operator"), "{error}");
    }
}
