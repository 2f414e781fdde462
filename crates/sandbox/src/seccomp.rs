//! The system calls a box may not make, as a program for the kernel's filter (seccomp-bpf).
//!
//! A deny list: what acts on the machine as a whole, is not divided by namespaces, or only widens what of the kernel a
//! stranger's code can reach. Everything else stays as modules and package scripts know it. [`calls`] has the list, the
//! kernel's `Documentation/userspace-api/seccomp_filter.rst` the format.
//!
//! ```text
//! load arch ─┬─ native ── number ── x32? refuse ── by halves: one rule a call ── allow
//!            ├─ i386 (on x86-64) ── number ── by halves: one rule a call ── allow
//!            └─ any other ── refuse
//! ```

mod calls;

use std::sync::OnceLock;

use calls::{COMPAT, Call, NATIVE, Refusal, Table};

/// One instruction of classic BPF: `struct sock_filter` of `linux/filter.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    /// How many instructions are skipped when the test holds, and when it does not.
    jump_true: u8,
    jump_false: u8,
    operand: u32,
}

// linux/bpf_common.h and linux/filter.h
const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

// linux/seccomp.h: the answers, and where `struct seccomp_data` has what
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const AT_NUMBER: u32 = 0;
const AT_ARCH: u32 = 4;
const AT_ARGUMENTS: u32 = 16;

/// Numbers from here on are the x32 calls of x86-64, a second way to the same kernel.
const X32: u32 = 0x4000_0000;

/// How many calls are compared one by one before the rest is halved.
const IN_A_ROW: usize = 8;

/// The filter without sockets and the one with them, made before a process is cloned, which may not allocate.
static PROGRAMS: OnceLock<[Vec<Instruction>; 2]> = OnceLock::new();

/// Makes the filters, once.
pub(crate) fn prepare() {
    PROGRAMS.get_or_init(|| [false, true].map(program));
}

/// The filter of a box that may make sockets or may not, if it was [made](prepare).
pub(crate) fn prepared(sockets: bool) -> Option<&'static [Instruction]> {
    PROGRAMS.get().map(|programs| &programs[usize::from(sockets)][..])
}

fn program(sockets: bool) -> Vec<Instruction> {
    let mut program = vec![load(AT_ARCH)];
    section(&mut program, &NATIVE, sockets);
    if let Some(compat) = &COMPAT {
        section(&mut program, compat, sockets);
    }
    program.push(refuse(libc::ENOSYS));
    program
}

/// The rules of one architecture, passed over where the call is another one's.
fn section(program: &mut Vec<Instruction>, table: &Table, sockets: bool) {
    let mut rules = vec![load(AT_NUMBER)];
    if table.has_x32 {
        rules.push(test(JUMP_GREATER_EQUAL, X32, 0, 1));
        rules.push(refuse(libc::ENOSYS));
    }
    let of_sockets = table.sockets.iter().filter(|_| !sockets);
    let mut calls: Vec<&Call> = table.calls.iter().chain(of_sockets).collect();
    calls.sort_by_key(|call| call.number);
    let calls: Vec<&[&Call]> = calls.chunk_by(|a, b| a.number == b.number).collect();
    search(&mut rules, &calls);
    program.push(test(JUMP_EQUAL, table.arch, 1, 0));
    jump_over(program, &rules);
    program.extend(rules);
}

/// The rules by halves, `calls` being in the order of their numbers: when a filter is set, the kernel carries it out once
/// for each call that there is, to know those that it always allows.
fn search(rules: &mut Vec<Instruction>, calls: &[&[&Call]]) {
    if calls.len() <= IN_A_ROW {
        row(rules, calls.iter().copied().flatten());
        return;
    }
    let (left, right) = calls.split_at(calls.len() / 2);
    let mut lower = Vec::new();
    search(&mut lower, left);
    let first = right.first().and_then(|same| same.first());
    rules.push(test(
        JUMP_GREATER_EQUAL,
        first.map_or(0, |call| call.number),
        0,
        1,
    ));
    jump_over(rules, &lower);
    rules.extend(lower);
    search(rules, right);
}

/// Passes over the instructions that come next.
fn jump_over(program: &mut Vec<Instruction>, next: &[Instruction]) {
    program.push(Instruction {
        operand: next.len() as u32,
        ..test(JUMP, 0, 0, 0)
    });
}

/// The rules of a few calls, and the answer to every other. Refusals stand behind, each errno's once: the kernel compiles the
/// program anew for each box.
fn row<'c>(rules: &mut Vec<Instruction>, calls: impl Iterator<Item = &'c &'c Call>) {
    let mut refused = Vec::new();
    for call in calls {
        match call.refusal {
            Refusal::Always(errno) => refused.push((call.number, errno)),
            Refusal::AnyBit { argument, bits } => condition(rules, call, argument, (JUMP_ANY_BIT, bits)),
            Refusal::Equal { argument, value } => condition(rules, call, argument, (JUMP_EQUAL, value)),
        }
    }
    let mut errnos: Vec<i32> = refused.iter().map(|(_, errno)| *errno).collect();
    errnos.sort_unstable();
    errnos.dedup();
    for (index, (number, errno)) in refused.iter().enumerate() {
        // over the comparisons that are left, and over the answer that allows
        let left = refused.len() - index;
        let answer = errnos.iter().position(|other| other == errno).unwrap_or_default();
        rules.push(test(JUMP_EQUAL, *number, (left + answer) as u8, 0));
    }
    rules.push(answer(ALLOW));
    rules.extend(errnos.into_iter().map(refuse));
}

/// A call that is refused where an argument passes a test.
fn condition(rules: &mut Vec<Instruction>, call: &Call, argument: u32, (code, operand): (u16, u32)) {
    rules.push(test(JUMP_EQUAL, call.number, 0, 4));
    rules.push(load(low_half(argument)));
    rules.push(test(code, operand, 0, 1));
    rules.push(refuse(libc::EPERM));
    rules.push(load(AT_NUMBER));
}

/// Where the low 32 bits of an argument are. No call of the list looks at the others.
const fn low_half(argument: u32) -> u32 {
    AT_ARGUMENTS + 8 * argument + if cfg!(target_endian = "big") { 4 } else { 0 }
}

fn load(offset: u32) -> Instruction {
    test(LOAD_WORD, offset, 0, 0)
}

fn answer(action: u32) -> Instruction {
    test(RETURN, action, 0, 0)
}

fn refuse(errno: i32) -> Instruction {
    answer(ERRNO | errno as u32)
}

const fn test(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        operand,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: the few instructions, carried out.
    fn run(arch: u32, number: u32, arguments: [u32; 6]) -> u32 {
        run_counting(true, arch, (number, arguments)).0
    }

    /// The same, and how many instructions that took.
    fn run_counting(sockets: bool, arch: u32, (number, arguments): (u32, [u32; 6])) -> (u32, usize) {
        let program = program(sockets);
        let (mut at, mut word, mut steps) = (0usize, 0u32, 0);
        loop {
            let instruction = program[at];
            at += 1;
            steps += 1;
            let holds = match instruction.code {
                LOAD_WORD => {
                    word = match instruction.operand {
                        AT_NUMBER => number,
                        AT_ARCH => arch,
                        offset => arguments[((offset - AT_ARGUMENTS) / 8) as usize],
                    };
                    continue;
                }
                RETURN => return (instruction.operand, steps),
                JUMP => {
                    at += instruction.operand as usize;
                    continue;
                }
                JUMP_EQUAL => word == instruction.operand,
                JUMP_GREATER_EQUAL => word >= instruction.operand,
                JUMP_ANY_BIT => word & instruction.operand != 0,
                other => panic!("instruction {other:#x}"),
            };
            at += usize::from(if holds {
                instruction.jump_true
            } else {
                instruction.jump_false
            });
        }
    }

    #[test]
    fn every_call_of_the_list_is_refused_and_its_neighbours_are_not() {
        for table in [&NATIVE].into_iter().chain(&COMPAT) {
            for call in table.calls {
                let (bad, good, errno) = match call.refusal {
                    Refusal::Always(errno) => ([0; 6], None, errno),
                    Refusal::AnyBit { argument, bits } => (with(argument, bits), Some([0; 6]), libc::EPERM),
                    Refusal::Equal { argument, value } => {
                        let good = with(argument, value ^ 1);
                        (with(argument, value), Some(good), libc::EPERM)
                    }
                };
                for sockets in [true, false] {
                    let answer = run_counting(sockets, table.arch, (call.number, bad)).0;
                    assert_eq!(answer, ERRNO | errno as u32, "{call:?}");
                }
                if let Some(good) = good {
                    let others = table.calls.iter().filter(|other| other.number == call.number);
                    // ioctl stands for two requests, which do not differ by one
                    assert!(others.count() <= 2);
                    assert_eq!(run(table.arch, call.number, good), ALLOW, "{call:?}");
                }
            }
        }
    }

    #[test]
    fn no_answer_takes_many_steps() {
        for (sockets, number) in [true, false]
            .into_iter()
            .flat_map(|it| (0..600).map(move |n| (it, n)))
        {
            let (answer, steps) = run_counting(sockets, NATIVE.arch, (number, [0; 6]));
            assert!(steps < 30, "{number}: {answer:#x} after {steps}");
        }
    }

    #[test]
    fn sockets_are_refused_where_there_are_none() {
        for table in [&NATIVE].into_iter().chain(&COMPAT) {
            for call in table.sockets {
                let of = |sockets| run_counting(sockets, table.arch, (call.number, [1, 1, 0, 0, 0, 0])).0;
                assert_eq!(of(true), ALLOW, "{call:?}");
                assert_eq!(of(false), ERRNO | libc::EPERM as u32, "{call:?}");
            }
        }
    }

    fn with(argument: u32, value: u32) -> [u32; 6] {
        let mut arguments = [0; 6];
        arguments[argument as usize] = value;
        arguments
    }

    #[test]
    fn ordinary_calls_pass_and_other_architectures_do_not() {
        for number in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_mount,
            libc::SYS_execve,
        ] {
            assert_eq!(run(NATIVE.arch, number as u32, [0; 6]), ALLOW);
        }
        assert_eq!(run(0, libc::SYS_read as u32, [0; 6]), ERRNO | libc::ENOSYS as u32);
        if NATIVE.has_x32 {
            let x32 = X32 | libc::SYS_read as u32;
            assert_eq!(run(NATIVE.arch, x32, [0; 6]), ERRNO | libc::ENOSYS as u32);
        }
    }
}
