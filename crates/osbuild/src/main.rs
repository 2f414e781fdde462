//! The `osbuild` command: runs image definitions.
//!
//! Called by the name of a source (a link `org.osbuild.curl` to it), it is that source, with its arguments on stdin.

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
mod run;
mod signals;
mod size;
mod summary;
mod view;

use std::path::Path;
use std::process::ExitCode;

use cli::Task;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let called = Path::new(&called)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if called.starts_with("org.osbuild.") {
        return source_by_hand(&called);
    }
    match cli::parse(args) {
        Ok((options, Task::Build)) => run::run(&options),
        Ok((options, Task::Plan)) => plan::run(&options),
        Ok((options, Task::Modules(name))) => modules::run(&options, name.as_deref()),
        Err(code) => code,
    }
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
