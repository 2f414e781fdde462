//! `image-builder`: from a blueprint to a manifest in which every package is pinned, and from there to an image.
//!
//! Packages are resolved with the distribution's own solver; the manifest is printed, or handed to `osbuild`.

mod apt;
mod blueprint;
mod build;
mod cache;
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
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Manifest(image) => compose::manifest(image).and_then(|manifest| print::manifest(&manifest)),
        Command::Build(build) => build::run(build),
        Command::Resolve(resolve) => resolve::run(resolve),
        Command::List => print::list(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
