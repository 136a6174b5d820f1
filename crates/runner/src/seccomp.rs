//! Takes one system call away from the agent's processes: `prlimit` of another process. They have the runner's uid, and
//! with its limits they could keep it from seeing them, or from writing its log.

use nix::libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
};
use seccompiler::{apply_filter, sock_filter};

/// The call in one of the machine's instruction sets: that set's number in the kernel's audit, and the call's in it.
/// A program of another set than the machine's own goes on as it is, but for this call.
type Call = (u32, u32);

#[cfg(target_arch = "x86_64")]
const PRLIMIT: [Call; 3] = {
    let (x86_64, i386, x32) = (0xC000_003E, 0x4000_0003, 0x4000_0000);
    [(x86_64, 302), (x86_64, x32 + 302), (i386, 340)]
};
#[cfg(target_arch = "aarch64")]
const PRLIMIT: [Call; 2] = {
    let (aarch64, arm) = (0xC000_00B7, 0x4000_0028);
    [(aarch64, 261), (arm, 369)]
};
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const PRLIMIT: [Call; 0] = [];

/// Where `struct seccomp_data` has the call's number, its instruction set, and its first argument, in little-endian.
const NUMBER: u32 = 0;
const SET: u32 = 4;
const FIRST: u32 = 16;

/// From now on this thread, and all that it starts, can set no limits but their own. Processes neither get rights from a
/// program's file any more, as in every pod that doesn't allow privilege escalation.
pub fn keep_limits() -> Result<(), String> {
    if PRLIMIT.is_empty() {
        return Err("its calls are not known on this machine".to_owned());
    }
    apply_filter(&program()).map_err(|error| error.to_string())
}

fn program() -> Vec<sock_filter> {
    let calls = PRLIMIT.into_iter().flat_map(refused_for_others);
    calls.chain([step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0)]).collect()
}

/// Refuses the call unless its first argument is 0: the caller itself. Whatever else it is, the next ones look at it.
fn refused_for_others((set, number): Call) -> [sock_filter; 7] {
    let load = |field| step(BPF_LD | BPF_W | BPF_ABS, field, 0, 0);
    let equals = |value, then, otherwise| step(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise);
    [
        load(SET),
        equals(set, 0, 5),
        load(NUMBER),
        equals(number, 0, 3),
        load(FIRST),
        equals(0, 1, 0),
        step(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM.unsigned_abs(), 0, 0),
    ]
}

/// An instruction: what it does and with what, and how many it skips then or otherwise.
fn step(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Codes have 16 bits.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}
