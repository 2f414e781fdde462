//! Add the root certificates of a FIDO Device Onboard manufacturing server.
//!
//! The file of the input `rootcerts` becomes `/fdo_diun_pub_key_root_certs.pem`, which the installer passes on.

use std::os::unix::fs::PermissionsExt;

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "fdo_diun_pub_key_root_certs.pem";

/// `org.osbuild.fdo` has no options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "fdo.rs", name: "org.osbuild.fdo", options: Options, run: run,
    takes: {"inputs": {
        "type": "object", "additionalProperties": false, "required": ["rootcerts"],
        "properties": {"rootcerts": {"type": "object", "additionalProperties": true}},
    }},
}

fn run(args: Args<Options>) -> Result<()> {
    let file = args.input("rootcerts")?.single_file()?;
    let shown = || format!("cannot read {}", file.path.display());
    let bytes = std::fs::read(&file.path).with_context(shown)?;
    let mode = std::fs::metadata(&file.path)
        .with_context(shown)?
        .permissions()
        .mode();
    args.tree.write(FILE, bytes)?;
    Ok(args.tree.chmod(FILE, mode & 0o7777)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_only_file_is_taken() {
        let (tree, input) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(input.path().join("a"), "pem").unwrap();
        let run = |files| {
            let rootcerts = json!({"path": input.path(), "data": {"files": files}});
            (MODULE.run)(json!({"tree": tree.path(), "options": {}, "inputs": {"rootcerts": rootcerts}}))
        };
        assert!(run(json!({"a": {}, "b": {}})).is_err());
        run(json!({"a": {}})).unwrap();
        assert_eq!(std::fs::read_to_string(tree.path().join(FILE)).unwrap(), "pem");
    }
}
