//! Skills: what a task's ConfigMaps teach its agent, one directory each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Instructions that every engine reads under this name.
const AGENTS: &str = "AGENTS.md";
const MCP: &str = "mcp.json";
const MCP_SERVERS: &str = "mcpServers";

/// Everything that the directories hold for an engine. Scripts stay where they are: instructions name their paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skills {
    /// Each ConfigMap's `AGENTS.md`: to be read always.
    pub instructions: Vec<Document>,
    /// Every other Markdown file: to be read where it helps.
    pub documents: Vec<Document>,
    /// The MCP servers of every `mcp.json`, by name, as `mcpServers` has them.
    pub mcp_servers: Map<String, Value>,
}

/// A Markdown file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// `CONFIGMAP-FILE`, without the ending: unlike that of any other.
    pub name: String,
    /// Where it stands.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
}

/// Why skills can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SkillError {
    /// A file or directory can't be read.
    #[error("{path} can't be read: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A list of servers is none.
    #[error("{path} has to be a JSON object with an object `mcpServers`: {problem}")]
    Servers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Two servers or documents have the same name.
    #[error(
        "{path} holds {name:?}, and another skill has an MCP server or document of that name too: rename one of them"
    )]
    SameName {
        /// The file that came later.
        path: PathBuf,
        /// The name.
        name: String,
    },
}

impl Skills {
    /// Reads the directories below `root`, in the order of their names.
    pub fn read(root: &Path) -> Result<Self, SkillError> {
        let mut skills = Self::default();
        for directory in entries(root)?.into_iter().filter(|path| path.is_dir()) {
            for file in entries(&directory)?.into_iter().filter(|path| path.is_file()) {
                skills.add(&directory, file)?;
            }
        }
        Ok(skills)
    }

    fn add(&mut self, directory: &Path, path: PathBuf) -> Result<(), SkillError> {
        let name = file_name(&path);
        if name == MCP {
            return self.add_servers(&path);
        }
        let Some(stem) = name.strip_suffix(".md") else { return Ok(()) };
        let documents = if name == AGENTS { &mut self.instructions } else { &mut self.documents };
        let name = format!("{}-{stem}", file_name(directory));
        // `a-b` with `c.md`, and `a` with `b-c.md`.
        if documents.iter().any(|document| document.name == name) {
            return Err(SkillError::SameName { path, name });
        }
        documents.push(Document { name, text: text(&path)?, path });
        Ok(())
    }

    fn add_servers(&mut self, path: &Path) -> Result<(), SkillError> {
        let wrong = |problem: String| SkillError::Servers { path: path.to_owned(), problem };
        let mut value: Value =
            serde_json::from_str(&text(path)?).map_err(|error| wrong(error.to_string()))?;
        let Some(Value::Object(servers)) = value.get_mut(MCP_SERVERS).map(Value::take) else {
            return Err(wrong("there is none".to_owned()));
        };
        for (name, server) in servers {
            if self.mcp_servers.contains_key(&name) {
                return Err(SkillError::SameName { path: path.to_owned(), name });
            }
            self.mcp_servers.insert(name, server);
        }
        Ok(())
    }
}

/// What a directory holds, by name, without the names that Kubernetes keeps a volume's versions under.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, SkillError> {
    let unreadable = |error| SkillError::Unreadable { path: directory.to_owned(), error };
    let entries =
        fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| !file_name(path).starts_with(".."));
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(path: &Path) -> Result<String, SkillError> {
    let bytes = fs::read(path).map_err(|error| SkillError::Unreadable { path: path.to_owned(), error })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory as Kubernetes mounts a ConfigMap: links into the version that holds.
    fn config_map(root: &Path, name: &str, files: &[(&str, &str)]) {
        let version = root.join(name).join("..2026_11_23");
        fs::create_dir_all(&version).expect("our own directory");
        symlink("..2026_11_23", root.join(name).join("..data")).expect("our own directory");
        for (file, text) in files {
            fs::write(version.join(file), text).expect("our own directory");
            symlink(Path::new("..data").join(file), root.join(name).join(file)).expect("our own directory");
        }
    }

    #[test]
    fn every_kind_of_file_is_found_once() {
        let root = tempfile::tempdir().expect("a directory");
        config_map(
            root.path(),
            "disk",
            &[
                ("AGENTS.md", "Be careful."),
                ("disk-pressure.md", "Look at df."),
                ("clean.sh", "#!/bin/sh"),
                ("mcp.json", r#"{"mcpServers":{"kubernetes":{"command":"kubernetes-mcp"}}}"#),
            ],
        );
        config_map(
            root.path(),
            "second",
            &[
                ("AGENTS.md", "Be kind."),
                ("mcp.json", r#"{"mcpServers":{"grafana":{"url":"http://grafana"}}}"#),
            ],
        );
        let skills = Skills::read(root.path()).expect("readable");
        let names = |documents: &[Document]| {
            documents
                .iter()
                .map(|document| format!("{}: {}", document.name, document.text))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&skills.instructions), ["disk-AGENTS: Be careful.", "second-AGENTS: Be kind."]);
        assert_eq!(names(&skills.documents), ["disk-disk-pressure: Look at df."]);
        assert_eq!(skills.documents[0].path, root.path().join("disk/disk-pressure.md"));
        assert_eq!(skills.mcp_servers.keys().collect::<Vec<_>>(), ["grafana", "kubernetes"]);
    }

    #[test]
    fn servers_that_make_no_sense_are_named() {
        for (text, problem) in [
            ("", "mcpServers"),
            ("[]", "mcpServers"),
            ("7", "mcpServers"),
            (r#"{"mcpServers":[]}"#, "mcpServers"),
            (r#"{"mcpServers":{"kubernetes":{}}}"#, "\"kubernetes\""),
        ] {
            let root = tempfile::tempdir().expect("a directory");
            config_map(root.path(), "a", &[("mcp.json", r#"{"mcpServers":{"kubernetes":{}}}"#)]);
            config_map(root.path(), "b", &[("mcp.json", text)]);
            let error = Skills::read(root.path()).expect_err(text).to_string();
            assert!(error.contains("b/mcp.json") && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn what_isnt_there_is_named() {
        let error = Skills::read(Path::new("/nowhere")).expect_err("no directory").to_string();
        assert!(error.contains("/nowhere"), "{error}");
    }
}
