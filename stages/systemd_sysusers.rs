//! Make the system users and groups that the tree asks for.
//!
//! Runs systemd-sysusers of the build root on the tree: it makes what the files in `sysusers.d` of the tree ask for and
//! is not there yet. The passwords' dates follow `source-epoch`.

use module::{Args, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

/// `org.osbuild.systemd-sysusers` has no options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "systemd_sysusers.rs", name: "org.osbuild.systemd-sysusers", options: Options, run: run,
    needs: [Tools],
}

fn run(args: Args<Options>) -> Result<()> {
    let mut tool = Tool::new("systemd-sysusers").arg("--root").arg(args.tree.path());
    if let Some(epoch) = args.meta.source_epoch {
        tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    tool.run()
}
