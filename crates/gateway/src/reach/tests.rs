//! What passes and what doesn't, and what counts as more than its bytes.

use super::*;

#[test]
fn what_reaches_out_is_named() {
    for (body, why) in [
        (r#"{"m":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}"#, "\"url\""),
        (r#"{"m":[{"type":"input_image","image_url":"https://a/b"}]}"#, "\"image_url\""),
        (r#"{"m":[{"type":"input_image","image\u005furl":" \u0068ttp://a"}]}"#, "\"image_url\""),
        (r#"{"m":[{"source":{"type":"url","url":"HTTP://a/b"}}]}"#, "\"url\""),
        (r#"{"m":[{"url":"https://a","url":"data:,a"}]}"#, "\"url\""),
        (r#"{"m":[{"type":"input_file","file_url":"https://a"}]}"#, "\"file_url\""),
        (r#"{"m":[{"file":{"file_data":"https://a"}}]}"#, "\"file_data\""),
        (r#"{"m":[{"source":{"type":"file","file_id":"f"}}]}"#, "\"file_id\""),
        (r#"{"input":[{"type":"item_reference","id":"i"}]}"#, "item_reference"),
        (r#"{"input":[{"type":null,"id":"i"}]}"#, "nothing but an \"id\""),
        (r#"{"mcp_servers":[{"name":"a"}]}"#, "mcp_servers"),
        (r#"{"tools":[{"type":"function"},{"type":"web_search"}]}"#, "\"web_search\""),
        (r#"{"tools":[{"type":"web_fetch_20250910","name":"f"}]}"#, "web_fetch"),
        (r#"{"tools":[{"type":"code_execution_20250522"}]}"#, "code_execution"),
        (r#"{"tools":[{"type":"mcp","server_url":"https://a"}]}"#, "\"mcp\""),
        (r#"{"tools":[{"type":"function","type":"mcp"}]}"#, "twice"),
        (r#"{"tools":[{"type":"mcp","type":null}]}"#, "twice"),
        (r#"{"type":"tool_use","input":[{"image_url":"https://a"}]}"#, "image_url"),
        (r#"{"m":[{"cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#, "\"1h\""),
        (r#"{"m":[{"cache_control":{"type":"ephemeral","ttl":3600}}]}"#, "\"ttl\""),
        (r#"{"m":[{"type":"video","video":["http://evil/x"]}]}"#, "\"video\""),
        (r#"{"m":[{"type":"image","image":" gs://bucket/x"}]}"#, "\"image\""),
        (r#"{"m":[{"type":"image_url","imageUrl":{"URL":"https://a/b"}}]}"#, "\"url\""),
        (r#"{"m":[{"fileData":{"fileUri":"files/1"}}]}"#, "\"file_uri\""),
        (r#"{"m":[{"type":"input_audio","input_audio":{"data":"http://evil/x"}}]}"#, "input_audio"),
        (r#"{"m":[{"type":"input_audio","input_audio":{"data":"aaaa"}}]}"#, "input_audio"),
        (r#"{"m":[{"image_url":{"url":"data:audio/mp3;base64,aaaa"}}]}"#, "a sound"),
        (r#"{"input":[{"type":"compaction_trigger"}]}"#, "compaction_trigger"),
        (r#"{"reasoning":{"effort":"low","mode":"pro"}}"#, "\"pro\""),
    ] {
        let error = look(body.as_bytes()).unwrap_err();
        assert!(error.contains(why), "{body}: {error}");
    }
}

#[test]
fn tools_are_the_clients() {
    for (body, why) in [
        (r#"{"tools":[{"google_search":{}}]}"#, "\"google_search\" of a tool"),
        (r#"{"tools":[{"url_context":{},"name":"f","input_schema":{}}]}"#, "\"url_context\" of a tool"),
        (
            r#"{"tools":[{"type":"function","function":{},"codeExecution":{}}]}"#,
            "\"code_execution\" of a tool",
        ),
        (r#"{"tools":{"google_search":{}}}"#, "\"google_search\" of a tool"),
        (r#"{"tools":[{"function":{"name":"f"}}]}"#, "without a type"),
        (r#"{"tools":[{"name":"web_search"}]}"#, "without a type"),
        (r#"{"tools":[{"type":"advisor_20260301","name":"advisor","model":"dear"}]}"#, "advisor_20260301"),
        (r#"{"tools":[{"type":"namespace","tools":[{"type":"mcp"}]}]}"#, "\"mcp\""),
        (r#"{"tools":[{"name":"f","input_schema":{},"allowed_callers":["direct","code"]}]}"#, "\"code\""),
        (
            r#"{"m":[{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"web_search_1"}}}]}"#,
            "web_search_1",
        ),
        (r#"{"input":[{"type":"additional_tools","tools":[{"type":"image_generation"}]}]}"#, "image_gen"),
    ] {
        let error = look(body.as_bytes()).unwrap_err();
        assert!(error.contains(why), "{body}: {error}");
    }
}

#[test]
fn a_context_is_cleared_and_not_summed_up() {
    for (edits, passes) in [
        (
            r#"{"edits":[{"type":"clear_tool_uses_20250919","trigger":{"type":"input_tokens","value":1}}]}"#,
            true,
        ),
        (
            r#"{"edits":[{"type":"clear_thinking_20251015","keep":{"type":"thinking_turns","value":1}}]}"#,
            true,
        ),
        (r#"{"edits":[]}"#, true),
        (r#"{"edits":[{"type":"clear_a"},{"type":"compact_20260112"}]}"#, false),
        (r#"{"edits":[{"trigger":1}]}"#, false),
        (r#"[{"type":"compaction","compact_threshold":1000}]"#, false),
        (r#"{"compaction":{}}"#, false),
    ] {
        let body = format!(r#"{{"context_management":{edits}}}"#);
        assert_eq!(look(body.as_bytes()).is_ok(), passes, "{body}: {:?}", look(body.as_bytes()));
    }
}

#[test]
fn what_may_have_more_tokens_than_bytes_is_seen() {
    for (body, media) in [
        (r#"{"m":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aaaa"}}]}"#, true),
        (r#"{"m":[{"type":"image","source":{"type":"base64","data":"aaaa"}}]}"#, true),
        (r#"{"m":[{"type":"document","source":{"type":"base64","data":"JVBER"}}]}"#, true),
        (r#"{"m":[{"content":[{"type":"tool_result","content":[{"type":"image"}]}]}]}"#, true),
        (r#"{"input":[{"type":"input_file","file_data":"JVBER"}]}"#, true),
        (r#"{"input":[{"type":"computer_call_output","output":{"type":"computer_screenshot"}}]}"#, true),
        (r#"{"m":[{"video":["aaaa"]}]}"#, true),
        (r#"{"m":[{"inlineData":{"mimeType":"a","data":"aaaa"}}]}"#, true),
        (r#"{"m":[{"anything":"data:application/pdf;base64,aaaa"}]}"#, true),
        (r#"{"m":[{"content":"data: {\"a\": 1}"},{"content":"data:image/png;base64,aaaa"}]}"#, false),
        (r#"{"m":[{"type":"tool_use","input":{"file_text":"a","type":"image"}}]}"#, false),
        (r#"{"input":[{"type":"apply_patch_call","operation":{"type":"create_file"}}]}"#, false),
        (r#"{"tools":[{"type":"text_editor_20250728","name":"a"}]}"#, false),
        (r#"{"tools":[{"name":"f","input_schema":{"properties":{"image":{"type":"file"}}}}]}"#, false),
        (r#"{"m":[{"images":[],"image_url":null}],"metadata":{"file":1}}"#, false),
    ] {
        assert_eq!(look(body.as_bytes()), Ok(media), "{body}");
    }
}

#[test]
fn names_are_read_in_any_spelling() {
    for (written, plain) in [
        ("image_url", "image_url"),
        ("imageUrl", "image_url"),
        ("FILE_ID", "file_id"),
        ("ServerURL", "server_url"),
    ] {
        assert_eq!(names::plain(written), plain);
    }
}

#[test]
fn what_an_agent_says_passes() {
    for body in [
        r#"{"m":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aaaa"}}]}"#,
        r#"{"m":[{"type":"input_image","image_url":"DATA:image/png;base64,aaaa","file_id":null}]}"#,
        r#"{"m":[{"source":{"type":"base64","data":"aaaa"}},{"file":{"file_data":"JVBERi0x"}}]}"#,
        r#"{"m":[{"role":"user","content":"look at https://a/b"}]}"#,
        r#"{"model":"hf://org/m","prompt_cache_key":"task://a","m":[{"tool_call_id":"a://b"}]}"#,
        r#"{"m":[{"source":{"type":"text","data":"https://a is down\nlog"}}]}"#,
        r#"{"m":[{"type":"tool_use","id":"t","input":{"url":"https://a","file_id":1}}]}"#,
        r#"{"m":[{"id":"t","input":{"url":"https://a"},"type":"tool_use"}]}"#,
        r#"{"m":[{"type":"function_call","arguments":"{\"url\":\"https://a\"}"}]}"#,
        r#"{"tools":[{"type":"function","function":{"parameters":{"properties":{"url":{"type":"string","default":"https://a"}}}}}]}"#,
        r#"{"tools":[{"name":"f","input_schema":{"properties":{"file_id":{"type":"string"},"type":{"type":"string"}}}}]}"#,
        r#"{"tools":[{"type":"bash_20250124","name":"bash"},{"type":"custom"},{"type":"local_shell"}]}"#,
        r#"{"input":[{"type":"reasoning","id":"r","encrypted_content":"a"},{"role":"user","content":"a"}]}"#,
        r#"{"tools":[{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"f"}]}]}"#,
        r#"{"tools":[{"type":"custom","name":"f","format":{"type":"grammar","definition":"x"}}]}"#,
        r#"{"tools":[{"name":"f","input_schema":{},"input_examples":[{"url":"https://a"}],"strict":true}]}"#,
        r#"{"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]}}"#,
        r#"{"m":[{"content":"https://a/b"},{"content":[{"type":"text","text":"https://a/b"}]}]}"#,
        r#"{"m":[{"role":"assistant","audio":null,"reasoning_content":"https://a"}],"stop":["https://"]}"#,
        r#"{"prompt_cache_options":{"mode":"explicit","ttl":"30m"},"truncation":"auto"}"#,
        r#"{"metadata":{"url":"https://a"},"system":[{"cache_control":{"type":"ephemeral","ttl":"5m"}}]}"#,
    ] {
        assert!(look(body.as_bytes()).is_ok(), "{body}: {:?}", look(body.as_bytes()));
    }
}

#[test]
fn what_nests_too_deep_is_refused() {
    assert!(look(format!("{{\"a\":{}", "[".repeat(1_000_000)).as_bytes()).is_err());
}
