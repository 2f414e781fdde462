//! OSTree repositories and deployments in a tree, reached through the build root's `ostree`.

mod binds;
mod deployment;
mod policy;
mod treefile;

pub use binds::Binds;
pub use deployment::{Deployment, boot_path, origin};
pub use policy::{has_policy, label};
pub use treefile::Treefile;

use std::path::{Path, PathBuf};

use module::{Args, Context, Input, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("binds.rs"),
    include_str!("deployment.rs"),
    include_str!("policy.rs"),
    include_str!("treefile.rs"),
);

/// The root file system, as the kernel is told of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["uuid"]}, {"required": ["label"]}]))]
pub struct Rootfs {
    /// Its label.
    label: Option<String>,
    /// Its UUID.
    uuid: Option<String>,
}

impl Rootfs {
    /// The kernel argument `root=`.
    pub fn argument(&self) -> Result<String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (given(&self.uuid), given(&self.label)) {
            (Some(uuid), _) => Ok(format!("root=UUID={uuid}")),
            (None, Some(label)) => Ok(format!("root=LABEL={label}")),
            _ => module::bail!("`rootfs` has neither a `uuid` nor a `label`"),
        }
    }
}

/// `ostree` with these arguments, which stand in the log.
pub fn ostree(args: &[&str]) -> Tool {
    println!("ostree {}", args.join(" "));
    Tool::new("ostree").args(args)
}

/// Whether the build root has rpm-ostree.
pub fn has_rpm_ostree() -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join("rpm-ostree").is_file())
}

/// A path of the tree, as the tools want it: absolute, whether or not it is written with a slash.
pub fn below(tree: &Path, path: &str) -> PathBuf {
    tree.join(path.trim_start_matches('/'))
}

/// An argument such as `--repo=PATH`.
pub fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// The commits of an input: its repository, and for each commit its options.
pub fn commits(input: &Input) -> Result<(&Path, &Map<String, Value>)> {
    let refs = input.data["refs"]
        .as_object()
        .context("the input names no commits")?;
    ensure!(!refs.is_empty(), "the input must have a commit at least");
    Ok((&input.path, refs))
}

/// What a commit of an input is called by: its ref, or its checksum.
pub fn name<'a>((commit, options): (&'a String, &'a Value)) -> &'a str {
    options["ref"].as_str().unwrap_or(commit)
}

/// Takes the commits of an input over into the repository `repo`; their names. With `remote` refs are those of the
/// remote.
pub fn pull(input: &Input, repo: &Path, remote: Option<&str>) -> Result<Vec<String>> {
    let (source, refs) = commits(input)?;
    let mut names = Vec::new();
    for commit in refs {
        let name = name(commit);
        let source = source.to_string_lossy();
        let mut args = vec!["pull-local", &source, name];
        let remote = remote.map(|remote| format!("--remote={remote}"));
        args.extend(remote.as_deref());
        let repo = option("repo", repo);
        args.push(&repo);
        ostree(&args).run()?;
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The kernel arguments of a deployment: those given, then that of the root file system.
pub fn kernel_arguments(given: &[String], rootfs: Option<&Rootfs>) -> Result<Vec<String>> {
    let mut all = given.to_vec();
    if let Some(rootfs) = rootfs {
        all.push(rootfs.argument()?);
    }
    Ok(all)
}

/// Refuses a second input, as the schema does.
pub fn one_input_at_most<O>(args: &Args<O>) -> Result<()> {
    ensure!(args.inputs.len() <= 1, "only one input is taken");
    Ok(())
}
