//! Make a system root, and deploy the OSTree commit of the input `commit` in it.
//!
//! Deprecated: the stages `org.osbuild.ostree.*` do each step of this by itself. The steps are: a root with its repository
//! and state root, the commit, the deployment with its kernel arguments, `/var` filled (`populate_var`), the labels of the
//! deployment's SELinux policy where one is enabled, and the remotes.

use std::path::Path;

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::labels;
use crate::ostree_fillvar::populate;
use crate::ostree_remotes::{self, Remote};
use crate::sysroot::{self, Binds, Rootfs};

/// Options of `org.osbuild.ostree`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    /// Paths that will be file systems of their own.
    #[serde(default)]
    mounts: Vec<Mount>,
    /// The operating system's name.
    osname: String,
    /// Kernel arguments.
    #[serde(default)]
    kernel_opts: Vec<String>,
    /// Ignored: the name of the commit is the input's.
    #[serde(rename = "ref")]
    #[allow(dead_code)]
    reference: Option<String>,
    /// Repositories that the system pulls from.
    #[serde(default)]
    remotes: Vec<Remote>,
    /// The root file system.
    rootfs: Option<Rootfs>,
    /// Fill `/var` with what its own tmpfiles.d says.
    #[serde(default)]
    populate_var: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Mount {
    /// Where it is.
    path: String,
    /// Its permission bits.
    #[serde(default = "usual_mode")]
    #[schemars(extend("type" = "integer", "default" = 493))]
    mode: u32,
}

fn usual_mode() -> u32 {
    0o755
}

module::stage! {
    file: "ostree.rs", name: "org.osbuild.ostree", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["commit"],
            "properties": {"commit": {"type": "object", "additionalProperties": true}},
        },
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [FileCapabilities, Mounts, Labels, Tools],
    libraries: [
        sysroot::SOURCE, labels::SOURCE, include_str!("ostree_fillvar.rs"), include_str!("ostree_remotes.rs"),
    ],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let (tree, root) = (&args.tree, args.tree.path());
    let (repo, sysroot_option) = (
        sysroot::option("repo", &root.join("ostree/repo")),
        sysroot::option("sysroot", root),
    );
    let shown = root.to_string_lossy();
    sysroot::ostree(&["admin", "init-fs", "--modern", &shown, &sysroot_option]).run()?;
    let input = args.input("commit")?;
    let (_, commits) = sysroot::commits(input)?;
    let commit = commits.keys().next_back().context("the input has no commit")?;
    let names = sysroot::pull(input, &root.join("ostree/repo"), None)?;
    let name = names.last().context("the input has no commit")?;
    sysroot::ostree(&["admin", "os-init", &options.osname, &sysroot_option]).run()?;
    deploy(&args, name, &sysroot_option)?;

    let stateroot = format!("ostree/deploy/{}", options.osname);
    let deployment = format!("{stateroot}/deploy/{commit}.0");
    if options.populate_var {
        populate(&tree.subtree(&stateroot)?)?;
    }
    sysroot::ostree(&["config", "set", "sysroot.readonly", "true", &repo]).run()?;
    if sysroot::has_policy(tree, Path::new(&deployment))? {
        sysroot::label(&args, Path::new(&deployment), Path::new(&stateroot))?;
    }
    ostree_remotes::add(&options.remotes, &repo)
}

/// Deploys the commit `name`, while the mounts are there.
fn deploy(args: &Args<Options>, name: &str, sysroot_option: &str) -> Result<()> {
    let options = &args.options;
    let mut paths = Vec::new();
    for mount in &options.mounts {
        args.tree.mkdir_all(&mount.path)?;
        args.tree.chmod(&mount.path, mount.mode)?;
        paths.push(mount.path.clone());
    }
    let _binds = Binds::on_themselves(args.tree.path(), &paths)?;
    let mut words = vec!["admin".to_owned(), "deploy".into(), name.to_owned()];
    if let Some(rootfs) = &options.rootfs {
        words.push(format!("--karg={}", rootfs.argument()?));
    }
    words.extend(
        options
            .kernel_opts
            .iter()
            .map(|option| format!("--karg-append={option}")),
    );
    words.extend([sysroot_option.to_owned(), format!("--os={}", options.osname)]);
    sysroot::ostree(&words.iter().map(String::as_str).collect::<Vec<_>>()).run()
}
