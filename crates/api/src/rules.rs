//! Validation that both kinds share: CEL rules, and schemas that a derive can't say.

use schemars::{Schema, SchemaGenerator, json_schema};

/// What a run is made of can't be changed once it is admitted, or closed without a run: a Job that is made again after a
/// crash would differ. `oldSelf.status` can be read here, at the root of the object, on an update of the spec.
pub(crate) const RUN_IS_IMMUTABLE: &str = "!has(oldSelf.status) || \
    !(has(oldSelf.status.job) || has(oldSelf.status.completionTime)) || \
    (has(self.spec.prompt) == has(oldSelf.spec.prompt) && \
    (!has(self.spec.prompt) || self.spec.prompt == oldSelf.spec.prompt) && \
    self.spec.agent == oldSelf.spec.agent && \
    has(self.spec.serviceAccountName) == has(oldSelf.spec.serviceAccountName) && \
    (!has(self.spec.serviceAccountName) || self.spec.serviceAccountName == oldSelf.spec.serviceAccountName) && \
    self.spec.maxRetries == oldSelf.spec.maxRetries && \
    self.spec.mode == oldSelf.spec.mode && \
    has(self.spec.timeoutSeconds) == has(oldSelf.spec.timeoutSeconds) && \
    (!has(self.spec.timeoutSeconds) || self.spec.timeoutSeconds == oldSelf.spec.timeoutSeconds) && \
    has(self.spec.cluster) == has(oldSelf.spec.cluster) && \
    (!has(self.spec.cluster) || self.spec.cluster == oldSelf.spec.cluster) && \
    has(self.spec.resources) == has(oldSelf.spec.resources) && \
    (!has(self.spec.resources) || self.spec.resources == oldSelf.spec.resources))";

/// What is said with it.
pub(crate) const RUN_IS_IMMUTABLE_MESSAGE: &str = "the run is admitted, so prompt, agent, serviceAccountName, mode, cluster, \
    maxRetries, timeoutSeconds and resources can't change any more; make a new task (suspend, cancel and \
    ttlSecondsAfterFinished stay editable)";

/// A phase that is final stays.
pub(crate) const TERMINAL_IS_FINAL: &str = "!has(oldSelf.phase) || !(oldSelf.phase in ['Succeeded', 'Failed']) || \
    (has(self.phase) && self.phase == oldSelf.phase)";

/// What is said with it.
pub(crate) const TERMINAL_IS_FINAL_MESSAGE: &str =
    "a task that is Succeeded or Failed stays so; make a new task";

/// Which incident a task belongs to can be neither changed nor added nor removed: its name was made from it. (A rule on
/// the field itself would not see it come or go.)
pub(crate) const IDENTITY_STAYS: &str = "has(self.spec.identity) == has(oldSelf.spec.identity) && \
    (!has(self.spec.identity) || self.spec.identity == oldSelf.spec.identity)";

/// What is said with it.
pub(crate) const IDENTITY_STAYS_MESSAGE: &str = "identity is immutable";

/// Most labels or annotations of an alert.
const MOST_ENTRIES: usize = 128;
/// Most characters of one of their values.
const LONGEST_VALUE: usize = 8192;

/// Labels or annotations: the derive can't bound the values of a map.
pub(crate) fn text_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": LONGEST_VALUE},
        "maxProperties": MOST_ENTRIES,
    })
}
