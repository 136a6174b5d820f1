//! The long form of a result, from the end of a pod's log.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use punching_fist_api::names;
use punching_fist_core::run::ReportSource;
use punching_fist_protocol::{LongResult, RESULT_LINES_MAX};

/// How long one try may take: a node that doesn't answer holds the connection for minutes.
const TRY: Duration = Duration::from_secs(10);

/// Reads the report that `source` speaks of; none if the log can't be had, or holds none with the right hash.
pub(crate) async fn read(pods: &Api<Pod>, source: &ReportSource) -> Option<LongResult> {
    let params = LogParams {
        container: Some(names::AGENT_CONTAINER.to_owned()),
        tail_lines: i64::try_from(RESULT_LINES_MAX).ok(),
        ..LogParams::default()
    };
    let log = tokio::time::timeout(TRY, pods.logs(&source.pod, &params)).await;
    match log {
        Ok(Ok(log)) => LongResult::from_log(log.as_bytes(), &source.sha256),
        Ok(Err(error)) => {
            tracing::warn!(pod = source.pod, %error, "the agent's log can't be read");
            None
        }
        Err(_) => {
            tracing::warn!(pod = source.pod, "the node doesn't answer for the agent's log");
            None
        }
    }
}
