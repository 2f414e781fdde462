//! `image-builder`: from a blueprint to a manifest in which every package is pinned, and from there to an image.
//!
//! Packages are resolved with the distribution's own solver; the manifest is printed, or handed to `osbuild`.

mod apt;
mod blueprint;
mod build;
mod cache;
mod child;
mod cli;
mod compose;
mod crypt;
mod distro;
mod dnf;
mod error;
mod generate;
mod image_type;
mod packages;
mod print;
mod resolve;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    wait_for_children();
    let cli = Cli::parse();
    if let Err(error) = child::listen() {
        print::note(&format!("cannot listen to signals: {error}"));
        return ExitCode::FAILURE;
    }
    let result = match &cli.command {
        Command::Manifest(image) => compose::manifest(image).and_then(|manifest| print::manifest(&manifest)),
        Command::Build(build) => build::run(build),
        Command::Resolve(resolve) => resolve::run(resolve),
        Command::List => print::list(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::note(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Has the kernel keep our children until they are waited for, which it does not where whoever started us ignores the ends
/// of theirs.
#[allow(unsafe_code)]
fn wait_for_children() {
    // SAFETY: no thread runs yet, and no handler is installed: one is taken away.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
