//! Label what an OSTree deployment wrote outside of its commit.
//!
//! `/boot` of the tree, `/etc` of the deployment and `/var` of its state root get the labels of the deployment's own
//! policy, which must be enabled. As with `org.osbuild.selinux`, only a build of the machine's root can set labels.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::labels;
use crate::sysroot::{self, Deployment};

/// Options of `org.osbuild.ostree.selinux`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Which deployment.
    deployment: Deployment,
}

module::stage! {
    file: "ostree_selinux.rs", name: "org.osbuild.ostree.selinux", options: Options, run: run,
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [Labels, Tools],
    libraries: [sysroot::SOURCE, labels::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let found = args.options.deployment.find(&args.tree)?;
    let stateroot = std::path::Path::new("ostree/deploy").join(&found.osname);
    sysroot::label(&args, &found.path, &stateroot)
}
