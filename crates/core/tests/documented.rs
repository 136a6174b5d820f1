//! The documentation names what users can meet: every reason, every exit code.

use regex::Regex;

const TASKS: &str = include_str!("../../../docs/tasks.md");

fn captured<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).filter_map(|found| found.get(1)).map(|word| word.as_str()).collect()
}

#[test]
fn every_reason_is_explained() {
    let ours = captured(r#"pub const \w+: &str = "(\w+)";"#, include_str!("../../api/src/reasons.rs"));
    let runners = captured(r#"Self::\w+ => "(\w+)""#, include_str!("../../protocol/src/exit.rs"));
    assert!(ours.len() > 20 && runners.len() > 10, "{ours:?} {runners:?}");
    let missing: Vec<_> =
        ours.iter().chain(&runners).filter(|word| !TASKS.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "docs/tasks.md does not explain {missing:?}");
}

#[test]
fn every_exit_code_is_explained() {
    for code in punching_fist_protocol::ExitCode::ALL {
        assert!(
            TASKS.contains(&format!("\n| {} |", code.as_i32())),
            "docs/tasks.md does not explain exit code {code:?}"
        );
    }
}
