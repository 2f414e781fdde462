//! Sign an OSTree commit.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.sign`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The repository.
    repo: String,
    /// The commit's ref.
    #[serde(rename = "ref")]
    #[schemars(extend("default" = ""))]
    reference: String,
    /// The file with the secret key.
    #[schemars(extend("pattern" = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
    key: String,
}

module::stage! {
    file: "ostree_sign.rs", name: "org.osbuild.ostree.sign", options: Options, run: run,
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let Options { repo, reference, key } = &args.options;
    let repo = sysroot::option("repo", &sysroot::below(args.tree.path(), repo));
    let key = sysroot::option("keys-file", &sysroot::below(args.tree.path(), key));
    sysroot::ostree(&["sign", reference, &repo, &key]).run()
}
