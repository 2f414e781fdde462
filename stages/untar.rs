//! Unpack a tar archive into the tree.
//!
//! The only file of the input `file`, of any format and compression, is unpacked below `prefix`, which must be there.
//! Owners go by their numbers; modes, times, access control lists, file capabilities and other attributes are restored,
//! SELinux labels are not, nor what the box may not set (`trusted.*`, `security.ima`). What is in the way is replaced,
//! directories are merged. No member leads out of `prefix`: links are followed inside it, and `..` is refused. Device nodes
//! are made where this process may, those of `/dev` are left out otherwise, and others the executor makes, as root.

use std::fs::File;

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.untar`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The directory that it is unpacked into.
    #[serde(default = "root")]
    prefix: String,
}

module::stage! {
    file: "untar.rs", name: "org.osbuild.untar", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["file"],
            "properties": {"file": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [FileCapabilities, DeviceNodes, Tools],
    libraries: [archive::SOURCE_DIGEST],
}

fn root() -> String {
    "/".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let input = args.input("file")?.single_file().context("input `file`")?;
    let to = args
        .tree
        .subtree(&args.options.prefix)
        .context("options: prefix")?;
    let file = File::open(&input.path).with_context(|| format!("cannot open {}", input.name))?;
    let (count, devices) = archive::decompress::open(file)
        .and_then(|content| archive::extract::unpack_most(&to, content))
        .with_context(|| format!("input `file`: {}", input.name))?;
    args.do_as_root(&to, devices)?;
    println!("{count} members unpacked");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Oracle: GNU tar and its filters pack.
    #[test]
    fn every_compression_is_told_by_its_content() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: not root");
            return;
        }
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("f"), "content").unwrap();
        for option in [
            "--gzip", "--bzip2", "--xz", "--lzma", "--zstd", "--lzip", "--lzop", "--totals",
        ] {
            let input = tempfile::tempdir().unwrap();
            let packed = std::process::Command::new("tar")
                .arg(option)
                .args(["-cf", "x", "-C"])
                .args([from.path(), "f".as_ref()])
                .current_dir(input.path())
                .output()
                .unwrap();
            if !packed.status.success() {
                println!("skipped: tar cannot {option}");
                continue;
            }
            let tree = tempfile::tempdir().unwrap();
            std::fs::create_dir(tree.path().join("sub")).unwrap();
            let document = json!({
                "tree": tree.path(), "options": {"prefix": "/sub"},
                "inputs": {"file": {"path": input.path(), "data": {"files": {"x": {}}}}},
            });
            (MODULE.run)(document).unwrap();
            let text = std::fs::read_to_string(tree.path().join("sub/f")).unwrap();
            assert_eq!(text, "content", "{option}");
        }
    }
}
