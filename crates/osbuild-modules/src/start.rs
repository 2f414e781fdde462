//! How the program begins and ends: as a C program does.
//!
//! Before `main` Rust's runtime looks for the bounds of the stack in `/proc/self/maps`, makes a second stack for who
//! overflows the first, and more of the kind. A third of what it costs to start a module that does little goes there, for
//! each stage anew, and all that comes of it is a message: a module that overflows its stack is killed either way.

use std::ffi::c_int;
use std::process::ExitCode;

/// What the C library calls.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    // SAFETY: no other thread runs yet. As in every Rust program, who writes to a closed pipe is told.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let code = std::panic::catch_unwind(crate::run).unwrap_or(ExitCode::from(101));
    // this writes what is still in stdout's buffer
    std::process::exit(number(code))
}

/// The number in an exit code, which it does not tell.
fn number(code: ExitCode) -> c_int {
    let number = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code);
    number.unwrap_or(1).into()
}
