//! The `osbuild` command: runs image definitions.
//!
//! Called by the name of a source (a link `org.osbuild.curl` to it), it is that source, with its arguments on stdin. As
//! `osbuild-guest` it is the first process of a virtual machine.

mod attest;
mod checkpoints;
mod cli;
mod exports;
mod fail;
mod fetcher;
mod glob;
mod inspect;
mod load;
mod modules;
mod plan;
mod prefixes;
mod print;
mod provenance;
mod run;
mod signals;
mod size;
mod space;
mod store;
mod summary;
mod trace_file;
mod view;
mod whole_log;
mod words;

use std::path::Path;
use std::process::ExitCode;

use cli::Task;

fn main() -> ExitCode {
    wait_for_children();
    print::exit_code(run_as_called())
}

/// What is to be done, by the name and the arguments of the call.
fn run_as_called() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let called = Path::new(&called)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if called == executor::GUEST {
        return match executor::run_guest() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                print::error(&error.to_string(), None);
                ExitCode::FAILURE
            }
        };
    }
    if called.starts_with("org.osbuild.") {
        return source_by_hand(&called);
    }
    let args: Vec<_> = prefixes::expand(args).collect();
    if let Some(word) = cli::first_word(&args).filter(|at| args[*at] == "store") {
        return crate::store::called(args, word);
    }
    match cli::parse(args.into_iter()) {
        Ok((options, Task::Build)) => run::run(&options),
        Ok((options, Task::Plan)) => plan::run(&options),
        Ok((options, Task::Modules(name))) => modules::run(&options, name.as_deref()),
        Err(code) => code,
    }
}

/// Has the kernel keep our children until they are waited for, which it does not where whoever started us ignores the ends
/// of theirs.
#[allow(unsafe_code)]
fn wait_for_children() {
    // SAFETY: no thread runs yet, and no handler is installed: one is taken away.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

fn source_by_hand(name: &str) -> ExitCode {
    let result = serde_json::from_reader(std::io::stdin().lock())
        .map_err(|e| anyhow::anyhow!("the arguments on stdin are not JSON: {e}"))
        .and_then(|document| sources::run_by_hand(name, document));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            ExitCode::FAILURE
        }
    }
}
