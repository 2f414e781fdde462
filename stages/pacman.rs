//! Install Arch Linux packages.
//!
//! The packages of the input `packages` are installed with the pacman of the build root, in one transaction and without
//! network; hooks and scripts run in the tree. Nothing is resolved here. `/etc/machine-id` ends as it was, or empty.
//!
//! The time of installation in the database is the pipeline's source-epoch, and pacman's log is removed: two builds
//! give the same tree.
//!
//! Metadata: `{"packages": [{"name", "version", "release", "epoch", "arch", …}]}`, all packages of the tree.

mod database;

use module::{Args, Chroot, Context, Input, Result, Tool, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.pacman`: none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "pacman.rs", name: "org.osbuild.pacman", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["packages"],
            "properties": {"packages": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything],
    libraries: [common::SOURCE, include_str!("pacman/database.rs")],
}

const MACHINE_ID: &str = "etc/machine-id";
/// What scripts see meanwhile: every build the same.
const NEUTRAL_ID: &str = "ffffffffffffffffffffffffffffffff\n";
/// What differs from build to build, or must not be shared by all that boot the image.
const VOLATILE: [&str; 2] = ["var/log/pacman.log", "var/lib/systemd/random-seed"];

fn run(args: Args<Options>) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let tree = &args.tree;
    let neutral = !tree.exists(MACHINE_ID);
    if neutral {
        tree.mkdir_all("etc")?;
        tree.write(MACHINE_ID, NEUTRAL_ID)?;
        tree.chmod(MACHINE_ID, 0o444)?;
    }
    let had_log = tree.exists(VOLATILE[0]);
    tree.mkdir_all("var/lib/pacman")?;
    install(&args, args.input("packages")?)?;
    if neutral {
        tree.remove_all(MACHINE_ID)?;
        tree.write(MACHINE_ID, "")?;
    }
    for path in VOLATILE.iter().skip(usize::from(had_log)) {
        tree.remove_all(path)?;
    }
    if let Some(epoch) = args.meta.source_epoch {
        database::set_time(tree, epoch)?;
    }
    args.set_metadata(&database::metadata(tree)?)
}

/// Runs pacman, which changes its root to the tree: the packages must be in it.
fn install(args: &Args<Options>, packages: &Input) -> Result<()> {
    common::link_descriptors().or_else(|error| match args.tree.path().starts_with("/run/osbuild") {
        true => Err(error),
        // outside of a box they are there, or not ours to make
        false => Ok(()),
    })?;
    let aside = tempfile::Builder::new()
        .prefix(".pacman-")
        .tempdir_in(args.tree.path());
    let aside = aside.context("cannot make a directory in the tree")?;
    let name = aside
        .path()
        .file_name()
        .context("it has no name")?
        .to_string_lossy()
        .into_owned();
    let mut paths = Vec::new();
    for file in packages.files() {
        std::fs::copy(&file.path, aside.path().join(&file.name))
            .with_context(|| format!("cannot copy the package {}", file.name))?;
        paths.push(format!("{name}/{}", file.name));
    }
    if paths.is_empty() {
        return Ok(());
    }
    let _chroot = Chroot::with_kernel_only(&args.tree)?;
    let mut tool = Tool::new("pacman").args(["-U", "--noconfirm", "--verbose"]);
    if !args.tree.exists("etc/pacman.conf") {
        // pacman insists on one, and changes its root before it reads it
        args.tree
            .write(format!("{name}/pacman.conf"), "[options]\nArchitecture = auto\n")?;
        tool = tool.arg("--config").arg(format!("/{name}/pacman.conf"));
    }
    if let Some(epoch) = args.meta.source_epoch {
        tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    // what was opened before does not see the new mounts
    let tree = Tree::open(args.tree.path())?;
    tool.arg("--sysroot").arg(tree.path()).args(paths).dir("/").run()
}

#[cfg(test)]
mod tests;
