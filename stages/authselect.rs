//! Choose how users are known and checked, with the tree's authselect.
//!
//! What is there is overwritten, without a backup.

use module::{Args, Chroot, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const PROGRAM: &str = "/usr/bin/authselect";

/// Options of `org.osbuild.authselect`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The profile, such as `sssd`.
    profile: String,
    /// Features of the profile to turn on.
    #[serde(default)]
    #[schemars(length(min = 1))]
    features: Vec<String>,
}

module::stage! {
    file: "authselect.rs", name: "org.osbuild.authselect", options: Options, run: run,
    needs: [Chroot],
}

fn run(args: Args<Options>) -> Result<()> {
    let Options { profile, features } = &args.options;
    ensure!(
        args.tree.is_file(PROGRAM),
        "{PROGRAM} is not in the tree: install authselect before this stage"
    );
    Chroot::enter(&args.tree)?
        .tool(PROGRAM)
        .args(["select", "--force", "--nobackup", profile])
        .args(features)
        .run()
}
