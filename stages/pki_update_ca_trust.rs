//! Make the system trust the certificate authorities that are in the tree.
//!
//! Runs the tree's own `update-ca-trust extract` or, in Debian and what is derived from it, `update-ca-certificates`.

use module::{Args, Chroot, Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;

const PROGRAMS: [(&str, &[&str]); 2] = [
    ("/usr/bin/update-ca-trust", &["extract"]),
    ("/usr/sbin/update-ca-certificates", &[]),
];

/// `org.osbuild.pki.update-ca-trust` has no options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "pki_update_ca_trust.rs", name: "org.osbuild.pki.update-ca-trust", options: Options, run: run,
    needs: [Chroot],
}

fn run(args: Args<Options>) -> Result<()> {
    let found = PROGRAMS.iter().find(|(program, _)| args.tree.is_file(program));
    let Some((program, arguments)) = found else {
        bail!("the tree has neither update-ca-trust nor update-ca-certificates: install ca-certificates");
    };
    Chroot::enter(&args.tree)?.tool(program).args(*arguments).run()
}
