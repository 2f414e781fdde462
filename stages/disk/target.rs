//! The device that a stage writes to: a stretch of a file of the tree, or a block device.

use std::fs::File;
use std::path::PathBuf;

use image::SparseFile;
use module::{Args, Context, Result, Tree, bail, ensure};
use rustix::fs::OFlags;
use serde::Deserialize;

/// An open device.
#[derive(Debug)]
pub struct Target {
    /// The file that it is a stretch of, or the device itself.
    pub image: SparseFile,
    /// Where it begins there, in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes in a sector.
    pub sector: u64,
    /// The tree of the files that are to be on it, and whether it is filled already.
    pub content: Option<(PathBuf, bool)>,
    /// The node, where it is a block device.
    pub node: Option<PathBuf>,
}

/// What the executor says of a stretch of a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stretch {
    file: String,
    start: u64,
    size: u64,
    sector_size: u64,
    read_only: bool,
    content: Option<PathBuf>,
    #[serde(default)]
    filled: bool,
}

impl Target {
    /// Opens the device `name` for writing.
    pub fn open<O>(args: &Args<O>, name: &str) -> Result<Self> {
        Self::open_as(args, name, true)
    }

    /// Opens the device `name` for reading alone.
    pub fn open_readable<O>(args: &Args<O>, name: &str) -> Result<Self> {
        Self::open_as(args, name, false)
    }

    fn open_as<O>(args: &Args<O>, name: &str, writable: bool) -> Result<Self> {
        let Some(device) = args.devices.get(name) else {
            bail!("there is no device `{name}`");
        };
        if device.data.is_null() {
            return Self::of_node(&device.path, writable);
        }
        let stretch: Stretch =
            serde_json::from_value(device.data.clone()).with_context(|| format!("the device `{name}`"))?;
        ensure!(
            !(writable && stretch.read_only),
            "the device `{name}` is read-only"
        );
        Self::of_stretch(&args.tree, stretch, writable)
    }

    fn of_stretch(tree: &Tree, stretch: Stretch, writable: bool) -> Result<Self> {
        let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        let file = tree.open_at(&stretch.file, access, 0)?;
        let image = SparseFile::open(file.into())?;
        let end = stretch.start.checked_add(stretch.size);
        ensure!(
            end.is_some_and(|end| end <= image.size()),
            "the device reaches beyond the end of {}",
            stretch.file
        );
        Ok(Self {
            image,
            start: stretch.start,
            size: stretch.size,
            sector: stretch.sector_size,
            content: stretch.content.map(|path| (path, stretch.filled)),
            node: None,
        })
    }

    fn of_node(path: &std::path::Path, writable: bool) -> Result<Self> {
        let path = PathBuf::from("/dev").join(path);
        let file = File::options().read(true).write(writable).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        let image = SparseFile::open(file)?;
        Ok(Self {
            size: image.size(),
            image,
            start: 0,
            sector: sector_of(&path).unwrap_or(512),
            content: None,
            node: Some(path),
        })
    }

    /// Makes all of it zeros.
    pub fn clear(&self) -> Result<()> {
        Ok(self.image.clear(self.start, self.size)?)
    }

    /// Writes `bytes` at `at` of the device.
    pub fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        let end = at.checked_add(bytes.len() as u64);
        ensure!(end.is_some_and(|end| end <= self.size), "the device is too small");
        Ok(self.image.write(bytes, self.start + at)?)
    }

    /// Reads from `at` of the device on.
    pub fn read(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        Ok(self.image.read(bytes, self.start + at)?)
    }

    /// Sectors of the whole device.
    pub fn sectors(&self) -> u64 {
        self.size / self.sector
    }

    /// Replaces all of it by the content of `other`, holes as holes.
    pub fn copy_from(&self, other: &SparseFile) -> Result<()> {
        ensure!(
            other.size() <= self.size,
            "{} bytes do not fit a device of {}",
            other.size(),
            self.size
        );
        self.clear()?;
        Ok(self.image.write_all_of(other, self.start)?)
    }
}

/// Bytes of a sector of a block device, by what the kernel says.
fn sector_of(node: &std::path::Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let id = node.metadata().ok()?.rdev();
    let (major, minor) = (rustix::fs::major(id), rustix::fs::minor(id));
    let text = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/queue/logical_block_size"));
    text.ok()?.trim().parse().ok()
}
