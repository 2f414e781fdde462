//! Commit a tree to an OSTree repository.
//!
//! The tree of the input `tree`, laid out as `org.osbuild.ostree.preptree` does it, is committed to `/repo`, an archive
//! repository; `/compose.json` names the commit. Where the build root has rpm-ostree it does the work, and the commit
//! holds what that adds, such as the list of packages; else the tree is committed as it is.
//!
//! Metadata: `{"compose": …}`, what is in `/compose.json`.

use std::path::Path;

use module::{Args, Context, Result, Tool, ensure};
use ostree::{Checksum, Commit, Entry, Mode, Node, Repo};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tree::Tree;

use crate::common;
use crate::sysroot::{self, Treefile};

/// Options of `org.osbuild.ostree.commit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The ref that names the commit.
    #[serde(rename = "ref")]
    #[schemars(extend("default" = ""))]
    reference: String,
    /// Version of the operating system, in the commit's metadata.
    os_version: Option<String>,
    /// Checksum of the commit before this one.
    parent: Option<String>,
    /// How rpm-ostree computes labels; 0 leaves it to that.
    #[serde(default, rename = "selinux-label-version")]
    #[schemars(extend("type" = "integer"))]
    label_version: i64,
}

module::stage! {
    file: "ostree_commit.rs", name: "org.osbuild.ostree.commit", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["tree"],
            "properties": {"tree": {"type": "object", "additionalProperties": true}},
        },
    },
    capabilities: ["CAP_MAC_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"],
    needs: [Anything],
    libraries: [
        sysroot::SOURCE, common::SOURCE,
        ostree::SOURCES[0], ostree::SOURCES[1], ostree::SOURCES[2], ostree::SOURCES[3], ostree::SOURCES[4],
    ],
}

const COMPOSE: &str = "compose.json";

fn run(args: Args<Options>) -> Result<()> {
    match sysroot::has_rpm_ostree() {
        true => with_rpm_ostree(&args)?,
        false => as_it_is(&args)?,
    }
    let compose = args.tree.read(COMPOSE)?;
    let compose: Value = serde_json::from_slice(&compose).context(COMPOSE)?;
    args.set_metadata(&json!({ "compose": compose }))
}

fn with_rpm_ostree(args: &Args<Options>) -> Result<()> {
    let options = &args.options;
    let root = tempfile::Builder::new()
        .prefix(".commit-")
        .tempdir_in(args.tree.path())
        .context("cannot make a directory in the tree")?;
    // it takes what it commits away
    Tool::new("cp")
        .args(["--reflink=auto", "-a"])
        .arg(args.input("tree")?.path.join("."))
        .arg(root.path())
        .run()?;
    let mut treefile = Treefile::default().with("ref", options.reference.as_str());
    if options.label_version != 0 {
        treefile = treefile.with("selinux-label-version", options.label_version);
    }
    let treefile = treefile.file()?;
    let out = args.tree.path();
    let mut tool = Tool::new("rpm-ostree")
        .args(["compose", "commit"])
        .arg(sysroot::option("repo", &out.join("repo")));
    if let Some(parent) = options.parent.as_ref().filter(|parent| !parent.is_empty()) {
        tool = tool.arg(format!("--parent={parent}"));
    }
    if let Some(version) = options.os_version.as_ref().filter(|version| !version.is_empty()) {
        tool = tool.arg(format!("--add-metadata-string=version={version}"));
    }
    let id = args.meta.id.as_deref().unwrap_or_default();
    tool.arg(format!("--add-metadata-string=rpmostree.inputhash={id}"))
        .arg(sysroot::option("write-composejson-to", &out.join(COMPOSE)))
        .arg(treefile.path())
        .arg(root.path())
        .run()
}

/// Commits the tree without rpm-ostree.
fn as_it_is(args: &Args<Options>) -> Result<()> {
    let options = &args.options;
    let tree = args.input("tree")?.tree()?;
    ensure!(
        !tree.exists("etc"),
        "the tree has an /etc: lay it out with org.osbuild.ostree.preptree, or commit it with the assembler"
    );
    let parent = match options.parent.as_deref().filter(|parent| !parent.is_empty()) {
        None => None,
        Some(text) => Some(Checksum::parse(text).with_context(|| format!("`{text}` is not a checksum"))?),
    };
    let repo = Repo::create_in(&args.tree, "repo", Mode::Archive)?;
    let root = repo.write_tree(&tree, &Node::read(&tree)?)?;
    let commit = Commit {
        metadata: metadata(args, &tree)?,
        parent,
        timestamp: u64::try_from(common::now(&args.meta)).unwrap_or_default(),
        ..Commit::default()
    };
    let checksum = repo.write_commit(&commit, root)?;
    if !options.reference.is_empty() {
        repo.set_ref(&options.reference, checksum).context("`ref`")?;
    }
    println!("commit {checksum}");
    let compose = json!({
        "ref": options.reference,
        "rpm-ostree-inputhash": args.meta.id,
        "ostree-commit": checksum.to_string(),
        "ostree-content-checksum": Checksum::of(&[root.0.0, root.1.0].concat()).to_string(),
        "ostree-version": options.os_version,
        "ostree-parent-commit": options.parent,
    });
    Ok(args.tree.write(COMPOSE, format!("{compose:#}\n"))?)
}

/// What the commit says of itself.
fn metadata(args: &Args<Options>, tree: &Tree) -> Result<Vec<(String, Entry)>> {
    let mut metadata = Vec::new();
    let mut add = |key: &str, entry| metadata.push((key.to_owned(), entry));
    if !args.options.reference.is_empty() {
        add(
            "ostree.ref-binding",
            Entry::List(vec![args.options.reference.clone()]),
        );
    }
    if let Some(version) = &args.options.os_version {
        add("version", Entry::Text(version.clone()));
    }
    if let Some(id) = &args.meta.id {
        add("rpmostree.inputhash", Entry::Text(id.clone()));
    }
    if let Some(kernel) = kernel(tree)? {
        add("ostree.bootable", Entry::Flag(true));
        add("ostree.linux", Entry::Text(kernel));
    }
    Ok(metadata)
}

/// The version of the kernel that `ostree` would boot.
fn kernel(tree: &Tree) -> Result<Option<String>> {
    let modules = Path::new("usr/lib/modules");
    if !tree.is_dir(modules) {
        return Ok(None);
    }
    let names = tree.list(modules)?.into_iter();
    let mut with_kernel = names.filter(|name| tree.is_file(modules.join(name).join("vmlinuz")));
    Ok(with_kernel.next().map(|name| name.to_string_lossy().into_owned()))
}
