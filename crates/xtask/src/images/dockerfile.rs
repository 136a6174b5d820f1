//! A Dockerfile, read as far as mistakes can be seen without Docker.

use std::collections::BTreeMap;

/// Our own images bring their user with them.
const OURS: &str = "ghcr.io/punching-fist/";
const EMPTY: &str = "scratch";

/// A Dockerfile's instructions.
pub struct Dockerfile {
    instructions: Vec<Instruction>,
}

struct Instruction {
    line: usize,
    name: String,
    words: Vec<String>,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
pub struct Complaint {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub text: String,
}

impl Dockerfile {
    /// Reads the instructions, with the defaults of `ARG` put in where `FROM` names them.
    pub fn parse(text: &str) -> Self {
        let mut instructions = Vec::new();
        let mut defaults = BTreeMap::new();
        for (line, logical) in logical_lines(text) {
            let mut words = logical.split_whitespace().map(str::to_owned);
            let Some(name) = words.next().map(|name| name.to_uppercase()) else { continue };
            let mut words: Vec<String> = words.collect();
            if name == "ARG" {
                defaults.extend(words.iter().filter_map(|word| word.split_once('=')).map(owned));
            } else if name == "FROM" {
                words = words.iter().map(|word| substitute(word, &defaults)).collect();
            }
            instructions.push(Instruction { line, name, words });
        }
        Self { instructions }
    }

    /// Everything that is wrong; `has` tells whether the build's directory has a path.
    pub fn complaints(&self, has: impl Fn(&str) -> bool) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        let mut stages: Vec<&str> = Vec::new();
        for instruction in &self.instructions {
            let found = match instruction.name.as_str() {
                "FROM" => instruction.words.first().and_then(|image| floating(image, &stages)),
                "COPY" => copied(instruction, &stages, &has),
                "ADD" => Some("ADD unpacks and downloads by surprise: use COPY".to_owned()),
                _ => None,
            };
            complaints.extend(found.map(|text| Complaint { line: instruction.line, text }));
            if let ("FROM", [_, _, stage]) = (instruction.name.as_str(), &instruction.words[..]) {
                stages.push(stage);
            }
        }
        complaints.extend(self.user());
        complaints
    }

    /// Kubernetes' `runAsNonRoot` can't tell of a name whether it is root's.
    fn user(&self) -> Option<Complaint> {
        let last = self.instructions.iter().rposition(|instruction| instruction.name == "FROM")?;
        let stage = &self.instructions[last..];
        if stage[0].words.first().is_some_and(|image| image.starts_with(OURS)) {
            return None;
        }
        let user = stage.iter().rfind(|instruction| instruction.name == "USER");
        let Some(user) = user else {
            return Some(Complaint { line: stage[0].line, text: "the last stage names no USER".to_owned() });
        };
        let is_number = |id: &str| id.parse::<u32>().is_ok_and(|id| id > 0);
        let named = user.words.first().is_some_and(|ids| !ids.split(':').all(is_number));
        let text = "USER has to be a number, and not 0".to_owned();
        named.then_some(Complaint { line: user.line, text })
    }
}

/// What is wrong with an image's name: without a tag, or with `latest`, it is another one tomorrow.
fn floating(image: &str, stages: &[&str]) -> Option<String> {
    if image == EMPTY || stages.contains(&image) || image.contains("@sha256:") {
        return None;
    }
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    (tag.is_none() || tag == Some("latest"))
        .then(|| format!("{image} is another image tomorrow: name its version"))
}

fn copied(copy: &Instruction, stages: &[&str], has: &impl Fn(&str) -> bool) -> Option<String> {
    let (options, paths): (Vec<_>, Vec<_>) = copy.words.iter().partition(|word| word.starts_with("--"));
    if let Some(from) = options.iter().find_map(|option| option.strip_prefix("--from=")) {
        let unknown = !stages.contains(&from);
        return unknown.then(|| format!("no stage before is called {from}"));
    }
    let (_, sources) = paths.split_last()?;
    let missing = sources.iter().find(|source| !has(source))?;
    Some(format!("{missing} isn't there, or .dockerignore keeps it away"))
}

/// Lines with those that continue them, without comments, each with its number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let part = line.trim_end().trim_end_matches('\\');
        match lines.last_mut().filter(|_| continues) {
            Some((_, whole)) => whole.push_str(part),
            None => lines.push((index + 1, part.to_owned())),
        }
        continues = line.trim_end().ends_with('\\');
    }
    lines
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn substitute(word: &str, defaults: &BTreeMap<String, String>) -> String {
    defaults.iter().fold(word.to_owned(), |word, (name, value)| word.replace(&format!("${{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# why\nARG BASE=rust:1.95\nFROM ${BASE} AS build\nCOPY here ./\nRUN make \\\n    # why\n    all\n\
                        FROM scratch\nCOPY --from=build /a /a\nUSER 65532:65532\n";

    fn complaints(text: &str) -> Vec<(usize, String)> {
        let found = Dockerfile::parse(text).complaints(|path| path == "here");
        found.into_iter().map(|complaint| (complaint.line, complaint.text)).collect()
    }

    #[test]
    fn a_good_one_is_left_alone() {
        assert_eq!(complaints(GOOD), []);
        assert_eq!(complaints("FROM ghcr.io/punching-fist/punching-fist-agent:0.1.0\n"), []);
    }

    #[test]
    fn each_mistake_is_seen_at_its_line() {
        for (good, bad, line, word) in [
            ("rust:1.95", "rust", 3, "rust is another"),
            ("rust:1.95", "rust:latest", 3, "latest"),
            ("rust:1.95", "host:5000/rust", 3, "host:5000/rust"),
            ("COPY here", "COPY here there", 4, "there"),
            ("COPY here", "ADD here", 4, "ADD"),
            ("--from=build", "--from=other", 9, "other"),
            ("USER 65532:65532", "USER nobody", 10, "number"),
            ("USER 65532:65532", "USER 0", 10, "number"),
            ("USER 65532:65532\n", "", 8, "no USER"),
        ] {
            let found = complaints(&GOOD.replace(good, bad));
            assert!(
                matches!(&found[..], [(at, text)] if *at == line && text.contains(word)),
                "{bad}: {found:?}"
            );
        }
    }
}
