//! The arguments of a module: one JSON document on stdin.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tree::{Deed, Tree};

/// Where a module leaves what it has to say about the result, as JSON.
const METADATA: &str = "/run/osbuild/meta";
/// Where it says which file systems it can make again, with other files in them.
const FILE_SYSTEMS: &str = "/run/osbuild/filesystems";
/// Where it says what a fresh mount is to begin as.
const GRAFT: &str = "/run/osbuild/graft";
/// Where it says what only the machine's root may do: a [`Deed`] as JSON, NUL, the path in the box, NUL; and so on.
const DEEDS: &str = "/run/osbuild/deeds";

/// What a module is called with, its options of the type `O`.
#[derive(Debug)]
pub struct Args<O> {
    /// The tree that a stage changes; for an assembler the finished one, read-only.
    pub tree: Tree,
    /// Where an assembler puts its files.
    pub output: Option<Tree>,
    pub options: O,
    pub inputs: BTreeMap<String, Input>,
    pub devices: BTreeMap<String, Node>,
    pub mounts: BTreeMap<String, Node>,
    /// Directory under which the mounts lie; the root of `mount:///` locations.
    pub mounts_root: PathBuf,
    pub meta: Meta,
}

/// What the pipeline says of the run.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Meta {
    /// The stage id.
    #[serde(default)]
    pub id: Option<String>,
    /// The time, in seconds since 1970, that stands for "now" in a reproducible image.
    #[serde(default, rename = "source-epoch")]
    pub source_epoch: Option<i64>,
    /// The mounts that nobody has put anything into yet, by name: see [`Args::graft`].
    #[serde(default)]
    pub fresh_mounts: Vec<String>,
    /// What [`Args::graft`] was asked for, and was done.
    #[serde(default)]
    pub grafted: Option<Graft>,
}

/// A mount that begins as a whole input.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Graft {
    /// Both by name.
    pub mount: String,
    pub input: String,
}

/// An input: a read-only directory and what is said of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Input {
    pub path: PathBuf,
    #[serde(default)]
    pub data: Value,
}

/// A file of an `org.osbuild.files` input.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Its name in the input: a checksum such as `sha256:…`, or a path of a tree.
    pub name: String,
    pub path: PathBuf,
    /// What the manifest says of the file.
    pub metadata: Value,
}

/// An opened device or a mounted file system.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    #[serde(default)]
    pub path: PathBuf,
    /// Of a device that is a stretch of a file of the tree: which one.
    #[serde(default)]
    pub data: Value,
}

#[derive(Deserialize)]
pub(crate) struct Document {
    pub(crate) tree: PathBuf,
    #[serde(default)]
    pub(crate) output_dir: Option<PathBuf>,
    #[serde(default)]
    pub(crate) options: Option<Map<String, Value>>,
    #[serde(default)]
    pub(crate) inputs: BTreeMap<String, Input>,
    #[serde(default)]
    pub(crate) devices: BTreeMap<String, Node>,
    #[serde(default)]
    pub(crate) mounts: BTreeMap<String, Node>,
    #[serde(default)]
    pub(crate) paths: BTreeMap<String, PathBuf>,
    #[serde(default)]
    pub(crate) meta: Meta,
}

impl<O: serde::de::DeserializeOwned> Args<O> {
    /// Reads the argument document; an error names the option that is wrong.
    pub fn from_json(document: Value) -> Result<Self> {
        let (options, rest) = Args::without_options(document)?;
        Ok(Self {
            options: serde_json::from_value(options).context("options")?,
            tree: rest.tree,
            output: rest.output,
            inputs: rest.inputs,
            devices: rest.devices,
            mounts: rest.mounts,
            mounts_root: rest.mounts_root,
            meta: rest.meta,
        })
    }
}

impl Args<()> {
    /// All but the options, which are given as they are. What is the same for all modules is in the executable once, in one
    /// place: each page of it that a module's start touches costs as much as a dozen system calls.
    #[inline(never)]
    fn without_options(document: Value) -> Result<(Value, Self)> {
        let document: Document = serde_json::from_value(document).context("the arguments on stdin")?;
        let options = Value::Object(document.options.unwrap_or_default());
        let rest = Self {
            tree: Tree::open(document.tree)?,
            output: document.output_dir.map(Tree::open).transpose()?,
            options: (),
            inputs: document.inputs,
            devices: document.devices,
            mounts: document.mounts,
            mounts_root: document
                .paths
                .get("mounts")
                .cloned()
                .unwrap_or("/run/osbuild/mounts".into()),
            meta: document.meta,
        };
        Ok((options, rest))
    }
}

impl<O> Args<O> {
    /// The input `name`.
    pub fn input(&self, name: &str) -> Result<&Input> {
        self.inputs
            .get(name)
            .ok_or_else(|| anyhow!("there is no input `{name}`"))
    }

    /// Where the assembler puts its files.
    pub fn output(&self) -> Result<&Tree> {
        self.output
            .as_ref()
            .ok_or_else(|| anyhow!("`output_dir` is missing from the arguments"))
    }

    /// Promises that the stage, run once more with other files as the device's content, makes the file system of this
    /// kind with those. Where nobody asks, nothing happens.
    pub fn makes_file_system(&self, device: &str, kind: &str) -> Result<()> {
        if Path::new(FILE_SYSTEMS).exists() {
            // in place: the file is a mount of its own
            let text = serde_json::json!({ device: kind }).to_string();
            std::fs::write(FILE_SYSTEMS, text).context("cannot tell of the file system")?;
        }
        Ok(())
    }

    /// Does what only the machine's root may do to entries of `root` (the tree, or a mount): here if this process may,
    /// else the executor does it when the stage has ended well. Entries of links are the links themselves; links on the
    /// way are followed inside `root`.
    ///
    /// # Errors
    /// Neither this process nor, for this stage, the executor does such things; the directory of an entry is not there.
    pub fn do_as_root(&self, root: &Tree, deeds: impl IntoIterator<Item = (PathBuf, Deed)>) -> Result<()> {
        let mut left = Vec::new();
        for (path, deed) in deeds {
            match deed.apply(root, &path) {
                Err(error) if error.is_refused() && Path::new(DEEDS).exists() => {
                    serde_json::to_writer(&mut left, &deed)?;
                    left.push(0);
                    left.extend(without_links(root, &path)?.as_os_str().as_bytes());
                    left.push(0);
                }
                other => other?,
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        // in place: the file is a mount of its own
        let mut file = std::fs::File::options()
            .append(true)
            .open(DEEDS)
            .context("cannot ask for what only root may do")?;
        file.write_all(&left)
            .context("cannot ask for what only root may do")
    }

    /// Asks the executor to have a fresh mount begin as a whole input, without a file being copied: true where the stage is
    /// to end now, having done nothing. It runs again then: with `meta.grafted`, where the mount has the input, but for what
    /// other mounts hide; or without any fresh mounts.
    pub fn graft(&self, mount: &str, input: &str) -> Result<bool> {
        if !self.meta.fresh_mounts.iter().any(|fresh| fresh == mount) {
            return Ok(false);
        }
        let graft = Graft {
            mount: mount.to_owned(),
            input: input.to_owned(),
        };
        // in place: the file is a mount of its own
        std::fs::write(GRAFT, serde_json::to_vec(&graft)?).context("cannot ask for a graft")?;
        Ok(true)
    }

    /// Leaves metadata of the result for the caller; printed where nobody asked for it.
    pub fn set_metadata(&self, metadata: &Value) -> Result<()> {
        let text = serde_json::to_string(metadata)?;
        if Path::new(METADATA).exists() {
            // in place: the file is a mount of its own
            std::fs::write(METADATA, text).context("cannot write the metadata")
        } else {
            println!("metadata: {text}");
            Ok(())
        }
    }
}

impl Input {
    /// The files of the input, in the manifest's order.
    pub fn files(&self) -> Vec<InputFile> {
        let Some(files) = self.data.get("files").and_then(Value::as_object) else {
            return Vec::new();
        };
        let file = |(name, metadata): (&String, &Value)| InputFile {
            name: name.clone(),
            path: self.path.join(name.trim_start_matches('/')),
            metadata: metadata.clone(),
        };
        files.iter().map(file).collect()
    }

    /// The only file of the input.
    pub fn single_file(&self) -> Result<InputFile> {
        let mut files = self.files();
        anyhow::ensure!(
            files.len() == 1,
            "the input must have exactly one file, it has {}",
            files.len()
        );
        Ok(files.remove(0))
    }

    /// The input as a tree.
    pub fn tree(&self) -> Result<Tree> {
        Ok(Tree::open(&self.path)?)
    }
}

/// Where `path` of `root` is, with no link on the way below `root`: the executor follows links in the whole tree, of which
/// `root` may be a directory.
fn without_links(root: &Tree, path: &Path) -> Result<PathBuf> {
    use std::os::fd::AsRawFd;
    let where_is = |fd: &dyn AsRawFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let (dir, name) = root.parent_of(path)?;
    let dir = where_is(&dir)?;
    let below = dir
        .strip_prefix(where_is(&root.fd())?)
        .context("it leads out of the tree")?;
    Ok(root.path().join(below).join(name))
}
