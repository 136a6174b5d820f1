//! Takes system calls away from the agent's processes: limits, priority, schedule and processors of another process. They
//! have the runner's uid, and could keep it from seeing them, from writing its log, or from running at all.

use nix::libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, EPERM, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
};
use seccompiler::{apply_filter, sock_filter};

/// The instruction sets whose programs the machine runs, its own and that of 32 bits: by their numbers in the kernel's
/// audit, and the columns of [`CALLS`] that have their calls.
#[cfg(target_arch = "x86_64")]
const SETS: &[(u32, usize)] = &[(0xC000_003E, 0), (0x4000_0003, 1)];
#[cfg(target_arch = "aarch64")]
const SETS: &[(u32, usize)] = &[(0xC000_00B7, 2), (0x4000_0028, 3)];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SETS: &[(u32, usize)] = &[];

/// What the first arguments of a call have to be: then it is about the caller alone.
type Own = &'static [u32];

/// The first argument is a process or a thread.
const OF_ONE: Own = &[0];
/// The first says what the second names: a process, not a group or all of a user, which the runner may be in.
const PRIO_PROCESS: Own = &[0, 0];
const IOPRIO_WHO_PROCESS: Own = &[1, 0];

/// The calls, with their numbers in x86_64, i386, aarch64 and arm.
const CALLS: [(&str, Own, [u32; 4]); 7] = [
    ("prlimit64", OF_ONE, [302, 340, 261, 369]),
    ("sched_setaffinity", OF_ONE, [203, 241, 122, 241]),
    ("sched_setparam", OF_ONE, [142, 154, 118, 154]),
    ("sched_setscheduler", OF_ONE, [144, 156, 119, 156]),
    ("sched_setattr", OF_ONE, [314, 351, 274, 380]),
    ("setpriority", PRIO_PROCESS, [141, 97, 140, 97]),
    ("ioprio_set", IOPRIO_WHO_PROCESS, [251, 289, 30, 314]),
];

/// Where `struct seccomp_data` has the call's number, its instruction set, and its first argument, in little-endian; and
/// how far its arguments are apart. Of each the kernel takes 32 bits here.
const NUMBER: u32 = 0;
const SET: u32 = 4;
const FIRST: u32 = 16;
const ARGUMENT: u32 = 8;
/// Programs that address 32 bits in the set of 64 have the same numbers, and this bit.
const X32: u32 = 0x4000_0000;

/// From now on this thread, and all that it starts, can set limits and priorities of nobody but the caller. The runner's
/// other threads have numbers of their own, and are out of reach too. Processes neither get rights from a program's file
/// any more, as in every pod that doesn't allow privilege escalation.
pub fn keep_to_oneself() -> Result<(), String> {
    if SETS.is_empty() {
        return Err("its calls are not known on this machine".to_owned());
    }
    apply_filter(&program()).map_err(|error| error.to_string())
}

fn program() -> Vec<sock_filter> {
    let refused = SETS.iter().flat_map(|(set, column)| {
        CALLS.into_iter().flat_map(|(_, own, numbers)| refused_for_others(*set, numbers[*column], own))
    });
    refused.chain([answer(SECCOMP_RET_ALLOW)]).collect()
}

/// Refuses the call unless its arguments are the caller's own. Whatever else it is, the next ones look at it.
fn refused_for_others(set: u32, number: u32, own: Own) -> Vec<sock_filter> {
    // Each argument takes two steps, and behind them are the two answers.
    let left = |arguments: usize| u8::try_from(2 * arguments).unwrap_or(u8::MAX);
    let mut steps = vec![
        load(SET),
        equals(set, 0, left(own.len()) + 5),
        load(NUMBER),
        step(BPF_ALU | BPF_AND | BPF_K, !X32, 0, 0),
        equals(number, 0, left(own.len()) + 2),
    ];
    for ((at, value), behind) in (FIRST..).step_by(ARGUMENT as usize).zip(own).zip((0..own.len()).rev()) {
        steps.extend([load(at), equals(*value, 0, left(behind) + 1)]);
    }
    steps.extend([answer(SECCOMP_RET_ALLOW), answer(SECCOMP_RET_ERRNO | EPERM.unsigned_abs())]);
    steps
}

fn load(field: u32) -> sock_filter {
    step(BPF_LD | BPF_W | BPF_ABS, field, 0, 0)
}

fn equals(value: u32, then: u8, otherwise: u8) -> sock_filter {
    step(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise)
}

fn answer(value: u32) -> sock_filter {
    step(BPF_RET | BPF_K, value, 0, 0)
}

/// An instruction: what it does and with what, and how many it skips then or otherwise.
fn step(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Codes have 16 bits.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer to this call.
    fn asked(set: u32, number: u32, arguments: [u32; 2]) -> u32 {
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match (u32::from(code) & 7, k) {
                (BPF_LD, NUMBER) => value = number,
                (BPF_LD, SET) => value = set,
                (BPF_LD, _) => value = arguments[((k - FIRST) / ARGUMENT) as usize],
                (BPF_ALU, _) => value &= k,
                (BPF_JMP, _) => at += usize::from(if value == k { jt } else { jf }),
                _ => return k,
            }
        }
    }

    fn each_call() -> impl Iterator<Item = (&'static str, Own, u32, u32)> {
        let of_set = |(name, own, set, number)| [0, X32].map(|bit| (name, own, set, number | bit));
        let calls = SETS.iter().flat_map(|(set, column)| {
            CALLS.into_iter().map(|(name, own, numbers)| (name, own, *set, numbers[*column]))
        });
        calls.flat_map(of_set)
    }

    #[test]
    fn every_call_is_for_the_caller_alone_in_every_set() {
        let refused = SECCOMP_RET_ERRNO | EPERM.unsigned_abs();
        for (name, own, set, number) in each_call() {
            let [first, second] = [own[0], own.get(1).copied().unwrap_or(7)];
            assert_eq!(asked(set, number, [first, second]), SECCOMP_RET_ALLOW, "{name}");
            let another = if own.len() > 1 { [first, second + 1] } else { [u32::MAX, second] };
            for arguments in [[first + 1, second], [first + 2, second], another] {
                assert_eq!(asked(set, number, arguments), refused, "{name} {set:x} {arguments:?}");
            }
        }
    }

    #[test]
    fn every_other_call_goes_on() {
        for (set, number) in SETS.iter().map(|(set, _)| (*set, 1)).chain([(1, 302), (1, 203)]) {
            assert_eq!(asked(set, number, [9, 9]), SECCOMP_RET_ALLOW, "{set:x} {number}");
        }
    }
}
