//! The file `config.toml`: MCP servers, for which there are no variables.

use serde_json::{Map, Value};

use crate::judge::Fault;

/// The file with these servers, as `mcpServers` of an `mcp.json` has them; none without servers.
pub fn mcp(servers: &Map<String, Value>) -> Result<Option<String>, Fault> {
    if servers.is_empty() {
        return Ok(None);
    }
    let (mut stdio, mut sse, mut http) = (Vec::new(), Vec::new(), Vec::new());
    for (name, server) in servers {
        match (server["command"].as_str(), server["url"].as_str()) {
            (Some(command), _) => stdio.push(program(name, command, server)),
            (None, Some(url)) if server["transport"] == "sse" || server["type"] == "sse" => {
                sse.push(remote(name, url, server)?);
            }
            (None, Some(url)) => http.push(remote(name, url, server)?),
            (None, None) => return Err(refused(name, "has neither `command` nor `url`")),
        }
    }
    let list = |key: &str, servers: &[String]| match servers {
        [] => String::new(),
        _ => format!("{key} = [{}]\n", servers.join(", ")),
    };
    let lists = [list("stdio_servers", &stdio), list("sse_servers", &sse), list("shttp_servers", &http)];
    Ok(Some(format!("[mcp]\n{}", lists.concat())))
}

fn program(name: &str, command: &str, server: &Value) -> String {
    let texts =
        |value: &Value| value.as_array().into_iter().flatten().map(written).collect::<Vec<_>>().join(", ");
    let variables = server["env"].as_object().into_iter().flatten();
    let variables: Vec<String> =
        variables.map(|(name, value)| format!("{} = {}", string(name), written(value))).collect();
    format!(
        "{{ name = {}, command = {}, args = [{}], env = {{ {} }} }}",
        string(&plain(name)),
        string(command),
        texts(&server["args"]),
        variables.join(", ")
    )
}

/// It sends a key as a bearer token, and no other header.
fn remote(name: &str, url: &str, server: &Value) -> Result<String, Fault> {
    let mut key = None;
    for (header, value) in server["headers"].as_object().into_iter().flatten() {
        let bearer = value.as_str().and_then(|value| value.strip_prefix("Bearer "));
        match bearer.filter(|_| header.eq_ignore_ascii_case("authorization")) {
            Some(token) => key = Some(format!(", api_key = {}", string(token))),
            None => {
                return Err(refused(
                    name,
                    &format!("has the header {header}; this engine sends `Authorization: Bearer …` alone"),
                ));
            }
        }
    }
    Ok(format!("{{ url = {}{} }}", string(url), key.unwrap_or_default()))
}

fn refused(name: &str, problem: &str) -> Fault {
    Fault::refused(format!("the MCP server {name:?} of the task's skills {problem}"))
}

/// The engine takes letters, digits, `_` and `-` in a name.
fn plain(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' })
        .collect()
}

/// A string or a number, as a string.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| string(&value.to_string()), string)
}

/// A string of JSON is one of TOML, but for this one character.
fn string(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn servers(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(servers) => servers,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn servers_are_written_as_the_engine_reads_them() {
        let text = mcp(&servers(json!({
            "kube.mcp": { "command": "kubernetes-mcp", "args": ["--port", 0], "env": { "A": "b \"c\"" } },
            "remote": { "url": "http://mcp:80/sse", "transport": "sse", "headers": { "authorization": "Bearer t" } },
            "web": { "url": "http://mcp:80/mcp" },
        })));
        assert_eq!(
            text,
            Ok(Some(
                "[mcp]\n\
                 stdio_servers = [{ name = \"kube-mcp\", command = \"kubernetes-mcp\", args = [\"--port\", \"0\"], env = { \"A\" = \"b \\\"c\\\"\" } }]\n\
                 sse_servers = [{ url = \"http://mcp:80/sse\", api_key = \"t\" }]\n\
                 shttp_servers = [{ url = \"http://mcp:80/mcp\" }]\n"
                    .to_owned()
            ))
        );
        assert_eq!(mcp(&Map::new()), Ok(None));
    }

    #[test]
    fn what_the_engine_cant_do_is_refused_by_name() {
        for bad in
            [json!({ "odd": {} }), json!({ "odd": { "url": "http://x", "headers": { "X-Key": "k" } } })]
        {
            let fault = mcp(&servers(bad)).expect_err("refused");
            assert!(fault.text.contains("\"odd\""), "{}", fault.text);
        }
    }
}
