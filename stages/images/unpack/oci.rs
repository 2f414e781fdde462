//! An image in one file: an uncompressed tar archive of an OCI layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take};
use std::path::Path;

use module::{Context, Result, bail};
use serde_json::Value;

/// Where the members of the archive are.
pub(super) struct Archive {
    file: File,
    /// Name, first byte and length of each member.
    members: BTreeMap<String, (u64, u64)>,
}

/// Manifests and indexes are no larger (containers/image, `iolimits`).
const LARGEST: u64 = 4 << 20;

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(failed)?;
        let mut members = BTreeMap::new();
        for entry in tar::Archive::new(&file)
            .entries_with_seek()
            .with_context(failed)?
        {
            let entry = entry.with_context(failed)?;
            let name = entry.path().with_context(failed)?;
            let name = name.to_string_lossy().trim_start_matches("./").to_owned();
            members.insert(name, (entry.raw_file_position(), entry.size()));
        }
        Ok(Self { file, members })
    }

    /// The manifest of the only image.
    pub(super) fn manifest(&self) -> Result<Value> {
        let mut index = self.json("index.json")?;
        // an index may lead to another one
        for _ in 0..8 {
            let Some(manifests) = index["manifests"].as_array() else {
                return Ok(index);
            };
            let [only] = &manifests[..] else {
                bail!("the archive has {} images, not one", manifests.len());
            };
            let digest = only["digest"].as_str().unwrap_or_default();
            let hex = digest.trim_start_matches("sha256:");
            index = self.json(&format!("blobs/sha256/{hex}"))?;
        }
        bail!("the archive's indexes lead nowhere")
    }

    /// The blob with this digest.
    pub(super) fn blob(&self, hex: &str) -> Result<Take<File>> {
        self.member(&format!("blobs/sha256/{hex}"))
    }

    fn json(&self, name: &str) -> Result<Value> {
        let mut text = Vec::new();
        self.member(name)?.take(LARGEST).read_to_end(&mut text)?;
        serde_json::from_slice(&text).with_context(|| format!("{name} of the archive"))
    }

    fn member(&self, name: &str) -> Result<Take<File>> {
        let (start, length) = self
            .members
            .get(name)
            .with_context(|| format!("there is no {name} in the archive"))?;
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(*start))?;
        Ok(file.take(*length))
    }
}
