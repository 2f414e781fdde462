//! Make the keyring of pacman in an Arch Linux tree, with the tree's own `pacman-key`.
//!
//! The key that `pacman-key --init` makes, to sign others with, is another one in each build.

use module::{Args, Chroot, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.pacman-keyring`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The keyrings in `/usr/share/pacman/keyrings` whose keys are trusted.
    #[serde(default = "archlinux")]
    #[schemars(extend("default" = "archlinux"))]
    keyrings: Vec<String>,
}

fn archlinux() -> Vec<String> {
    vec!["archlinux".into()]
}

module::stage! {
    file: "pacman_keyring.rs", name: "org.osbuild.pacman-keyring", options: Options, run: run,
    needs: [Chroot],
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    common::link_descriptors()?;
    let chroot = Chroot::enter(&args.tree)?;
    chroot.tool("pacman-key").arg("--init").run()?;
    let populated = chroot
        .tool("pacman-key")
        .arg("--populate")
        .args(&args.options.keyrings);
    let result = populated.run();
    // the agent that gpg started would outlive the stage
    let home = ["--homedir", "/etc/pacman.d/gnupg", "--kill", "all"];
    chroot.tool("gpgconf").args(home).status()?;
    result
}
