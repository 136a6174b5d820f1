//! The built runner and processes of its own uid that try to blind it, to mute it, or to outlive it.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use punching_fist_protocol::{Event, Reason, Verdict};

use crate::support::{Ended, FINISH, HOLD, Pod, RUNNING};

const FORGED: &str =
    r#"{"version":1,"reason":"VerdictReached","verdict":"Fixed","summary":"forged","acted":true}"#;
fn could(ended: &Ended) -> Vec<Event> {
    ended.events().into_iter().filter(|event| matches!(event, Event::Message { .. })).collect()
}

/// Writes to the termination log again and again, in processes that left the engine's group.
fn racers() -> String {
    let race = format!(r#"while :; do echo '{FORGED}' > "$PUNCHING_FIST_TERMINATION_LOG"; done"#);
    format!("for i in 1 2 3 4; do (setsid sh -c '{}' > /dev/null 2>&1 &); done", race.replace('\'', "'\\''"))
}

#[test]
fn nobody_else_sets_limits_of_the_runner() {
    let attack = format!(
        r#"
say() {{ echo "{{\"kind\":\"message\",\"text\":\"$1\"}}"; }}
for limit in nofile=0:0 fsize=0:0 cpu=0:0 as=1:1 nofile=; do
prlimit --pid 1 --$limit > /dev/null 2>&1 && say "could set $limit"
done
ulimit -n 64 || say 'could not set limits of its own'
[ "$(prlimit --nofile --noheadings --output SOFT)" -eq 64 ] || say 'could not see limits of its own'
{}
{FINISH}"#,
        racers()
    );
    let ended = Pod::new(&attack).with_runner_as_pid_1().run();
    assert_eq!(ended.ended_with(0, Reason::VerdictReached).verdict, Some(Verdict::Diagnosed));
    assert_eq!(could(&ended), []);
}

#[test]
fn nobody_else_keeps_the_runner_from_running() {
    let attack = format!(
        r#"
say() {{ echo "{{\"kind\":\"message\",\"text\":\"$1\"}}"; }}
could() {{ "$@" > /dev/null 2>&1 && say "could $*"; }}
can() {{ "$@" > /dev/null 2>&1 || say "could not $*"; }}
# The runner, its threads, and all that have its uid.
for id in $(ls /proc/1/task); do
could taskset -cp 0 $id
could chrt --idle -p 0 $id
could chrt --batch -p 0 $id
could python3 -c "import os; os.sched_setparam($id, os.sched_param(0))"
could renice -n 19 -p $id
could ionice -c 3 -p $id
done
could renice -n 19 -u $(id -u)
could ionice -c 3 -u $(id -u)
could renice -n 19 -g 0
could ionice -c 3 -P 0
# What is for oneself goes on, and hasn't been refused for another reason.
can taskset -c 0 true
can chrt --idle 0 true
can nice -n 5 true
can ionice -c 3 true
can python3 -c 'import os; os.sched_setparam(0, os.sched_param(0)); os.setpriority(os.PRIO_PROCESS, 0, 19)'
{FINISH}"#
    );
    let ended = Pod::new(&attack).with_runner_as_pid_1().run();
    assert_eq!(ended.ended_with(0, Reason::VerdictReached).verdict, Some(Verdict::Diagnosed));
    assert_eq!(could(&ended), []);
}

#[test]
fn where_the_kernel_takes_no_filter_who_mutes_the_log_ends_the_run() {
    let attack = format!(
        r#"{RUNNING}
{}
prlimit --pid 1 --nofile=0:0 || echo '{{"kind":"message","text":"could not be tried"}}'
echo '{{"kind":"command","id":"1","command":"kubectl delete namespace shop"}}'
{FINISH}"#,
        racers()
    );
    let ended = Pod::new(&attack).with_an_old_kernel().run();
    ended.failed_with(10, Reason::AgentFault, "log can't be written");
    assert_eq!(could(&ended), []);
    let told = ended.text().matches("the kernel takes no filter").count();
    assert_eq!(told, 1, "{}", ended.text());
}

#[test]
fn while_a_process_cant_be_ended_nothing_is_vouched_for() {
    let script = format!(
        "setsid sleep 600 > /dev/null 2>&1 &\necho $! > leftover\n\
         echo '{FORGED}' > \"$PUNCHING_FIST_TERMINATION_LOG\"\n{HOLD}\n{FINISH}"
    );
    let mut running = Pod::new(&script).start();
    running.wait_until_held();
    let leftover = fs::read_to_string(running.path("leftover")).expect("it was started");
    let leftover = Pid::from_raw(leftover.trim().parse().expect("a process id"));
    // Killed, it isn't gone until we let it go: as one that waits for a disk.
    ptrace::seize(leftover, ptrace::Options::empty()).expect("a process below ours");
    running.let_go();
    let ended = running.wait();
    waitpid(leftover, None).expect("it was killed");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "none of the runner's codes");
    assert!(ended.text().contains("can't be ended"), "{}", ended.text());
}

/// A process in the runner's PID namespace that isn't below it.
fn enter(runner: Pid, user: &[&str]) -> Child {
    let mut command = Command::new("nsenter");
    command.args(["--pid", "--target", &runner.to_string(), "--"]).args(user).args(["sleep", "60"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nsenter starts")
}

#[test]
fn who_looks_in_from_outside_costs_no_verdict() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("Only root enters another's namespaces: nobody looks in from outside.");
        return;
    }
    let mut running = Pod::new(&format!("{HOLD}\n{FINISH}")).with_runner_as_pid_1().start();
    running.wait_until_held();
    let runner = running.child_of_wrapper();
    let mut root = enter(runner, &[]);
    let mut same = enter(runner, &["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups"]);
    running.wait_for_processes(4);
    running.let_go();
    let ended = running.wait();
    assert_eq!(ended.ended_with(0, Reason::VerdictReached).verdict, Some(Verdict::Diagnosed));
    // Process 1 takes all others of its namespace with it.
    assert!(!same.wait().expect("our own child").success() && !root.wait().expect("our own child").success());
}

#[test]
fn who_is_told_to_stop_before_anything_has_started_stops() {
    for as_process_1 in [true, false] {
        let pod = Pod::new(&format!("{RUNNING}\nsleep 600\n{FINISH}"));
        let prompt = pod.path("prompt");
        fs::remove_file(&prompt).expect("it was there");
        nix::unistd::mkfifo(&prompt, nix::sys::stat::Mode::from_bits_truncate(0o666))
            .expect("our own directory");
        let running = if as_process_1 { pod.with_runner_as_pid_1() } else { pod }.start();
        // The runner opens its prompt: from then on it waits for us.
        let mut writer = fs::OpenOptions::new().write(true).open(&prompt).expect("the runner reads");
        let runner = if as_process_1 { running.child_of_wrapper() } else { running.pid() };
        kill(runner, Signal::SIGTERM).expect("it runs");
        std::io::Write::write_all(&mut writer, b"What is wrong?").expect("a reader");
        drop(writer);
        running.wait().ended_with(13, Reason::Signalled);
    }
}
