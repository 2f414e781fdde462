//! Fill `/var` of an OSTree deployment with the directories that its own `tmpfiles.d` makes.

use module::{Args, Result, Tool, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use tree::Tree;

use crate::sysroot::{self, Binds, Deployment};

/// Options of `org.osbuild.ostree.fillvar`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Which deployment.
    deployment: Deployment,
}

module::stage! {
    file: "ostree_fillvar.rs", name: "org.osbuild.ostree.fillvar", options: Options, run: run,
    needs: [FileCapabilities, Mounts, Tools],
    libraries: [sysroot::SOURCE],
}

/// What a system needs before its first boot has made it, as Anaconda and Fedora CoreOS have it.
const TARGETS: [&str; 10] = [
    "home",
    "roothome",
    "lib/rpm",
    "opt",
    "srv",
    "usrlocal",
    "mnt",
    "media",
    "spool",
    "spool/mail",
];

/// systemd-tmpfiles(8): some lines had to be left out, nothing else was wrong.
const SOME_IGNORED: i32 = 65;

fn run(args: Args<Options>) -> Result<()> {
    let found = args.options.deployment.find(&args.tree)?;
    let var = args
        .tree
        .path()
        .join("ostree/deploy")
        .join(&found.osname)
        .join("var");
    let deployment = args.tree.path().join(&found.path);
    let mut binds = Binds::default();
    binds.mount(&var, &deployment.join("var"))?;
    populate(&Tree::open(deployment)?)
}

/// Makes what is missing below `var` of a root, by the root's own tmpfiles.d.
pub(crate) fn populate(root: &Tree) -> Result<()> {
    for target in ["lib", "log"] {
        root.mkdir_all(format!("var/{target}"))?;
    }
    for target in TARGETS {
        if root.exists(format!("var/{target}")) {
            continue;
        }
        let status = Tool::new("systemd-tmpfiles")
            .args(["--create", "--boot"])
            .arg(sysroot::option("root", root.path()))
            .arg(format!("--prefix=/var/{target}"))
            .status()?;
        if !matches!(status, 0 | SOME_IGNORED) {
            bail!("systemd-tmpfiles cannot make /var/{target}: exit code {status}");
        }
    }
    Ok(())
}
