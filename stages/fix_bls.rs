//! Repair the paths in boot entries.
//!
//! Tools that make entries while a tree is built write paths as the build sees them, such as
//! `/run/osbuild/tree/boot/vmlinuz`. In each line of `/boot/loader/entries/*.conf`, what stands between the first slash
//! and the last `/boot`, that included, becomes `prefix`.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.fix-bls`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What paths begin with: empty where `/boot` is a file system of its own.
    #[serde(default = "boot")]
    prefix: String,
    /// Leave paths alone that begin with `/boot`.
    #[serde(default = "yes")]
    require_boot_prefix: bool,
}

module::stage! {
    file: "fix_bls.rs", name: "org.osbuild.fix-bls", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn boot() -> String {
    "/boot".into()
}

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    for path in common::boot_entries(&args.tree, "boot")? {
        let text = args.tree.read_text(&path)?;
        let fixed: String = text
            .split_inclusive('\n')
            .map(|line| fixed(line, &args.options))
            .collect();
        args.tree.write(&path, fixed)?;
    }
    Ok(())
}

fn fixed(line: &str, options: &Options) -> String {
    match (line.find('/'), line.rfind("/boot")) {
        (Some(start), Some(last)) if start < last || !options.require_boot_prefix => {
            let rest = &line[last + "/boot".len()..];
            format!("{}{}{rest}", &line[..start], options.prefix)
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_first_slash_to_the_last_boot() {
        let fix = |line, prefix: &str, require_boot_prefix| {
            let prefix = prefix.to_owned();
            fixed(
                line,
                &Options {
                    prefix,
                    require_boot_prefix,
                },
            )
        };
        assert_eq!(fix("linux /a/b/boot/k\n", "/boot", true), "linux /boot/k\n");
        assert_eq!(fix("linux /boot/k", "/x", true), "linux /boot/k");
        assert_eq!(fix("linux /boot/k", "", false), "linux /k");
        assert_eq!(fix("linux /boot/boot/k", "/b", true), "linux /b/k");
        assert_eq!(
            fix("title boot/x", "/b", false),
            "title boot/x".replace("/boot", "/b")
        );
    }
}
