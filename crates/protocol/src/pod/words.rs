//! Words that stand in the variables. The operator's configuration has them too.

use std::str::FromStr;

use serde::Deserialize;

/// The word is none of those that are known, which are these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord(pub &'static [&'static str]);

/// Each word stands in one place: the configuration reads it there, the pod gets it and the runner knows it.
macro_rules! words {
    ($($(#[$of_all:meta])* $name:ident { $($(#[$of_one:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of_one])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord(&[$($word),*])),
                }
            }
        }
    )*};
}

words! {
    /// Which program works in the container.
    Engine {
        /// `punching-fist-agent`: our own program around the OpenHands SDK.
        #[default]
        Sdk = "sdk",
        /// `openhands --headless`: the OpenHands CLI.
        Cli = "cli",
        /// `python -m openhands.core.main`: OpenHands 0.39 to 1.6.
        Main = "main",
        /// Any program that writes a result file.
        Command = "command",
    }

    /// How the engine `main` runs tools.
    Runtime {
        /// As processes of the pod (`RUNTIME=cli`): OpenHands 0.40 and later.
        #[default]
        Cli = "cli",
        /// In a container of the node's Docker daemon: a privileged pod with Docker's socket. OpenHands 0.39 knows no other.
        Docker = "docker",
    }

    /// What an agent is there for.
    Mode {
        /// To look.
        #[default]
        Investigate = "Investigate",
        /// To mend.
        Remediate = "Remediate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_writes_the_runner_reads() {
        for engine in [Engine::Sdk, Engine::Cli, Engine::Main, Engine::Command] {
            assert_eq!(engine.as_str().parse(), Ok(engine));
            assert_eq!(serde_json::from_value::<Engine>(engine.as_str().into()).expect("a word"), engine);
        }
        assert_eq!("podman".parse::<Runtime>(), Err(UnknownWord(&["cli", "docker"])));
        assert_eq!("remediate".parse::<Mode>(), Err(UnknownWord(&["Investigate", "Remediate"])));
    }

    #[test]
    fn our_python_knows_the_same_modes() {
        let settings = include_str!("../../../../agent/punching_fist_agent/settings.py");
        let modes = [Mode::Investigate, Mode::Remediate].map(Mode::as_str);
        assert!(settings.contains(&format!("MODES = (\"{}\")", modes.join("\", \""))));
    }
}
