//! Reading what kubectl prints: which pods are broken, what a container's last words were, what it is configured by.

use super::prompt::name_at_start;

/// A line of `kubectl get pods`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodLine {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) restarts: u32,
    /// Every container is ready.
    ready: bool,
}

/// A pod on its way to one of these is nothing to worry about.
const TRANSIENT: [&str; 4] = ["Completed", "ContainerCreating", "PodInitializing", "Terminating"];
/// What the line that matters usually says.
const COMPLAINTS: [&str; 8] =
    ["fatal", "panic", "invalid", "exception", "error", "failed", "cannot", "refused"];

impl PodLine {
    pub(super) fn is_broken(&self) -> bool {
        let running = self.status == "Running";
        self.restarts > 0
            || (running && !self.ready)
            || !(running || TRANSIENT.contains(&self.status.as_str()))
    }

    fn read(line: &str, columns: &[&str]) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |column: &str| words.get(columns.iter().position(|name| *name == column)?).copied();
        let (up, all) = word("READY")?.split_once('/')?;
        let whole = |text: &str| name_at_start(text).filter(|name| name.len() == text.len());
        Some(Self {
            // A pod of which one doesn't know the namespace isn't looked at, if there is a column for it.
            namespace: if columns.contains(&"NAMESPACE") { Some(whole(word("NAMESPACE")?)?) } else { None },
            name: whole(word("NAME")?)?,
            status: word("STATUS")?.to_owned(),
            restarts: word("RESTARTS")?.parse().ok()?,
            ready: up == all,
        })
    }
}

/// The table of `kubectl get pods`, in all namespaces or in one.
pub(super) fn pods(output: &str) -> Vec<PodLine> {
    let mut lines = output.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    lines.filter_map(|line| PodLine::read(line, &columns)).collect()
}

/// The line of a log that says what went wrong: the last complaint, else the last line.
pub(super) fn last_words(log: &str) -> Option<&str> {
    let complains = |line: &&str| {
        let line = line.to_lowercase();
        COMPLAINTS.iter().any(|word| line.contains(word))
    };
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let last = lines.clone().next();
    lines.find(complains).or(last)
}

/// The ConfigMaps that `kubectl describe pod` names: as environment, of single variables, as volumes.
pub(super) fn config_maps(description: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut volume = false;
    for line in description.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = match words.as_slice() {
            [name, "ConfigMap", "Optional:", _] => Some(*name),
            ["Name:", name] if volume => Some(*name),
            _ => line.split_once("of config map '").and_then(|(_, rest)| rest.split('\'').next()),
        };
        volume = line.starts_with("Type:") && line.contains("ConfigMap");
        found.extend(name.and_then(name_at_start).filter(|name| name != "kube-root-ca.crt"));
    }
    found.dedup();
    found
}

/// What a description says about the container's end and about what went wrong with the pod.
pub(super) fn highlights(description: &str) -> String {
    let starts = ["Controlled By:", "Last State:", "Reason:", "Message:", "Exit Code:", "Warning"];
    let lines =
        description.lines().map(str::trim).filter(|line| starts.iter().any(|start| line.starts_with(start)));
    lines.take(14).collect::<Vec<_>>().join("\n")
}

/// The last warning among the pod's Events.
pub(super) fn last_warning(description: &str) -> Option<&str> {
    description.lines().map(str::trim).rfind(|line| line.starts_with("Warning"))
}

/// The Deployment of a pod, by its ReplicaSet's name.
pub(super) fn deployment(description: &str) -> Option<String> {
    let owner = description.lines().find_map(|line| line.trim().strip_prefix("Controlled By:"))?.trim();
    let (name, _) = owner.strip_prefix("ReplicaSet/")?.rsplit_once('-')?;
    name_at_start(name)
}

/// The setting of a ConfigMap, in YAML, that a complaint is about: its key and value.
pub(super) fn blamed_setting(yaml: &str, complaint: &str) -> Option<(String, String)> {
    let data =
        yaml.lines().skip_while(|line| *line != "data:").skip(1).take_while(|line| line.starts_with(' '));
    let entries = data
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split_once(": "));
    let mut entries = entries.map(|(key, value)| (key, value.trim_matches(['"', '\''])));
    let (key, value) = entries.find(|(key, _)| names(complaint, key))?;
    Some((key.to_owned(), value.to_owned()))
}

fn names(complaint: &str, key: &str) -> bool {
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut found = complaint.match_indices(key);
    found.any(|(at, _)| {
        !complaint[..at].ends_with(in_word) && !complaint[at + key.len()..].starts_with(in_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_pods_are_told_from_others() {
        let table = "NAME       READY   STATUS             RESTARTS        AGE\n\
                     a-1        1/1     Running            0               5m\n\
                     b-1        0/1     CrashLoopBackOff   5 (2m ago)      5m\n\
                     c-1        1/1     Running            2 (10s ago)     5m\n\
                     d-1        0/1     Completed          0               5m\n\
                     e-1        0/1     ImagePullBackOff   0               5m\n\
                     f-1        0/1     Running            0               5m\n\
                     ;reboot    0/1     Error              0               5m\n";
        let broken: Vec<_> = pods(table).into_iter().filter(PodLine::is_broken).map(|pod| pod.name).collect();
        assert_eq!(broken, ["b-1", "c-1", "e-1", "f-1"]);
        let all = pods("NAMESPACE  NAME  READY  STATUS  RESTARTS\nshop  x  0/1  Error  1\n");
        assert_eq!((all[0].namespace.as_deref(), all[0].restarts), (Some("shop"), 1));
        assert_eq!(pods("No resources found in shop namespace."), []);
        assert_eq!(pods(""), []);
    }

    #[test]
    fn the_line_that_matters_is_found() {
        let log = "INFO starting\nFATAL invalid configuration: X=\"a\"\nINFO bye\n\n";
        assert_eq!(last_words(log), Some("FATAL invalid configuration: X=\"a\""));
        assert_eq!(last_words("one\ntwo\n"), Some("two"));
        assert_eq!(last_words(" \n"), None);
    }

    #[test]
    fn a_description_names_its_config_maps() {
        let description = "Controlled By:  ReplicaSet/checkout-7d9f\n\
            \x20   Environment Variables from:\n      checkout-config  ConfigMap  Optional: false\n\
            \x20     URL:  <set to the key 'url' of config map 'urls'>  Optional: false\n\
            Volumes:\n  files:\n    Type:      ConfigMap (a volume populated by a ConfigMap)\n    Name:      files\n\
            \x20 kube-api-access:\n    ConfigMapName:           kube-root-ca.crt\n";
        assert_eq!(config_maps(description), ["checkout-config", "urls", "files"]);
        assert_eq!(deployment(description).as_deref(), Some("checkout"));
    }

    #[test]
    fn a_setting_is_blamed_by_its_name() {
        let yaml = "apiVersion: v1\ndata:\n  PAYMENT_TIMEOUT: 30 seconds\n  URL: \"http://x\"\n  file: |\n    URL2: y\nkind: ConfigMap\n";
        let blamed = |complaint| blamed_setting(yaml, complaint);
        assert_eq!(
            blamed("PAYMENT_TIMEOUT=\"30 seconds\" is bad"),
            Some(("PAYMENT_TIMEOUT".into(), "30 seconds".into()))
        );
        assert_eq!(blamed("no URL"), Some(("URL".into(), "http://x".into())));
        assert_eq!(blamed("URL2 and MY_URL"), None);
    }
}
