//! What the names of members and types say, however a server spells them: `imageUrl` is `image_url`.

use std::borrow::Cow;

/// Members that name what lies at the provider, or where it is to connect to.
const STORED: [&str; 6] =
    ["file_id", "file_ids", "vector_store_ids", "mcp_servers", "server_url", "connector_id"];
/// Words of members that the provider fetches unless they hold the data themselves.
const ADDRESSES: [&str; 5] = ["url", "urls", "uri", "uris", "href"];
/// Words of what has more tokens than its bytes tell.
const MEDIA: [&str; 13] = [
    "image",
    "images",
    "video",
    "videos",
    "file",
    "files",
    "document",
    "documents",
    "media",
    "mime",
    "pdf",
    "screenshot",
    "screenshots",
];
/// Words of what has prices of its own.
const SOUND: [&str; 2] = ["audio", "audios"];
/// Members whose content is anybody's: it is shown to the model, or ignored.
const ANYTHING: [&str; 12] = [
    "input_schema",
    "output_schema",
    "input_examples",
    "parameters",
    "schema",
    "json_schema",
    "arguments",
    "action",
    "operation",
    "metadata",
    "client_metadata",
    "chat_template_kwargs",
];
/// Members that hold text for the model, or a name that the caller chose: these may be an address.
const TEXTS: [&str; 30] = [
    "text",
    "content",
    "input",
    "output",
    "system",
    "instructions",
    "prompt",
    "suffix",
    "stop",
    "stop_sequences",
    "thinking",
    "reasoning",
    "reasoning_content",
    "summary",
    "refusal",
    "description",
    "title",
    "name",
    "path",
    "diff",
    "stdout",
    "stderr",
    "result",
    "cited_text",
    "user",
    "model",
    "id",
    "call_id",
    "tool_call_id",
    "prompt_cache_key",
];
/// Members of a tool that runs where the client is.
const TOOL: [&str; 25] = [
    "type",
    "name",
    "description",
    "function",
    "custom",
    "format",
    "parameters",
    "strict",
    "input_schema",
    "output_schema",
    "input_examples",
    "cache_control",
    "defer_loading",
    "allowed_callers",
    "eager_input_streaming",
    "configs",
    "max_characters",
    "display_width",
    "display_height",
    "display_width_px",
    "display_height_px",
    "display_number",
    "enable_zoom",
    "environment",
    "tools",
];
/// Tools that run where the client is: exactly these, or with a date behind.
const CLIENT_TOOLS: [&str; 10] = [
    "function",
    "custom",
    "namespace",
    "local_shell",
    "apply_patch",
    "bash_",
    "text_editor_",
    "computer",
    "computer_",
    "memory_",
];
/// Members of which other values cost more than the profile's prices say: a longer life in the provider's cache, more
/// than one model at work, calls of tools by programs that the provider runs.
const VALUES: [(&str, &[&str]); 3] = [
    ("ttl", &["5m", "30m"]),
    ("mode", &["standard", "auto", "required", "none", "implicit", "explicit"]),
    ("allowed_callers", &["direct"]),
];
/// Items that have the provider read more than the body, or write more than the answer.
const ITEMS: [&str; 2] = ["item_reference", "compaction_trigger"];

/// A name as the APIs spell it.
pub(crate) fn plain(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let mut plain = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_small {
            plain.push('_');
        }
        after_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        plain.push(letter.to_ascii_lowercase());
    }
    Cow::Owned(plain)
}

fn has_word(name: &str, words: &[&str]) -> bool {
    name.split(['_', '-', '.']).any(|word| words.contains(&word))
}

pub(crate) fn is_stored(name: &str) -> bool {
    STORED.contains(&name)
}

/// Whether the provider may fetch what stands there.
pub(crate) fn is_address(name: &str) -> bool {
    name == "file_data" || has_word(name, &ADDRESSES)
}

pub(crate) fn is_media(name: &str) -> bool {
    has_word(name, &MEDIA)
}

pub(crate) fn is_sound(name: &str) -> bool {
    has_word(name, &SOUND)
}

pub(crate) fn is_anything(name: &str) -> bool {
    ANYTHING.contains(&name)
}

pub(crate) fn is_text(name: &str) -> bool {
    TEXTS.contains(&name)
}

pub(crate) fn is_of_tool(name: &str) -> bool {
    TOOL.contains(&name)
}

pub(crate) fn is_client_tool(kind: &str) -> bool {
    CLIENT_TOOLS.iter().any(|known| kind == *known || (known.ends_with('_') && kind.starts_with(known)))
}

pub(crate) fn is_costly_item(kind: &str) -> bool {
    ITEMS.contains(&kind)
}

/// The values that such a member may have; none if any will do.
pub(crate) fn values(name: &str) -> Option<&'static [&'static str]> {
    VALUES.iter().find(|(known, _)| *known == name).map(|(_, values)| *values)
}
