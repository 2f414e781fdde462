//! All stages and assemblers in one executable.
//!
//! It runs the module it was called as (a link `org.osbuild.hostname` to it), or the one named by its first argument.

use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    // a stage and an assembler may share a name (org.osbuild.noop): the folder of the link, or the prefix, decides
    let assemblers_first = called.to_string_lossy().contains("assemblers/");
    let (first, second) = if assemblers_first {
        (assemblers::MODULES, stages::MODULES)
    } else {
        (stages::MODULES, assemblers::MODULES)
    };
    module::run_main(&[first, second].concat())
}
