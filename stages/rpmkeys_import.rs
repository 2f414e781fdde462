//! Import keys into the package database of an RPM tree.
//!
//! The keys are the files of the input `keys`. Where the rpm of the build root has its database in a home directory, as
//! Debian's does, the database of the tree is the one that is there, or `/usr/lib/sysimage/rpm`.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::rpm;

/// Options of `org.osbuild.rpmkeys.import`: none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "rpmkeys_import.rs", name: "org.osbuild.rpmkeys.import", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["keys"],
            "properties": {"keys": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Chroot],
    libraries: [include_str!("rpm.rs"), include_str!("rpm/query.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let files: Vec<_> = args
        .input("keys")?
        .files()
        .into_iter()
        .map(|file| file.path)
        .collect();
    rpm::import_files(&args.tree, args.meta.source_epoch, &files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::process::Command;

    #[test]
    fn rpm_lists_the_key() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["gpg", "keys", "tree"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let gpg = |args: &[&str]| {
            Command::new("gpg")
                .arg("--homedir")
                .arg(at("gpg"))
                .args(args)
                .output()
        };
        let made = gpg(&[
            "--batch",
            "--passphrase",
            "",
            "--quick-generate-key",
            "ada@example.org",
            "rsa2048",
            "sign",
        ]);
        if !rustix::process::geteuid().is_root() || made.is_err() || Command::new("rpmkeys").output().is_err()
        {
            return println!("skipped: needs root, gpg and rpmkeys");
        }
        let key = gpg(&["--armor", "--export"]).unwrap().stdout;
        Command::new("gpgconf")
            .arg("--homedir")
            .arg(at("gpg"))
            .args(["--kill", "all"])
            .status()
            .unwrap();
        assert!(!key.is_empty(), "{made:?}");
        std::fs::write(at("keys/sha256:ab"), key).unwrap();
        let input = json!({"path": at("keys"), "data": {"files": {"sha256:ab": {}}}});
        (MODULE.run)(json!({"tree": at("tree"), "options": {}, "inputs": {"keys": input}})).unwrap();
        let list = Command::new("rpm")
            .args(["--dbpath", "/usr/lib/sysimage/rpm", "--root"])
            .arg(at("tree"))
            .args(["-q", "gpg-pubkey", "--qf", "%{SUMMARY}"])
            .output()
            .unwrap();
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.contains("ada@example.org"), "{list}");
    }
}
