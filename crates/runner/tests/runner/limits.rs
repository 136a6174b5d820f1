//! The built runner keeps an attempt within its limits, and the gateway's word comes before all others.

use std::fs;

use punching_fist_protocol::{Event, REDACTED, Reason};

use crate::support::{FINISH, Pod, RUNNING};

fn usage(fields: &str) -> String {
    format!(r#"echo '{{"kind":"usage","calls":1,{fields}}}'"#)
}

#[test]
fn steps_are_limited() {
    let ended =
        Pod::new(&format!("{}\n{}\nsleep 600", usage(r#""iterations":10"#), usage(r#""iterations":11"#)))
            .run();
    let short = ended.ended_with(12, Reason::IterationLimit);
    assert_eq!(short.usage.iterations, 11);
    assert!(short.error.is_some_and(|error| error.contains("more than 10 steps")));
    let allowed = Pod::new(&format!("{}\n{FINISH}", usage(r#""iterations":10"#))).run();
    allowed.ended_with(0, Reason::VerdictReached);
}

#[test]
fn money_is_limited() {
    let pod = |fields: &str| {
        Pod::new(&format!("{}\nsleep 600", usage(fields))).with("PUNCHING_FIST_MAX_COST_USD", "0.50")
    };
    let prices = |pod: Pod| {
        pod.with("LLM_INPUT_COST_PER_TOKEN", "0.0000025").with("LLM_OUTPUT_COST_PER_TOKEN", "0.00001")
    };
    let told = r#""costUSD":"0.5""#;
    let counted = r#""inputTokens":100000,"outputTokens":30000"#;
    for pod in [pod(told), prices(pod(told)), prices(pod(counted))] {
        let ended = pod.run();
        let short = ended.ended_with(12, Reason::BudgetExceeded);
        assert!(short.error.is_some_and(|error| error.contains("of 0.50")));
        assert!(short.usage.cost_usd.is_some_and(|cost| cost.starts_with("0.5")));
    }
    for fields in [r#""costUSD":"0.4999""#, counted] {
        let script = format!("{}\n{FINISH}", usage(fields));
        Pod::new(&script)
            .with("PUNCHING_FIST_MAX_COST_USD", "0.50")
            .run()
            .ended_with(0, Reason::VerdictReached);
    }
}

#[test]
fn a_limit_that_is_seen_only_after_the_end_counts_too() {
    let ended = Pod::new(&format!("{}\nexit 0", usage(r#""iterations":11"#))).run();
    ended.ended_with(12, Reason::IterationLimit);
}

#[test]
fn what_the_gateway_refuses_outranks_what_the_engine_makes_of_it() {
    let error = |reason: &str, text: &str| {
        format!(r#"echo '{{"kind":"error",{reason}"text":"litellm: 403 punching-fist-gateway: {text}"}}'"#)
    };
    let refused = r#""reason":"CredentialsRefused","#;
    let retry = r#""code":"ModelRetry","#;
    // What a log says that a tool shows.
    let quoted = error(r#""code":"ToolCallRefused","#, "BudgetExceeded: said a log");
    let table = [
        (
            format!("{}; exit 11", error(refused, "BudgetExceeded: 2.50 of 2.50 US dollars")),
            12,
            Reason::BudgetExceeded,
        ),
        (format!("{}; sleep 600", error(retry, "BudgetExceeded: all of it")), 12, Reason::BudgetExceeded),
        (format!("{}; exit 10", error(retry, "RunOver: the task is over")), 11, Reason::ConfigurationRefused),
        (format!("{}; exit 1", error(refused, "Refused: another model")), 11, Reason::ConfigurationRefused),
        (format!("{}; exit 11", error(refused, "Unauthenticated: who?")), 11, Reason::CredentialsRefused),
        (
            "echo 'E: punching-fist-gateway: BudgetExceeded: all of it' >&2; exit 1".to_owned(),
            12,
            Reason::BudgetExceeded,
        ),
        (format!("{quoted}; {FINISH}"), 0, Reason::VerdictReached),
        (format!("{quoted}; exit 0"), 10, Reason::NoVerdict),
        // It came to its end all the same.
        (format!("{}; {FINISH}", error(retry, "Unavailable: later")), 0, Reason::VerdictReached),
    ];
    for (script, code, reason) in table {
        let ended = Pod::new(&script).run();
        ended.ended_with(code, reason);
    }
}

#[test]
fn the_engine_gets_the_token_as_its_key_and_nobody_else_does() {
    let script =
        format!(r#"[ "$LLM_API_KEY" = "$(cat token)" ] && echo same; echo "$LLM_API_KEY"; {FINISH}"#);
    let pod = Pod::new(&script);
    let token = pod.path("token");
    fs::write(&token, "a-token-for-the-gateway\n").expect("our own directory");
    let ended =
        pod.with("LLM_API_KEY", "").with("PUNCHING_FIST_TOKEN_FILE", token.to_str().expect("Unicode")).run();
    ended.ended_with(0, Reason::VerdictReached);
    let logs: Vec<_> =
        ended.values().iter().filter_map(|line| line["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(logs, ["same", REDACTED]);
}

#[test]
fn a_token_that_isnt_there_is_named() {
    let ended = Pod::new(FINISH).with("PUNCHING_FIST_TOKEN_FILE", "/nowhere/token").run();
    let error = ended.ended_with(11, Reason::ConfigurationRefused).error.expect("a message");
    assert!(error.contains("PUNCHING_FIST_TOKEN_FILE") && error.contains("/nowhere/token"), "{error}");
}

#[test]
fn values_that_are_called_secrets_dont_leave_the_pod() {
    let ended = Pod::new(&format!("echo \"at $DB_URL\"; echo \"$GREETING\"\n{FINISH}"))
        .with("PUNCHING_FIST_SECRETS", "DB_URL, OTHER")
        .with("DB_URL", "db.example/x")
        .with("GREETING", "good morning")
        .run();
    let text = ended.text();
    assert!(
        !text.contains("db.example") && text.contains(REDACTED) && text.contains("good morning"),
        "{text}"
    );
}

#[test]
fn a_secret_at_a_cut_leaves_nothing_of_itself() {
    let event = |kind: &str| {
        format!(r#"printf '{{"kind":"{kind}","text":"%s%s%s"}}\n' "$pad" "$LLM_API_KEY" "$pad""#)
    };
    // Around the end of what one line holds, and of what one line of the result holds, in steps of a few bytes.
    let script = format!(
        r#"{RUNNING}
for size in $(seq 6060 5 6160) $(seq 8050 5 8200); do
pad=$(head -c $size /dev/zero | tr '\0' x)
{}; {}; echo "$pad$LLM_API_KEY$pad"; echo "$pad$LLM_API_KEY" >&2
done
# The end of what is read of a line, when all before it is one secret.
printf '1234567'; yes "$LLM_API_KEY" | tr -d '\n' | head -c 300000; echo
printf '{{"kind":"finish","verdict":"Diagnosed","summary":"%s%s","report":"' "$pad" "$LLM_API_KEY"
for size in $(seq 8090 1 8130); do head -c $size /dev/zero | tr '\0' y; printf '%s' "$LLM_API_KEY"; done | head -c 90000
printf '"}}\n{{"kind":"state","state":"finished"}}\n'"#,
        event("thought"),
        event("message")
    );
    let ended = Pod::new(&script).run();
    ended.ended_with(0, Reason::VerdictReached);
    assert!(
        ended.long().is_some() && ended.events().iter().any(|event| matches!(event, Event::Thought { .. }))
    );
    for text in [ended.text(), ended.message] {
        assert!(!text.contains("the-k") && !text.contains("model\""), "a part of the key left the pod");
    }
}
