//! Container images of an input, for stages that unpack or copy them.

mod storage;
mod unpack;

pub use storage::Store;
pub use unpack::unpack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use module::{Args, Context, Input, Result, Tool, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("storage.rs"),
    include_str!("unpack.rs"),
    include_str!("unpack/layer.rs"),
    include_str!("unpack/oci.rs"),
);

/// An image of the input `images`.
#[derive(Debug)]
pub struct Image {
    /// Its id, or the name of its archive.
    pub id: String,
    /// What it is to be called.
    pub name: String,
    pub format: Format,
    /// The directory, archive or storage that it is in.
    pub path: PathBuf,
    /// The list of manifests that it was pulled by.
    list: Option<PathBuf>,
    /// The driver of the storage it is in.
    driver: String,
}

/// How an image lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Dir,
    OciArchive,
    /// In the storage of the machine that builds.
    Storage,
}

/// An image as skopeo and `ostree container` are told of it. What that needs goes with this value.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    /// The storage it is in, where it is in one.
    storage: PathBuf,
    scratch: TempDir,
}

/// The images of the inputs, with the lists of manifests they belong to.
pub fn of<O>(args: &Args<O>) -> Result<Vec<Image>> {
    let mut lists = match args.inputs.get("manifest-lists") {
        Some(input) => Lists::read(input)?,
        None => Lists::default(),
    };
    let input = args.input("images")?;
    let archives = input.data["archives"].as_object();
    let mut images = Vec::new();
    for (id, archive) in archives.context("the input `images` has no images")? {
        let mut image = Image::of(input, id, archive)?;
        if image.format == Format::Dir {
            image.list = lists.take(&manifest_digest(&image.path)?);
        }
        images.push(image);
    }
    lists.finish()?;
    Ok(images)
}

impl Image {
    fn of(input: &Input, id: &str, archive: &Value) -> Result<Self> {
        let name = archive["name"].as_str().context("an image has no name")?;
        let (format, path) = match archive["format"].as_str() {
            Some("dir") => (Format::Dir, input.path.join(id)),
            Some("oci-archive") => (Format::OciArchive, input.path.join(id)),
            Some("containers-storage") => (Format::Storage, input.path.join("storage")),
            other => bail!(
                "the image `{id}` has an unknown format: {}",
                other.unwrap_or("none")
            ),
        };
        Ok(Self {
            id: id.to_owned(),
            name: name.to_owned(),
            format,
            path,
            list: None,
            driver: archive["storage"]["driver"]
                .as_str()
                .unwrap_or("overlay")
                .to_owned(),
        })
    }

    /// Prepares it to be read by a tool.
    ///
    /// Names with a colon mean something else to tools, so a plain one leads to it. With a list of manifests, which then
    /// stands in the place of the manifest, the directory is one of links.
    pub fn source(&self) -> Result<Source> {
        let scratch = storage::scratch()?;
        let plain = scratch.path().join("image");
        let link = |from: &Path, to: &Path| {
            std::os::unix::fs::symlink(from, to).with_context(|| format!("cannot make {}", to.display()))
        };
        let name = match (self.format, &self.list) {
            (Format::Storage, _) => self.stored(scratch.path()),
            (format, None) => {
                link(&self.path, &plain)?;
                format!("{}:{}", format.transport(), plain.display())
            }
            (format, Some(list)) => {
                std::fs::create_dir(&plain).context("cannot make a directory")?;
                let digest = manifest_digest(&self.path)?;
                let digest = digest.trim_start_matches("sha256:");
                for entry in std::fs::read_dir(&self.path).context("cannot read the image")? {
                    let entry = entry.context("cannot read the image")?;
                    let name = match entry.file_name() {
                        name if name == MANIFEST => format!("{digest}.{MANIFEST}").into(),
                        name => name,
                    };
                    link(&entry.path(), &plain.join(name))?;
                }
                link(list, &plain.join(MANIFEST))?;
                format!("{}:{}", format.transport(), plain.display())
            }
        };
        Ok(Source {
            name,
            storage: self.path.clone(),
            scratch,
        })
    }

    /// Its name in the storage, which cannot be written to: what tools have to write goes to `scratch`.
    fn stored(&self, scratch: &Path) -> String {
        let (driver, path) = (&self.driver, self.path.display());
        let option = match driver.as_str() {
            "overlay" => format!("additionalimagestore={path}"),
            driver => format!("{driver}.imagestore={path}"),
        };
        let (root, run) = (scratch.join("root"), scratch.join("run"));
        let id = self.id.trim_start_matches("sha256:");
        format!(
            "containers-storage:[{driver}@{}+{}:{option}]{id}",
            root.display(),
            run.display()
        )
    }
}

impl Source {
    /// How podman is told of the storage: it is read, and what podman has to write goes elsewhere.
    pub fn podman(&self) -> [String; 3] {
        let (root, run) = (self.scratch.path().join("root"), self.scratch.path().join("run"));
        [
            format!("--root={}", root.display()),
            format!("--runroot={}", run.display()),
            format!("--imagestore={}", self.storage.display()),
        ]
    }
}

impl Format {
    fn transport(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::OciArchive => "oci-archive",
            Self::Storage => "containers-storage",
        }
    }
}

const MANIFEST: &str = "manifest.json";

/// The digest of the manifest of an image in the format `dir`.
fn manifest_digest(dir: &Path) -> Result<String> {
    let path = dir.join(MANIFEST);
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Value = serde_json::from_slice(&bytes).context("the image's manifest")?;
    if manifest["schemaVersion"] == 1 {
        // its signatures, which are part of the file, are not of the digest
        let output = Tool::new("skopeo").arg("manifest-digest").arg(&path).output()?;
        return Ok(String::from_utf8_lossy(&output).trim().to_owned());
    }
    Ok(format!("sha256:{}", hex::encode(Sha256::digest(&bytes))))
}

/// Lists of manifests that no image was found for so far.
#[derive(Debug, Default)]
struct Lists {
    /// The digests of the manifests they name.
    named: BTreeMap<String, PathBuf>,
    unused: Vec<PathBuf>,
}

impl Lists {
    fn read(input: &Input) -> Result<Self> {
        let mut lists = Self::default();
        for file in input.files() {
            let text = std::fs::read(&file.path).with_context(|| format!("cannot read {}", file.name))?;
            let list: Value =
                serde_json::from_slice(&text).with_context(|| format!("the list {}", file.name))?;
            for manifest in list["manifests"].as_array().into_iter().flatten() {
                if let Some(digest) = manifest["digest"].as_str() {
                    lists.named.insert(digest.to_owned(), file.path.clone());
                }
            }
            lists.unused.push(file.path);
        }
        Ok(lists)
    }

    fn take(&mut self, digest: &str) -> Option<PathBuf> {
        let list = self.named.get(digest)?.clone();
        self.unused.retain(|unused| *unused != list);
        Some(list)
    }

    fn finish(self) -> Result<()> {
        let names: Vec<_> = self
            .unused
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        ensure!(
            names.is_empty(),
            "these lists of manifests name none of the images: {}",
            names.join(", ")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
