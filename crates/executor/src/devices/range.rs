//! Which stretch of which file a device is, or a partition of it.

use std::path::{Component, Path};

use image::SparseFile;
use manifest::{Device, Mount};
use serde_json::{Map, Value};
use tree::Tree;

use super::{flag, loopback};

/// Sectors of most disks.
pub(crate) const SECTOR: u64 = 512;

/// A stretch of a file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// Below the tree's root, without `.` and `..`.
    pub(crate) file: String,
    /// Bytes before it.
    pub(crate) start: u64,
    /// Bytes; `None` is the rest of the file.
    pub(crate) size: Option<u64>,
    /// Bytes of a sector.
    pub(crate) sector: u64,
    pub(crate) read_only: bool,
}

impl Range {
    /// What a loop device with these options is.
    ///
    /// # Errors
    /// A number that is none of whole sectors, a path that is none.
    pub(crate) fn of_options(options: &Map<String, Value>) -> Result<Self, String> {
        let number = |name: &str| match options.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => whole(value)
                .map(Some)
                .ok_or(format!("`{name}` is no whole number: {value}")),
        };
        let sector = number("sector-size")?.unwrap_or(SECTOR);
        if !sector.is_power_of_two() || !(SECTOR..=4096).contains(&sector) {
            return Err(format!(
                "`sector-size` must be 512, 1024, 2048 or 4096, not {sector}"
            ));
        }
        let bytes = |sectors: u64| {
            let bytes = sectors.checked_mul(sector);
            bytes.ok_or_else(|| format!("{sectors} sectors are more than any disk has"))
        };
        Ok(Self {
            file: plain(
                options
                    .get("filename")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            )?,
            start: bytes(number("start")?.unwrap_or(0))?,
            // none of size 0 is meant
            size: number("size")?.filter(|size| *size != 0).map(bytes).transpose()?,
            sector,
            read_only: flag(options, "read-only"),
        })
    }

    /// What a device of a stage is, where it is a loop device of ours.
    pub(crate) fn of_device(device: &Device) -> Option<Result<Self, String>> {
        let is_ours = device.kind == loopback::DEVICE.name && device.parent.is_none();
        is_ours.then(|| Self::of_options(&device.options))
    }

    /// The same with its size, from the file that it is a stretch of.
    pub(crate) fn sized(mut self, image: &SparseFile) -> Result<Self, String> {
        let whole = image.size();
        let rest = whole.saturating_sub(self.start);
        let size = self.size.unwrap_or(rest);
        if size == 0 || size > rest {
            return Err(format!(
                "it is to begin at byte {} of {} and have {size}, but the file has {whole}",
                self.start, self.file
            ));
        }
        self.size = Some(size);
        Ok(self)
    }

    /// The stretch that a partition of it is, by the partition table that is on it.
    pub(crate) fn partition(&self, image: &SparseFile, number: u64) -> Result<Self, String> {
        let whole = self.clone().sized(image)?;
        let size = whole.size.unwrap_or(0);
        let table =
            image::partitions::read(image, self.start, size, self.sector).map_err(|e| e.to_string())?;
        let found = table.iter().find(|partition| partition.number == number);
        let found = found.ok_or_else(|| format!("{} has no partition {number}", self.file))?;
        Ok(Self {
            start: self.start + found.start,
            size: Some(found.size),
            ..whole
        })
    }

    /// Whether both have a byte of the file, one of unknown size all that is left of it.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let end = |range: &Self| {
            range
                .size
                .map_or(u64::MAX, |size| range.start.saturating_add(size))
        };
        self.file == other.file && self.start < end(other) && other.start < end(self)
    }
}

/// The file of a range, in a tree.
pub(crate) fn open(tree: &Tree, file: &str, writable: bool) -> Result<SparseFile, String> {
    use rustix::fs::OFlags;
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    let fd = tree.open_at(file, access, 0).map_err(|e| e.to_string())?;
    let file = std::fs::File::from(fd);
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => SparseFile::open(file).map_err(|e| e.to_string()),
        Ok(_) => Err("it is no regular file".into()),
        Err(e) => Err(e.to_string()),
    }
}

/// The device of a mount, and the partition of it.
pub(crate) fn device_of<'a>(mount: &Mount, devices: &'a [Device]) -> Option<(&'a Device, Option<u64>)> {
    let device = devices.get(mount.device?)?;
    Some((device, mount.partition.filter(|number| *number != 0)))
}

fn whole(value: &Value) -> Option<u64> {
    // a schema's «number» may be written 2048.0
    let float = || {
        value
            .as_f64()
            .filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n))
    };
    value.as_u64().or_else(|| float().map(|n| n as u64))
}

fn plain(file: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str().unwrap_or_default()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    match parts.is_empty() {
        true => Err(format!("`filename` names no file: `{file}`")),
        false => Ok(parts.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn range(options: Value) -> Result<Range, String> {
        Range::of_options(options.as_object().unwrap())
    }

    #[test]
    fn sectors_become_bytes() {
        let one = range(json!({"filename": "/a//disk.img", "start": 2048.0, "size": 8})).unwrap();
        assert_eq!(
            (one.file.as_str(), one.start, one.size),
            ("a/disk.img", 1 << 20, Some(4096))
        );
        let large = range(json!({"filename": "x", "start": 2, "sector-size": 4096})).unwrap();
        assert_eq!((large.start, large.size, large.sector), (8192, None, 4096));
        for wrong in [
            json!({"filename": "x", "start": 1.5}),
            json!({"filename": "/.."}),
            json!({"filename": "x", "sector-size": 500}),
            json!({"filename": "x", "size": 9_000_000_000_000_000_000u64}),
        ] {
            assert!(range(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_of_unknown_size_reach_to_the_end() {
        let at =
            |start: u64, size: u64| range(json!({"filename": "x", "start": start, "size": size})).unwrap();
        assert!(!at(0, 8).overlaps(&at(8, 8)));
        assert!(at(0, 9).overlaps(&at(8, 8)));
        assert!(at(0, 0).overlaps(&at(800, 8)));
        assert!(!at(16, 0).overlaps(&at(8, 8)));
        let image = SparseFile::new(tempfile::tempfile().unwrap(), 4096).unwrap();
        assert_eq!(at(2, 0).sized(&image).unwrap().size, Some(3072));
        assert!(at(2, 7).sized(&image).is_err());
    }
}
