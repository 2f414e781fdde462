//! Commit the tree to an OSTree repository.
//!
//! The output is `repo`, an archive repository with one commit, and `compose.json`, which names it; or a tar archive of
//! both. The tree is committed in the layout of an OSTree deployment, without being changed itself:
//!
//! * `/etc` is committed as `/usr/etc`; the kernel and initramfs of `/boot` also as
//!   `/usr/lib/modules/VERSION/vmlinuz` and `initramfs.img`
//! * `/home`, `/opt`, `/srv`, `/mnt`, `/root`, `/media` and `/ostree` become links to `var/home`, `var/opt`, `var/srv`,
//!   `var/mnt`, `var/roothome`, `run/media` and `sysroot/ostree`
//! * `/var` is committed empty; a `tmpfiles.d` file makes its directories and links at boot and copies its files, and
//!   those of the moved directories, from `/usr/share/factory/var`. Caches and logs are left out. The package databases go to
//!   `/usr/lib/sysimage/dpkg` and `/usr/share/rpm`
//! * `/dev`, `/proc`, `/run`, `/sys` and `/tmp` are empty
//!
//! A tree that is laid out so already is committed as it is. The time of the commit is the pipeline's source epoch.
//!
//! In format 2 the name means the stage `org.osbuild.ostree.commit`; there this is `org.osbuild.ostree.commit.assembler`.

mod kernel;
mod layout;
mod var;

use archive::compress::{self, Compression};
use archive::tar::{self, Archive};
use module::{Args, Context, Result};
use ostree::{Checksum, Commit, Entry, Mode, Node, Repo};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tree::Tree;

/// Options of `org.osbuild.ostree.commit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The ref that names the commit, such as `debian/12/x86_64/server`; none where it is empty.
    #[schemars(extend("default" = ""))]
    #[serde(rename = "ref")]
    reference: String,
    /// Version of the operating system, in the commit's metadata.
    os_version: Option<String>,
    /// Whether `/tmp` is a directory, and not a link to `sysroot/tmp`.
    #[serde(default = "yes", rename = "tmp-is-dir")]
    tmp_is_dir: bool,
    /// Checksum of the commit before this one.
    parent: Option<String>,
    /// Make a tar archive of the result.
    tar: Option<Tar>,
}

/// Make a tar archive of the result.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tar {
    /// Its name; the ending tells the compression.
    filename: String,
}

module::assembler! {
    file: "ostree_commit.rs", name: "org.osbuild.ostree.commit", options: Options, run: run,
    aliases: ["org.osbuild.ostree.commit.assembler"],
    needs: [Tools],
    libraries: [
        include_str!("ostree_commit/kernel.rs"),
        include_str!("ostree_commit/layout.rs"),
        include_str!("ostree_commit/var.rs"),
        ostree::SOURCES[0], ostree::SOURCES[1], ostree::SOURCES[2], ostree::SOURCES[3], ostree::SOURCES[4],
        archive::SOURCE_DIGEST,
    ],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let parent = match &options.parent {
        None => None,
        Some(text) => Some(
            Checksum::parse(text)
                .with_context(|| format!("`parent`: `{text}` is not a checksum of 64 hexadecimal digits"))?,
        ),
    };
    let mut node = Node::read(&args.tree)?;
    layout::convert(&mut node, options.tmp_is_dir)?;
    let kernel = kernel::place(&mut node)?;

    // in a place of its own while the result is a tar archive
    let scratch = match options.tar {
        Some(_) => Some(
            tempfile::Builder::new()
                .prefix("ostree-")
                .tempdir_in(args.output()?.path())
                .context("cannot make a directory for the repository")?,
        ),
        None => None,
    };
    let output = match &scratch {
        Some(scratch) => Tree::open(scratch.path())?,
        None => args.output()?.subtree("")?,
    };
    let repo = Repo::create_in(&output, "repo", Mode::Archive)?;
    let root = repo.write_tree(&args.tree, &node)?;
    let commit = Commit {
        metadata: metadata(&args, kernel.as_deref()),
        parent,
        subject: String::new(),
        body: String::new(),
        timestamp: epoch(&args),
    };
    let checksum = repo.write_commit(&commit, root)?;
    if !options.reference.is_empty() {
        repo.set_ref(&options.reference, checksum).context("`ref`")?;
    }
    println!("commit {checksum}");
    let compose = compose(&args, checksum, root, commit.timestamp);
    output.write(
        "compose.json",
        format!("{}\n", serde_json::to_string_pretty(&compose)?),
    )?;
    args.set_metadata(&json!({ "compose": compose }))?;
    match &options.tar {
        Some(tar) => archive(&args, &output, &tar.filename),
        None => Ok(()),
    }
}

/// What the commit says of itself.
fn metadata(args: &Args<Options>, kernel: Option<&str>) -> Vec<(String, Entry)> {
    let mut metadata = Vec::new();
    let mut add = |key: &str, entry| metadata.push((key.to_owned(), entry));
    if !args.options.reference.is_empty() {
        let refs = vec![args.options.reference.clone()];
        add("ostree.ref-binding", Entry::List(refs));
    }
    if let Some(version) = &args.options.os_version {
        add("version", Entry::Text(version.clone()));
    }
    if let Some(id) = &args.meta.id {
        add("rpmostree.inputhash", Entry::Text(id.clone()));
    }
    if let Some(kernel) = kernel {
        add("ostree.bootable", Entry::Flag(true));
        add("ostree.linux", Entry::Text(kernel.to_owned()));
    }
    metadata
}

/// `compose.json`, with the members that rpm-ostree's has.
fn compose(args: &Args<Options>, commit: Checksum, root: (Checksum, Checksum), timestamp: u64) -> Value {
    let options = &args.options;
    let mut compose = Map::new();
    let mut add = |key: &str, value: Value| compose.insert(key.to_owned(), value);
    if !options.reference.is_empty() {
        add("ref", options.reference.clone().into());
    }
    if let Some(id) = &args.meta.id {
        add("rpm-ostree-inputhash", id.clone().into());
    }
    add("ostree-commit", commit.to_string().into());
    add(
        "ostree-content-checksum",
        content_checksum(root).to_string().into(),
    );
    add("ostree-timestamp", rfc3339(timestamp).into());
    if let Some(version) = &options.os_version {
        add("ostree-version", version.clone().into());
    }
    if let Some(parent) = &options.parent {
        add("ostree-parent-commit", parent.clone().into());
    }
    Value::Object(compose)
}

/// A checksum of the committed tree alone, as `ostree_commit_get_content_checksum` makes it: of the root's dirtree and
/// dirmeta.
fn content_checksum(root: (Checksum, Checksum)) -> Checksum {
    Checksum::of(&[root.0.0, root.1.0].concat())
}

/// Replaces what is in the output directory by an archive of it.
fn archive(args: &Args<Options>, content: &Tree, filename: &str) -> Result<()> {
    let file = args.output()?.create_file(filename).context("`tar.filename`")?;
    let time = i64::try_from(epoch(args)).unwrap_or_default();
    compress::write(file, Compression::of_name(filename), |out| {
        let options = tar::Options {
            mtime: Some(time),
            ..tar::Options::default()
        };
        let mut archive = Archive::new(out, options);
        archive.append_tree(&content.subtree("repo")?, "repo")?;
        archive.append_path(content, "compose.json")?;
        archive.finish()
    })
    .with_context(|| format!("cannot write {filename}"))
}

/// The commit's time: the source epoch, else the environment's, else 1970, so that a commit depends on its tree alone.
fn epoch(args: &Args<Options>) -> u64 {
    let environment = || std::env::var("SOURCE_DATE_EPOCH").ok()?.parse().ok();
    args.meta
        .source_epoch
        .or_else(environment)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or_default()
}

/// A time as in `2024-02-29T12:34:56Z` (RFC 3339), by the civil calendar's usual day count.
fn rfc3339(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let time = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
