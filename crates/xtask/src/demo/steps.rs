//! What an agent does, as rows: its commands with the first lines of what came back, its words in short.

use punching_fist_protocol::{Event, Line, State};

use super::screen::{Row, Tone};
use super::text;

/// How much of a command is shown, in lines.
const COMMAND_LINES: usize = 3;
/// How much of what came back is shown, in lines.
const OUTPUT_LINES: usize = 6;
/// How much of what the agent says is shown, in characters.
const WORDS: usize = 240;
/// Where commands begin.
const INDENT: usize = 2;
/// Where begins what came back.
const OUTPUT_INDENT: usize = 4;

/// The event in a line of a pod's log, if it is one.
pub fn read(line: &str) -> Option<Event> {
    Line::parse(line).map(|line| line.event)
}

/// The rows of an event; none if it is no news for somebody who watches.
pub fn rows(event: &Event) -> Vec<Row> {
    match event {
        Event::Thought { text } => words(Tone::Dim, "", text),
        Event::Message { text } => words(Tone::Plain, "", text),
        Event::Command { command, .. } => self::command(command),
        Event::Output { exit_code, text, .. } => output(*exit_code, text),
        Event::Edit { path, ok } => vec![edit(path, *ok)],
        Event::Error { code, text, .. } => {
            let code = code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default();
            words(Tone::Bad, &format!("! {code}"), text)
        }
        Event::State { state } => state_row(*state).into_iter().collect(),
        // Totals and the verdict stand in the task's status; what libraries print is for `kubectl logs`.
        Event::Usage(_) | Event::Log { .. } | Event::Finish(_) => Vec::new(),
    }
}

fn words(tone: Tone, mark: &str, text: &str) -> Vec<Row> {
    let text = text::joined(text);
    if text.is_empty() {
        return Vec::new();
    }
    vec![Row::folding(tone, INDENT, text::cut(&format!("{mark}{text}"), WORDS))]
}

fn command(command: &str) -> Vec<Row> {
    let (lines, left) = text::first_lines(command, COMMAND_LINES);
    let mut rows: Vec<Row> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let mark = if number == 0 { '$' } else { ' ' };
            Row::new(Tone::Strong, INDENT, format!("{mark} {line}"))
        })
        .collect();
    rows.extend(more(left));
    rows
}

fn output(exit_code: Option<i32>, text: &str) -> Vec<Row> {
    let (lines, left) = text::first_lines(text, OUTPUT_LINES);
    let mut rows: Vec<Row> = lines.into_iter().map(|line| Row::new(Tone::Dim, OUTPUT_INDENT, line)).collect();
    rows.extend(more(left));
    if let Some(code) = exit_code.filter(|code| *code != 0) {
        rows.push(Row::new(Tone::Bad, OUTPUT_INDENT, format!("exit code {code}")));
    }
    rows
}

fn more(left: usize) -> Option<Row> {
    let lines = if left == 1 { "line" } else { "lines" };
    (left > 0).then(|| Row::new(Tone::Dim, OUTPUT_INDENT, format!("… {left} more {lines}")))
}

fn edit(path: &str, ok: bool) -> Row {
    let path = text::joined(path);
    let (tone, what) = if ok { (Tone::Strong, "edited") } else { (Tone::Bad, "could not edit") };
    Row::new(tone, INDENT, format!("{what} {path}"))
}

fn state_row(state: State) -> Option<Row> {
    let says = match state {
        State::Running | State::Finished => return None,
        State::AwaitingInput => "The agent waits for an answer.",
        State::AwaitingConfirmation => "The agent waits for a confirmation.",
        State::RateLimited => "The agent waits for the model's provider.",
        State::Stuck => "The agent goes in circles.",
        State::Error => "The agent gave up.",
        State::Stopped => "The agent was told to stop.",
    };
    Some(Row::new(Tone::Bad, INDENT, says))
}

#[cfg(test)]
mod tests {
    use punching_fist_protocol::Stream;

    use super::*;

    /// Rows as `<tone><indent> text`.
    fn shown(event: &Event) -> Vec<String> {
        let row = |row: &Row| format!("{:?}{} {}", row.tone, row.indent, row.text);
        rows(event).iter().map(row).collect()
    }

    fn output_of(exit_code: Option<i32>, text: &str) -> Event {
        Event::Output { id: "1".to_owned(), exit_code, text: text.to_owned() }
    }

    #[test]
    fn an_event_becomes_rows() {
        let text = |text: &str| text.to_owned();
        for (event, expected) in [
            (Event::Thought { text: text("I look\n\n at it.") }, &["Dim2 I look at it."][..]),
            (Event::Message { text: text("Done.") }, &["Plain2 Done."]),
            (Event::Message { text: text(" \n") }, &[]),
            (
                Event::Command { id: text("1"), command: text("kubectl get pods\\\n -A") },
                &["Strong2 $ kubectl get pods\\", "Strong2    -A"],
            ),
            (output_of(Some(0), "NAME\na"), &["Dim4 NAME", "Dim4 a"]),
            (output_of(Some(1), "no\x1b[31mpe"), &["Dim4 nope", "Bad4 exit code 1"]),
            (output_of(None, ""), &[]),
            (Event::Edit { path: text("/a"), ok: true }, &["Strong2 edited /a"]),
            (Event::Edit { path: text("/a"), ok: false }, &["Bad2 could not edit /a"]),
            (
                Event::Error {
                    reason: None,
                    code: Some(text("LLMRateLimitError")),
                    text: text("slow\ndown"),
                },
                &["Bad2 ! LLMRateLimitError: slow down"],
            ),
            (Event::State { state: State::Stuck }, &["Bad2 The agent goes in circles."]),
            (Event::State { state: State::Running }, &[]),
            (Event::Log { stream: Stream::Stderr, text: text("warning") }, &[]),
        ] {
            assert_eq!(shown(&event), expected, "{event:?}");
        }
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let long = "line\n".repeat(OUTPUT_LINES + 1);
        assert_eq!(shown(&output_of(Some(0), &long)).last().map(String::as_str), Some("Dim4 … 1 more line"));
        let long = "line\n".repeat(OUTPUT_LINES + 30);
        let rows = shown(&output_of(Some(0), &long));
        assert_eq!(rows.len(), OUTPUT_LINES + 1);
        assert_eq!(rows.last().map(String::as_str), Some("Dim4 … 30 more lines"));
        let thought = rows_of_thought(&"word ".repeat(500));
        assert!(thought.chars().count() <= WORDS && thought.ends_with('…'), "{thought}");
    }

    fn rows_of_thought(text: &str) -> String {
        rows(&Event::Thought { text: text.to_owned() }).remove(0).text
    }

    #[test]
    fn only_events_are_read_from_a_log() {
        let line = r#"{"time":"2026-01-01T00:00:00Z","kind":"command","id":"1","command":"ls"}"#;
        assert!(matches!(read(line), Some(Event::Command { .. })));
        for other in ["", "plain text", r#"{"kind":"result","part":1,"of":1,"data":""}"#, "{"] {
            assert!(read(other).is_none(), "{other}");
        }
    }
}
