//! Write `initrd.addrsize`, which IBM Z needs to boot from an ISO image.
//!
//! 16 bytes: where the initial ram disk is loaded, always 0x02000000, and its size, each as 64 bits with the highest byte
//! first.

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where Lorax has always put the initial ram disk.
const ADDRESS: u64 = 0x0200_0000;

/// Options of `org.osbuild.createaddrsize`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The initial ram disk.
    #[schemars(regex(pattern = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    initrd: String,
    /// The file that is written.
    #[schemars(regex(pattern = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    addrsize: String,
}

module::stage! { file: "createaddrsize.rs", name: "org.osbuild.createaddrsize", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let stat = tree.stat_followed(&options.initrd)?;
    let size = stat
        .with_context(|| format!("{} is not in the tree", options.initrd))?
        .size;
    Ok(tree.write(
        &options.addrsize,
        [ADDRESS.to_be_bytes(), size.to_be_bytes()].concat(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn address_and_size_are_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("i"), vec![0; 0x1234]).unwrap();
        let run = |initrd| {
            (MODULE.run)(json!({"tree": dir.path(), "options": {"initrd": initrd, "addrsize": "/a"}}))
        };
        run("/i").unwrap();
        let bytes = std::fs::read(dir.path().join("a")).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34]);
        assert!(run("/missing").is_err());
    }
}
