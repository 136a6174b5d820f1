//! What a request may ask for, what it may cost, and how it goes out.

use super::*;

fn read(endpoint: Endpoint, body: &str) -> Result<Request<'_>, String> {
    Request::read(endpoint, body.as_bytes(), "usual", &["candidate_count".to_owned()])
        .map_err(|refusal| refusal.to_string())
}

#[test]
fn what_is_asked_for() {
    use Endpoint::{ChatCompletions, Completions, Messages, Responses};
    for (endpoint, body, output) in [
        (ChatCompletions, r#"{"model":"m"}"#, 32),
        (ChatCompletions, r#"{"model":"m","max_tokens":5}"#, 5),
        (ChatCompletions, r#"{"model":"m","max_tokens":5,"max_completion_tokens":9,"n":3}"#, 27),
        (ChatCompletions, r#"{"model":"m","max_tokens":null,"n":2}"#, 64),
        (ChatCompletions, r#"{"model":"m","max_tokens":18446744073709551615,"n":3}"#, u64::MAX),
        (Completions, r#"{"model":"m","max_tokens":5,"best_of":4,"prompt":["a","b"]}"#, 40),
        (Messages, r#"{"model":"m","max_tokens":5,"candidate_count":3}"#, 5),
        (Responses, r#"{"model":"m","max_output_tokens":7}"#, 7),
        (ChatCompletions, r#"{"model":"m","candidate_count":2}"#, 64),
    ] {
        assert_eq!(read(endpoint, body).unwrap().output_max(32, true), output, "{body}");
    }
}

#[test]
fn a_limit_that_a_server_may_not_know_bounds_nothing() {
    for (body, heeding, others) in [
        (r#"{"model":"m","max_completion_tokens":1}"#, 1, 32),
        (r#"{"model":"m","max_completion_tokens":1,"n":2}"#, 2, 64),
        (r#"{"model":"m","max_completion_tokens":99}"#, 99, 99),
        (r#"{"model":"m","max_completion_tokens":1,"max_tokens":5}"#, 5, 5),
        (r#"{"model":"m","max_completion_tokens":1,"max_tokens":null}"#, 1, 32),
        (r#"{"model":"m","max_tokens":5}"#, 5, 5),
        (r#"{"model":"m"}"#, 32, 32),
    ] {
        let request = read(Endpoint::ChatCompletions, body).unwrap();
        assert_eq!(
            (request.output_max(32, true), request.output_max(32, false)),
            (heeding, others),
            "{body}"
        );
    }
}

fn assert_refused(endpoint: Endpoint, cases: &[(&str, &str)]) {
    for (body, why) in cases {
        let error = read(endpoint, body).unwrap_err();
        assert!(error.contains(why), "{body}: {error}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let cases = [
        ("", "can't be read"),
        ("[]", "a JSON object"),
        ("{}", "names no model; the profile's is \"usual\""),
        (r#"{"model":5}"#, "names no model"),
        (r#"{"model":"cheap","model":"dear"}"#, "twice"),
        (r#"{"model":"cheap","mod\u0065l":"dear"}"#, "twice"),
    ];
    assert_refused(Endpoint::ChatCompletions, &cases);
}

#[test]
fn what_has_another_price_is_refused() {
    let sounds = "0,".repeat(2000);
    let chat = [
        (r#"{"model":"m","service_tier":"priority"}"#, "service_tier"),
        (&format!(r#"{{"model":"m","audio":[{sounds}0]}}"#), "audio"),
        (r#"{"model":"m","models":["dear"]}"#, "models"),
    ];
    assert_refused(Endpoint::ChatCompletions, &chat);
    let responses = [
        (r#"{"model":"m","previous_response_id":"r"}"#, "previous_response_id"),
        (r#"{"model":"m","background":true}"#, "background"),
        (r#"{"model":"m","prompt":{"id":"p"}}"#, "prompt"),
    ];
    assert_refused(Endpoint::Responses, &responses);
    let messages = [
        (r#"{"model":"m","speed":"fast"}"#, "speed"),
        (r#"{"model":"m","messages":[{"content":[{"file_id":"f"}]}]}"#, "file_id"),
    ];
    assert_refused(Endpoint::Messages, &messages);
    let fine = r#"{"model":"m","service_tier":"auto","background":false,"previous_response_id":null}"#;
    assert!(read(Endpoint::Responses, fine).is_ok());
}

#[test]
fn what_bounds_the_answer_is_a_number() {
    let digits = "0".repeat(2000);
    let chat = [
        (r#"{"model":"m","max_tokens":5.0}"#, "max_tokens"),
        (r#"{"model":"m","max_completion_tokens":"5"}"#, "max_completion_tokens"),
        (r#"{"model":"m","max_completion_tokens":0,"max_tokens":5}"#, "max_c"),
        (r#"{"model":"m","n":"9"}"#, "\"n\""),
        (&format!(r#"{{"model":"m","n":1{digits}}}"#), "out of range"),
    ];
    assert_refused(Endpoint::ChatCompletions, &chat);
    assert_refused(Endpoint::Completions, &[(r#"{"model":"m","max_tokens":-1}"#, "max_tokens")]);
    let responses = [(r#"{"model":"m","max_output_tokens":1e3}"#, "max_output_tokens")];
    assert_refused(Endpoint::Responses, &responses);
}

#[test]
fn a_body_of_nothing_but_members_is_refused_at_once() {
    let members: Vec<String> = (0..500_000).map(|number| format!("\"{number}\":0")).collect();
    let started = std::time::Instant::now();
    let error = read(Endpoint::ChatCompletions, &format!("{{{}}}", members.join(","))).unwrap_err();
    assert!(error.contains("more than 256 members"), "{error}");
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn it_goes_out_as_it_came_but_for_secrets_and_the_wish_for_usage() {
    let redactor = Redactor::from_values(["hunter2-hunter2"]);
    for (body, expected, hides) in [
        (r#"{ "model": "m", "temperature": 1.0 }"#, r#"{"model":"m","temperature":1.0}"#, false),
        (
            r#"{"model":"m","messages":[{"content":"a hunter2-hunter2"}]}"#,
            r#"{"model":"m","messages":[{"content":"a [redacted]"}]}"#,
            false,
        ),
        (
            r#"{"stream":true,"model":"m"}"#,
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#,
            true,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false,"x":1}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
            true,
        ),
        (r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#, "", false),
        (r#"{"model":"m","stream_options":null}"#, "", false),
    ] {
        let expected = if expected.is_empty() { body } else { expected };
        let endpoint = Endpoint::ChatCompletions;
        let outgoing = read(endpoint, body).unwrap().outgoing(endpoint, Some(&redactor));
        assert_eq!((outgoing.body.as_str(), outgoing.hides_usage), (expected, hides));
    }
    let body = r#"{"model":"m","stream":true}"#;
    for endpoint in [Endpoint::Messages, Endpoint::Responses] {
        assert_eq!(read(endpoint, body).unwrap().outgoing(endpoint, None).body, body);
    }
}
