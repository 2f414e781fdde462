//! Set the policy for all cryptography of the system.
//!
//! Runs the tree's own `update-crypto-policies --set`, so the tree must have it.

use module::{Args, Chroot, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const PROGRAM: &str = "/usr/bin/update-crypto-policies";

/// Options of `org.osbuild.update-crypto-policies`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The policy, such as `FUTURE`, with subpolicies after colons.
    #[schemars(length(min = 1))]
    policy: String,
}

module::stage! {
    file: "update_crypto_policies.rs", name: "org.osbuild.update-crypto-policies", options: Options, run: run,
    needs: [Chroot],
}

fn run(args: Args<Options>) -> Result<()> {
    ensure!(
        args.tree.is_file(PROGRAM),
        "{PROGRAM} is not in the tree: install crypto-policies-scripts (Debian: crypto-policies) in an earlier stage"
    );
    Chroot::enter(&args.tree)?
        .tool(PROGRAM)
        .args(["--set", &args.options.policy])
        .run()
}
