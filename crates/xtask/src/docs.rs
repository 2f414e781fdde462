//! `cargo xtask docs`: what the modules say of themselves, as a page for people and as JSON Schemas for editors.
//!
//! ```text
//! docs/modules.md                   every module: what it does, the options it takes
//! docs/schemas/manifest-v{1,2}.json whole manifests, to complete and check them while they are written
//! ```

mod draft7;
mod editor;
mod modules;
mod options;
mod page;
mod unpinned;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use manifest::Version;
use serde_json::Value;
use support::repository;

use crate::executables::Executables;

/// Write the documentation of the modules, and the schemas of manifests for editors
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only say whether they are up to date
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    executables: Executables,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let binaries = options.executables.get(None)?;
    let modules = modules::all(&binaries)?;
    let mut good = true;
    for (path, right) in documents(&modules)? {
        let path = repository().join(path);
        let name = path.display();
        if fs::read_to_string(&path).is_ok_and(|now| now == right) {
            say!("{name} is up to date");
        } else if options.check {
            say!("{name} is not up to date: run `cargo xtask docs`");
            good = false;
        } else {
            write(&path, &right).with_context(|| format!("cannot write {name}"))?;
            say!("{name} is rewritten");
        }
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All documents: their places in the repository and their texts.
fn documents(modules: &[modules::Module]) -> Result<Vec<(PathBuf, String)>> {
    let one = editor::schema(Version::One, structure("format1")?, modules);
    let one = editor::or_oldest(one, structure("oldest")?);
    let two = editor::schema(Version::Two, structure("format2")?, modules);
    let json = |schema: &Value| format!("{schema:#}\n");
    Ok(vec![
        ("docs/modules.md".into(), page::text(modules)),
        ("docs/schemas/manifest-v1.json".into(), json(&one)),
        ("docs/schemas/manifest-v2.json".into(), json(&two)),
    ])
}

/// A schema that the crate `manifest` checks the structure of manifests by.
fn structure(name: &str) -> Result<Value> {
    let path = repository().join(format!("crates/manifest/src/schemas/{name}.json"));
    let name = path.display();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
    serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text)
}
