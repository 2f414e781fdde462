//! What is done to the project rather than by it: `cargo xtask demo | test | torture | install | gen | docs | new-stage |
//! bench`.

#[macro_use]
mod say;

mod apt;
mod bench;
mod demo;
mod docs;
mod executables;
mod generate;
mod install;
mod new_stage;
mod packages;
mod privilege;
mod progress;
mod test;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Demo(demo::Options),
    Test(test::Options),
    Torture(torture::Options),
    Install(install::Options),
    Gen(generate::Options),
    Docs(docs::Options),
    NewStage(new_stage::Options),
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Torture(options) => torture::run(&options),
        Task::Install(options) => install::run(&options),
        Task::Gen(options) => generate::run(&options),
        Task::Docs(options) => docs::run(&options),
        Task::NewStage(options) => new_stage::run(&options),
        Task::Bench(options) => bench::run(&options),
    };
    result.unwrap_or_else(|error| {
        complain!("error: {error:#}");
        ExitCode::FAILURE
    })
}
