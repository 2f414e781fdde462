//! An image in OCI's layout.
//!
//! ```text
//! oci-layout                 the version of the layout
//! index.json                 leads to the manifest
//! blobs/sha256/DIGEST        manifest, configuration, layers
//! ```

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use module::{Context, Result, Tool};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What lies in it.
pub(super) const MEMBERS: [&str; 3] = ["blobs", "index.json", "oci-layout"];

/// What layers keep of attributes, as tar's pattern.
const ATTRIBUTES: &str = r"^(user.|security\.ima|security\.capability)";

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layout being written.
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes an empty one in the directory `root`.
    pub(super) fn create(root: &Path) -> Result<Self> {
        let layout = Self {
            root: root.to_owned(),
        };
        std::fs::create_dir_all(layout.blob("")).context("cannot make a directory")?;
        Ok(layout)
    }

    fn blob(&self, hex: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(hex)
    }

    /// Adds a tree as a layer: its descriptor, and the digest of what is in it uncompressed.
    pub(super) fn add_layer(&self, tree: &Path) -> Result<(Value, String)> {
        let tar = self.root.join("layer.tar");
        println!("making a layer of {}", tree.display());
        archive(tree, &tar)?;
        let packed = self.root.join("layer.tar.gz");
        let mut uncompressed = Hashing::new(BufReader::new(File::open(&tar)?));
        // without a name and a time the same layer gives the same bytes
        let mut gzip = GzBuilder::new().write(File::create(&packed)?, Compression::new(6));
        std::io::copy(&mut uncompressed, &mut gzip).context("cannot compress the layer")?;
        gzip.finish()?.flush()?;
        std::fs::remove_file(&tar)?;
        let mut compressed = Hashing::new(File::open(&packed)?);
        let size = std::io::copy(&mut compressed, &mut std::io::sink())?;
        let hex = compressed.hex();
        std::fs::rename(&packed, self.blob(&hex)).context("cannot write the layer")?;
        Ok((
            descriptor(&hex, size, LAYER),
            format!("sha256:{}", uncompressed.hex()),
        ))
    }

    /// Adds a document; its descriptor.
    pub(super) fn add_json(&self, document: &Value, kind: &str) -> Result<Value> {
        let text = document.to_string();
        let hex = hex::encode(Sha256::digest(&text));
        std::fs::write(self.blob(&hex), &text).context("cannot write a blob")?;
        Ok(descriptor(&hex, text.len() as u64, kind))
    }

    /// Writes the index, which leads to the manifest with this descriptor.
    pub(super) fn finish(&self, manifest: &Value) -> Result<()> {
        let write = |name: &str, document: Value| {
            std::fs::write(self.root.join(name), document.to_string())
                .with_context(|| format!("cannot write {name}"))
        };
        write("index.json", json!({"schemaVersion": 2, "manifests": [manifest]}))?;
        write("oci-layout", json!({"imageLayoutVersion": "1.0.0"}))
    }
}

fn descriptor(hex: &str, size: u64, kind: &str) -> Value {
    json!({"digest": format!("sha256:{hex}"), "size": size, "mediaType": kind})
}

fn archive(tree: &Path, to: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(tree).context("cannot read an input")? {
        names.push(entry.context("cannot read an input")?.file_name());
    }
    names.sort();
    if names.is_empty() {
        // tar refuses to make an archive of nothing; this is one
        return std::fs::write(to, [0; 10240]).context("cannot write the layer");
    }
    Tool::new("tar")
        .args(["--sort=name", "--no-selinux", "--acls", "--xattrs"])
        .arg(format!("--xattrs-include={ATTRIBUTES}"))
        .args(["--format=posix", "--numeric-owner"])
        .args(["--pax-option", "delete=atime,delete=ctime"])
        .arg("-cf")
        .arg(to)
        .arg("-C")
        .arg(tree)
        .arg("--")
        .args(names)
        .run()
}

struct Hashing<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            hash: Sha256::new(),
        }
    }

    fn hex(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}
