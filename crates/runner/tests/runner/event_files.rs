//! The built runner with the files of the engine `main`, which an agent can write too: half of one, more than can be read,
//! and such as take all memory.

use std::time::Duration;

use punching_fist_protocol::{Event, Reason, Verdict};

use crate::support::Pod;

/// What the runner may take at most, whatever comes: KiB.
const MEMORY: u64 = 40 * 1024;
/// Writes events as the engine does.
const EVENTS: &str = r#"
events="$FILE_STORE_PATH/sessions/own/events"
mkdir -p "$events"
number=0
event() { printf '%s' "$1" > "$events/$number.json"; number=$((number + 1)); }
step() { event "{\"id\":$number,\"source\":\"agent\",\"action\":\"run\",\"args\":{\"command\":\"ls\"},\"tool_call_metadata\":{\"model_response\":{\"id\":\"$number\"}}}"; }
state() { event "{\"id\":$number,\"source\":\"environment\",\"observation\":\"agent_state_changed\",\"extras\":{\"agent_state\":\"$1\",\"reason\":\"\"}}"; }
finish() {
event "{\"id\":$number,\"source\":\"agent\",\"action\":\"finish\",\"args\":{\"final_thought\":\"\`\`\`json\\n{\\\"verdict\\\":\\\"Diagnosed\\\",\\\"summary\\\":\\\"s\\\"}\\n\`\`\`\"}}"
state finished
}
"#;

fn pod(script: &str) -> Pod {
    Pod::of("main", "python", &format!("{EVENTS}\n{script}"))
}

#[test]
fn an_event_that_stays_half_written_hides_no_limit_and_no_verdict() {
    let half = "event '{\"id\":0,'";
    let steps = format!("{half}\nfor i in 1 2 3 4 5 6 7 8 9 10 11; do step; done\nsleep 600");
    let ended = pod(&steps).run();
    ended.ended_with(12, Reason::IterationLimit);

    let ended = pod(&format!("{half}\nstep\nfinish")).run();
    assert_eq!(ended.ended_with(0, Reason::VerdictReached).verdict, Some(Verdict::Diagnosed));
    let remark = "one event of the engine's can't be read".to_owned();
    assert_eq!(ended.events().last(), Some(&Event::Error { reason: None, code: None, text: remark }));
}

#[test]
fn a_look_that_finds_much_is_no_time_without_limits() {
    let script = r#"
long=$(head -c 5000 /dev/zero | tr '\0' x)
mkdir elsewhere; own="$events"; events=elsewhere
while [ $number -lt 300 ]; do event "{\"id\":$number,\"source\":\"agent\",\"action\":\"message\",\"args\":{\"content\":\"$long\"}}"; done
rmdir "$own"; mv elsewhere "$own"
sleep 600"#;
    let mut running = pod(script).with("PUNCHING_FIST_TIMEOUT_SECONDS", "3").start();
    let is_limit = |event: &Event| matches!(event, Event::Error { reason: Some(Reason::TimeLimit), .. });
    // A reader that takes longer over all of them than the run may.
    running.wait_for(|event| {
        std::thread::sleep(Duration::from_millis(25));
        is_limit(event)
    });
    let ended = running.wait();
    ended.ended_with(12, Reason::TimeLimit);
    let events = ended.events();
    let behind = events.iter().skip_while(|event| !is_limit(event));
    assert!(behind.filter(|event| matches!(event, Event::Message { .. })).count() > 10, "{}", events.len());
}

#[test]
fn sessions_and_events_without_end_dont_hold_up_the_end() {
    let links = "for i in range(3000): touch('elsewhere/events', i); os.symlink(os.path.abspath('elsewhere'), f'{sessions}/{i}')";
    let directories = "for i in range(6000): touch(f'{sessions}/{i % 5}/events', i)";
    let prelude = "import os; sessions = os.environ['FILE_STORE_PATH'] + '/sessions'
def touch(directory, i): os.makedirs(directory, exist_ok=True); open(f'{directory}/{i}.json', 'w').close()";
    for script in [links, directories] {
        let ended = pod(&format!("python3 -c \"{prelude}\n{script}\"\nfinish")).run();
        assert_eq!(ended.ended_with(0, Reason::VerdictReached).verdict, Some(Verdict::Diagnosed), "{script}");
    }
}

#[test]
fn files_that_are_all_values_or_all_text_take_little_memory() {
    let script = r#"
{ printf '[0'; head -c 3900000 /dev/zero | sed 's/\x00/,0/g' | head -c 3900000; printf ']'; } > "$events/0.json"
{ printf '[0'; head -c 8000000 /dev/zero | sed 's/\x00/,0/g'; printf ']'; } > "$events/1.json"
number=2
text=$(head -c 600000 /dev/zero | tr '\0' x)
for i in 1 2 3; do event "{\"id\":$number,\"source\":\"agent\",\"action\":\"message\",\"args\":{\"content\":\"$text\"}}"; done
finish
while [ ! -e go ]; do sleep 0.01; done"#;
    let mut running = pod(script).start();
    running.wait_for(|event| matches!(event, Event::Finish(_)));
    let memory = running.most_memory();
    running.let_go();
    running.wait().ended_with(0, Reason::VerdictReached);
    assert!(memory < MEMORY, "{memory} KiB");
}
