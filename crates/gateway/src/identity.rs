//! Who calls: the token says which pod, the pod says which run. Believed for a minute; that the run goes on is looked at
//! with every call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use punching_fist_api::{TaskKind, names};
use punching_fist_core::job;
use punching_fist_protocol::pod::variables;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::bounded::Bounded;
use crate::deadline::within;
use crate::error::Refusal;

/// How long a token that was found good is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// How long one that was found bad isn't asked about again.
const DISBELIEVED: Duration = Duration::from_secs(10);
/// How many tokens are remembered.
const TOKENS_MAX: usize = 4096;
/// How many tokens the API server is asked about at once.
const REVIEWS: usize = 16;
/// What the API server says of tokens that it has judged: made for others, of a pod or an account that is gone, old, forged.
const FINAL_ERRORS: [&str; 9] = [
    "audiences",
    "invalidated",
    "not found",
    "deleted",
    "does not match",
    "expired",
    "could not be validated",
    "cryptographic",
    "signature",
];
/// What it says if none of its ways to judge a token failed, and none knows the token.
const UNKNOWN_TOKEN: &str = "invalid bearer token";
/// A projected token has about a thousand bytes.
const TOKEN_LEN_MAX: usize = 8192;

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The run that a call belongs to, as its pod says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) kind: TaskKind,
    pub(crate) task: String,
    pub(crate) task_uid: String,
    pub(crate) job_uid: String,
    pub(crate) profile: String,
    /// What the agent was told when its Job was made, with its provider: the configuration may have changed since.
    pub(crate) model: String,
}

/// The pod that a token is bound to, and the account that the pod runs as.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    namespace: String,
    account: String,
    pod: String,
    pod_uid: String,
}

/// What is known of one token. Who asks while somebody else finds out waits for that.
type Slot = Arc<Mutex<Option<(Instant, Found)>>>;

#[derive(Clone)]
enum Found {
    Good(Arc<Caller>),
    /// The text of a refusal that asking again would not change soon.
    Bad(Badness, String),
}

#[derive(Clone, Copy)]
enum Badness {
    Token,
    Pod,
}

/// Finds out who calls.
pub(crate) struct Callers {
    client: Client,
    slots: Lock<Slots>,
    reviews: Semaphore,
}

type TokenId = [u8; 32];

/// What was once found good has a place that no flood of bad tokens takes.
struct Slots {
    good: Bounded<TokenId, Slot>,
    others: Bounded<TokenId, Slot>,
}

impl Slots {
    fn slot(&mut self, digest: TokenId) -> Slot {
        self.good.get(&digest).unwrap_or_else(|| self.others.get_or_put(digest, Slot::default))
    }
}

impl Callers {
    pub(crate) fn new(client: Client) -> Self {
        let slots = Slots { good: Bounded::new(TOKENS_MAX), others: Bounded::new(TOKENS_MAX) };
        Self { client, slots: Lock::new(slots), reviews: Semaphore::new(REVIEWS) }
    }

    /// Whose token that is.
    pub(crate) async fn find(&self, token: &str) -> Result<Arc<Caller>, Refusal> {
        let digest: TokenId = Sha256::digest(token).into();
        let slots = || self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = slots().slot(digest);
        let mut slot = shared.lock().await;
        if let Some((until, found)) = &*slot
            && Instant::now() < *until
        {
            return found.clone().into_result();
        }
        let found = match self.look(token).await {
            Ok(caller) => Found::Good(Arc::new(caller)),
            Err(Refusal::Unauthenticated(why)) => Found::Bad(Badness::Token, why),
            Err(Refusal::Refused(why)) => Found::Bad(Badness::Pod, why),
            Err(passing) => return Err(passing),
        };
        let is_good = matches!(found, Found::Good(_));
        if is_good {
            slots().good.put(digest, shared.clone());
        }
        let lasts = if is_good { BELIEVED } else { DISBELIEVED };
        *slot = Some((Instant::now() + lasts, found.clone()));
        found.into_result()
    }

    async fn look(&self, token: &str) -> Result<Caller, Refusal> {
        let bound = bound(token, self.review(token).await?)?;
        let pods = Api::<Pod>::namespaced(self.client.clone(), &bound.namespace);
        let pod = within(pods.get_opt(&bound.pod)).await.map_err(|error| away("reading the pod", &error))?;
        let pod = pod.ok_or_else(|| Refusal::Refused(format!("the pod {} is gone", bound.pod)))?;
        let caller = caller(&bound, &pod);
        let caller = caller.map_err(|why| Refusal::Refused(format!("the pod {} {why}", bound.pod)))?;
        // A word that is final would end the run, of which only this attempt is over: its agent is told to stop next.
        if pod.metadata.deletion_timestamp.is_some() {
            return Err(Refusal::Unavailable(format!("the pod {} is being deleted", bound.pod)));
        }
        Ok(caller)
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, Refusal> {
        let _place = self.reviews.acquire().await; // It is never closed.
        let spec = TokenReviewSpec {
            audiences: Some(vec![names::AUDIENCE_GATEWAY.to_owned()]),
            token: Some(token.to_owned()),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let params = PostParams::default();
        let review = within(reviews.create(&params, &review)).await;
        Ok(review.map_err(|error| away("reviewing a token", &error))?.status.unwrap_or_default())
    }
}

impl Found {
    fn into_result(self) -> Result<Arc<Caller>, Refusal> {
        match self {
            Self::Good(caller) => Ok(caller),
            Self::Bad(Badness::Token, why) => Err(Refusal::Unauthenticated(why)),
            Self::Bad(Badness::Pod, why) => Err(Refusal::Refused(why)),
        }
    }
}

/// A refusal that passes when the API server answers again.
pub(crate) fn away(doing: &'static str, error: &dyn std::error::Error) -> Refusal {
    tracing::warn!(%error, doing, "the API server didn't answer as it should; the agent is asked to try again");
    Refusal::Unavailable(format!(
        "the Kubernetes API server doesn't answer ({doing}); it is worth trying again"
    ))
}

/// The token of a request: OpenAI's clients send it as bearer token, Anthropic's as `x-api-key`.
pub(crate) fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = bearer.or(text("x-api-key"));
    token.filter(|token| looks_like_one(token)).ok_or_else(|| {
        let message = "the token of the agent's pod is asked for, as bearer token or x-api-key";
        Refusal::Unauthenticated(message.to_owned())
    })
}

/// What is no JWT isn't worth a call of the API server.
fn looks_like_one(token: &str) -> bool {
    token.len() <= TOKEN_LEN_MAX && token.split('.').filter(|part| !part.is_empty()).count() == 3
}

/// What kept the API server from judging a token.
#[derive(Debug, thiserror::Error)]
#[error("a token can't be judged: {0}")]
struct Undecided(String);

/// An error beside the verdict may mean that the token wasn't judged at all, as when a webhook or etcd is away.
fn is_undecided(token: &str, error: &str) -> bool {
    let is_final =
        error.is_empty() || error == UNKNOWN_TOKEN || FINAL_ERRORS.iter().any(|known| error.contains(known));
    !is_final && expiry(token).is_none_or(|expiry| expiry > Timestamp::now())
}

fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

fn bound(token: &str, status: TokenReviewStatus) -> Result<Bound, Refusal> {
    let refuse = |why: &str| Refusal::Unauthenticated(format!("the token isn't taken: {why}"));
    let ours = status.audiences.iter().flatten().any(|audience| audience == names::AUDIENCE_GATEWAY);
    let error = status.error.as_deref().unwrap_or_default();
    if status.authenticated != Some(true) && is_undecided(token, error) {
        return Err(away("reviewing a token", &Undecided(error.to_owned())));
    }
    if status.authenticated != Some(true) || !ours {
        return Err(refuse("it is no valid one for this gateway, or its pod is gone"));
    }
    let user = status.user.unwrap_or_default();
    let account = user.username.as_deref().and_then(|name| name.strip_prefix("system:serviceaccount:"));
    let (namespace, account) =
        account.and_then(|name| name.split_once(':')).ok_or_else(|| refuse("it is no ServiceAccount's"))?;
    let extra = user.extra.unwrap_or_default();
    let one = |name| extra.get(name).and_then(|values| values.first()).cloned();
    let (pod, pod_uid) = one(POD_NAME).zip(one(POD_UID)).ok_or_else(|| refuse("it is not bound to a pod"))?;
    Ok(Bound { namespace: namespace.to_owned(), account: account.to_owned(), pod, pod_uid })
}

/// The run of a pod; else why it is no agent's.
fn caller(bound: &Bound, pod: &Pod) -> Result<Caller, &'static str> {
    let spec_account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let checks = [
        (pod.metadata.uid.as_deref() == Some(&bound.pod_uid), "is another one than the token's"),
        (spec_account.unwrap_or("default") == bound.account, "runs as another ServiceAccount"),
        (!matches!(phase, Some("Succeeded" | "Failed")), "has ended"),
        (is_agents(pod.labels()), "is no agent's"),
    ];
    if let Some((_, why)) = checks.into_iter().find(|(holds, _)| !holds) {
        return Err(why);
    }
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let job = owner.filter(|owner| owner.kind == "Job" && owner.api_version == "batch/v1");
    let label = |name| pod.labels().get(name).cloned().ok_or("lacks a label");
    let task_uid = label(names::LABEL_TASK_ID)?;
    if !job::has_made(&task_uid, &bound.pod) {
        return Err("isn't named after its task's Job");
    }
    Ok(Caller {
        namespace: bound.namespace.clone(),
        pod: bound.pod.clone(),
        kind: kind(pod.labels()).ok_or("doesn't say the kind of its task")?,
        task: pod.annotations().get(names::ANNOTATION_TASK).cloned().ok_or("doesn't name its task")?,
        task_uid,
        job_uid: job.map(|job| job.uid.clone()).ok_or("belongs to no Job")?,
        profile: label(names::LABEL_PROFILE)?,
        model: model(pod).ok_or("doesn't say its model")?,
    })
}

fn model(pod: &Pod) -> Option<String> {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let agent = containers.find(|container| container.name == names::AGENT_CONTAINER)?;
    // Of two with one name the last one counts.
    let mut variables = agent.env.iter().flatten();
    variables.rfind(|variable| variable.name == variables::LLM_MODEL)?.value.clone()
}

fn is_agents(labels: &BTreeMap<String, String>) -> bool {
    let wanted = [(names::LABEL_APP, names::APP), (names::LABEL_COMPONENT, names::COMPONENT_AGENT)];
    wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|label| label == value))
}

fn kind(labels: &BTreeMap<String, String>) -> Option<TaskKind> {
    let label = labels.get(names::LABEL_KIND)?;
    [TaskKind::AlertTask, TaskKind::MaintenanceTask].into_iter().find(|kind| kind.as_str() == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_verdict_or_passes() {
        let token = |exp: i64| format!("a.{}.c", URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#)));
        let now = Timestamp::now().as_second();
        for (token, error, undecided) in [
            (token(now + 60), "", false),
            (token(now + 60), "invalid bearer token", false),
            (token(now + 60), "[invalid bearer token, Token has been invalidated]", false),
            (
                token(now + 60),
                "[invalid bearer token, token audiences [\"a\"] is invalid for the target audiences [\"b\"]]",
                false,
            ),
            (token(now + 60), "[invalid bearer token, service account token has expired]", false),
            (token(now + 60), "[invalid bearer token, context deadline exceeded]", true),
            (token(now + 60), "etcdserver: request timed out", true),
            (token(now - 60), "etcdserver: request timed out", false),
            ("a.b.c".to_owned(), "etcdserver: request timed out", true),
        ] {
            assert_eq!(is_undecided(&token, error), undecided, "{token} {error}");
        }
    }

    #[test]
    fn bad_tokens_push_no_good_one_out() {
        let mut slots = Slots { good: Bounded::new(2), others: Bounded::new(2) };
        let slot = slots.slot([0; 32]);
        slots.good.put([0; 32], slot.clone());
        for bad in 1..=9 {
            slots.slot([bad; 32]);
        }
        assert!(Arc::ptr_eq(&slot, &slots.slot([0; 32])));
    }
}
