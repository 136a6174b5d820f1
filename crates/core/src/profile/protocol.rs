//! The two forms of API that a model behind the gateway can have, told from its name.

/// The form of a model's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's, which most others speak too.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl Protocol {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::OpenAi, Self::Anthropic];

    /// What the name of a model with that API begins with, as LiteLLM names models.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::OpenAi => "openai/",
            Self::Anthropic => "anthropic/",
        }
    }

    /// The protocol of the model of that name, and what a request calls the model; none if it is neither's.
    pub fn of(model: &str) -> Option<(Self, &str)> {
        let rest = |protocol: Self| model.strip_prefix(protocol.prefix()).filter(|name| !name.is_empty());
        Self::ALL.into_iter().find_map(|protocol| Some((protocol, rest(protocol)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_protocol() {
        for (model, protocol) in [
            ("openai/gpt", Some((Protocol::OpenAi, "gpt"))),
            ("openai/org/model", Some((Protocol::OpenAi, "org/model"))),
            ("anthropic/claude", Some((Protocol::Anthropic, "claude"))),
            ("anthropic/", None),
            ("gemini/flash", None),
            ("gpt", None),
        ] {
            assert_eq!(Protocol::of(model), protocol, "{model}");
        }
    }
}
