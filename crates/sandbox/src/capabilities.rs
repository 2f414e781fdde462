//! Capabilities of the calling thread, by raw system calls: in the child of a clone nothing may allocate.
#![allow(unsafe_code)]

use crate::sys::{Raw, check};

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`
const CAPABILITY_VERSION: u32 = 0x2008_0522;

fn get() -> Raw<[CapData; 2]> {
    let header = CapHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let mut data = [CapData::default(); 2];
    // SAFETY: both structures live through the call; version 3 has two data words.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    Ok(data)
}

/// What the thread has, as a bit mask.
pub(crate) fn permitted() -> Raw<u64> {
    let [low, high] = get()?;
    Ok(u64::from(low.permitted) | u64::from(high.permitted) << 32)
}

fn set(data: &[CapData; 2]) -> Raw<()> {
    let header = CapHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    // SAFETY: both structures live through the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// Makes all permitted capabilities effective again, which a change of the fsuid has not left so.
pub(crate) fn raise() -> Raw<()> {
    let mut data = get()?;
    for word in &mut data {
        word.effective = word.permitted;
    }
    set(&data)
}

/// Keeps the capabilities of `mask` and no others, for good, and checks that it is so.
pub(crate) fn keep(mask: u64) -> Raw<()> {
    let prctl = |option: libc::c_int, argument: u64| {
        // SAFETY: prctl with integers.
        check(unsafe { libc::syscall(libc::SYS_prctl, option, argument, 0, 0, 0) })
    };
    for capability in 0..64u64 {
        if mask & 1 << capability == 0 {
            match prctl(libc::PR_CAPBSET_DROP, capability) {
                // beyond the last one this kernel knows
                Err(libc::EINVAL) => break,
                other => drop(other?),
            }
        }
    }
    let mut data = [CapData::default(); 2];
    for (index, word) in data.iter_mut().enumerate() {
        let bits = (mask >> (32 * index)) as u32;
        *word = CapData {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        };
    }
    set(&data)?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    // bubblewrap's hole: believe what the kernel says, not what was asked for
    let now = get()?;
    let same = now
        .iter()
        .zip(&data)
        .all(|(a, b)| a.permitted == b.permitted && a.effective == b.effective);
    if same { Ok(()) } else { Err(libc::EPERM) }
}
