//! Bring the configuration of authentication up to date with the tree's authconfig.
//!
//! For trees of Enterprise Linux 7. Backups that authselect makes of it are removed.

use module::{Args, Chroot, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const PROGRAM: &str = "/usr/sbin/authconfig";

/// Options of `org.osbuild.authconfig`: there are none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "authconfig.rs", name: "org.osbuild.authconfig", options: Options, run: run,
    needs: [Chroot],
}

fn run(args: Args<Options>) -> Result<()> {
    let tree = &args.tree;
    ensure!(
        tree.is_file(PROGRAM),
        "{PROGRAM} is not in the tree: install authconfig before this stage"
    );
    Chroot::enter(tree)?
        .tool(PROGRAM)
        .args(["--nostart", "--updateall"])
        .run()?;
    Ok(tree.remove_all("var/lib/authselect/backups")?)
}
