//! Write `/.discinfo`, by which an installer knows its medium.
//!
//! Three lines: the time of the build in seconds, which is the pipeline's `source-epoch` where it has one, the release
//! and the architecture.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.discinfo`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    /// The architecture.
    basearch: String,
    /// The product and its version, such as `Fedora 43`.
    release: String,
}

module::stage! {
    file: "discinfo.rs", name: "org.osbuild.discinfo", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let Options { basearch, release } = &args.options;
    let time = common::now(&args.meta);
    Ok(args
        .tree
        .write(".discinfo", format!("{time}.0\n{release}\n{basearch}\n"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn three_lines() {
        let dir = tempfile::tempdir().unwrap();
        let options = json!({"basearch": "x86_64", "release": "Fedora 43"});
        let meta = json!({"source-epoch": 1_700_000_000});
        (MODULE.run)(json!({"tree": dir.path(), "options": options, "meta": meta})).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join(".discinfo")).unwrap(),
            "1700000000.0\nFedora 43\nx86_64\n"
        );
    }
}
