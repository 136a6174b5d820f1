//! What a prompt is about: the namespace, the workload and the pod that its labels name.
//!
//! A prompt holds text that somebody else has chosen, and what is found here becomes part of a shell command: only what
//! is a name in Kubernetes is taken, and a longer text that begins like one is not.

/// What to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) namespace: Option<String>,
    /// What the names of the pods begin with.
    pub(super) workload: Option<String>,
}

const WORKLOADS: [&str; 5] = ["pod", "deployment", "statefulset", "daemonset", "job_name"];
/// Words that follow `namespace` in a sentence and aren't its name.
const FILLERS: [&str; 12] =
    ["and", "are", "for", "has", "in", "is", "of", "or", "that", "to", "where", "which"];

impl Subject {
    pub(super) fn of(prompt: &str) -> Self {
        let namespace = value(prompt, "exported_namespace")
            .or_else(|| value(prompt, "namespace"))
            .or_else(|| after_blank(prompt, "namespace"))
            .or_else(|| after_blank(prompt, "-n"));
        let exported = value(prompt, "exported_pod");
        let workload = exported.or_else(|| WORKLOADS.into_iter().find_map(|label| value(prompt, label)));
        Self { namespace, workload }
    }
}

/// The value of a label, as JSON, YAML or Prometheus write it: `"namespace": "shop"`, `namespace: shop`,
/// `namespace="shop"`.
fn value(prompt: &str, label: &str) -> Option<String> {
    occurrences(prompt, label).find_map(|rest| {
        let rest = rest.trim_start_matches('"').trim_start();
        let rest = rest.strip_prefix([':', '='])?.trim_start_matches(' ').trim_start_matches('"');
        name_at_start(rest)
    })
}

fn after_blank(prompt: &str, word: &str) -> Option<String> {
    let mut names = occurrences(prompt, word)
        .filter_map(|rest| name_at_start(rest.strip_prefix(' ')?.trim_start_matches('`')));
    names.find(|name| !FILLERS.contains(&name.as_str()))
}

/// What follows each occurrence of `word` as a word.
fn occurrences<'a>(prompt: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let in_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
    prompt.match_indices(word).filter_map(move |(at, found)| {
        let rest = &prompt[at + found.len()..];
        let whole = !prompt[..at].ends_with(in_word) && !rest.starts_with(in_word);
        whole.then_some(rest)
    })
}

/// A name of Kubernetes, if one stands there and ends there.
pub(super) fn name_at_start(text: &str) -> Option<String> {
    let end = text.find(|character: char| !is_name(character)).unwrap_or(text.len());
    let name = text[..end].trim_end_matches('.');
    let ends =
        !text[end..].starts_with(|after: char| after.is_alphanumeric() || "_$\\/;|&<>(".contains(after));
    let good = !name.is_empty()
        && name.len() <= 253
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    (good && ends).then(|| name.to_owned())
}

fn is_name(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_however_they_are_written() {
        let both = (Some("shop"), Some("checkout"));
        let table = [
            (r#"{"commonLabels":{"namespace":"shop","deployment":"checkout"}}"#, both),
            (r#"{"namespace": "shop", "deployment": "checkout"}"#, both),
            ("- namespace: shop\n- deployment: checkout\n", both),
            (r#"up{namespace="shop",deployment="checkout"}"#, both),
            (r#"{"namespace":"monitoring","exported_namespace":"shop","exported_pod":"checkout"}"#, both),
            ("`namespace`, `pod` may describe the exporter; namespace: shop, pod: checkout", both),
            ("Which pods of namespace default are not healthy?", (Some("default"), None)),
            ("somewhere in namespace shop. Find it.", (Some("shop"), None)),
            ("Look with kubectl -n shop", (Some("shop"), None)),
            ("in all namespaces, or a namespace that is broken", (None, None)),
            ("Is everything well?", (None, None)),
        ];
        for (prompt, (namespace, workload)) in table {
            let subject = Subject::of(prompt);
            assert_eq!(
                (subject.namespace.as_deref(), subject.workload.as_deref()),
                (namespace, workload),
                "{prompt}"
            );
        }
    }

    #[test]
    fn what_is_no_name_does_not_reach_a_command() {
        for bad in
            ["shop;reboot", "$(reboot)", "shop$(reboot)", "-rf", "Shop", "shop|sh", "", "../etc", "shop_1"]
        {
            let prompt = format!(r#"{{"namespace":"{bad}","pod":"{bad}"}}"#);
            assert_eq!(Subject::of(&prompt), Subject::default(), "{bad}");
        }
    }
}
