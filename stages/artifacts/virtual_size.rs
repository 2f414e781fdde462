//! How large a disk looks from inside the machine.

use std::fs::File;
use std::os::unix::fs::FileExt;

use module::{Context, Result};

/// A sector of a VMDK.
const SECTOR: u64 = 512;

/// The size of the disk in `image`: a qcow2, a VMDK, or else a raw one.
///
/// Offsets are those of QEMU's docs/interop/qcow2.rst and of VMware's "Virtual Disk Format 5.0", "Hosted Sparse Extent".
pub fn virtual_size(image: &File) -> Result<u64> {
    let length = image.metadata()?.len();
    let mut start = vec![0; length.min(65_536) as usize];
    image.read_exact_at(&mut start, 0)?;
    if start.starts_with(b"QFI\xfb") {
        return Ok(u64::from_be_bytes(number(&start, 24)?));
    }
    if start.starts_with(b"KDMV") {
        return sectors(u64::from_le_bytes(number(&start, 12)?));
    }
    if start.starts_with(b"# Disk DescriptorFile") {
        return extents(&String::from_utf8_lossy(&start));
    }
    Ok(length)
}

/// The extents of a descriptor: `RW SECTORS TYPE "FILE"`.
fn extents(descriptor: &str) -> Result<u64> {
    let mut total = 0u64;
    for line in descriptor.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("RW" | "RDONLY")) {
            let count = words.next().and_then(|count| count.parse::<u64>().ok());
            let count = count.context("the VMDK's descriptor has a malformed extent")?;
            total = total.checked_add(count).context("the VMDK is impossibly large")?;
        }
    }
    sectors(total)
}

fn sectors(count: u64) -> Result<u64> {
    count.checked_mul(SECTOR).context("the VMDK is impossibly large")
}

fn number(bytes: &[u8], at: usize) -> Result<[u8; 8]> {
    let field = bytes.get(at..at + 8).context("the image ends in its header")?;
    Ok(field.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Oracle: qemu-img, where it is there.
    #[test]
    fn sizes_are_those_of_qemu_img() {
        let dir = tempfile::tempdir().unwrap();
        for (format, options) in [
            ("raw", "preallocation=off"),
            ("qcow2", "compat=0.10"),
            ("qcow2", "compat=1.1"),
            ("vmdk", "subformat=monolithicSparse"),
            ("vmdk", "subformat=streamOptimized"),
            ("vmdk", "subformat=twoGbMaxExtentFlat"),
        ] {
            let path = dir.path().join("image");
            let made = Command::new("qemu-img")
                .args(["create", "-q", "-f", format, "-o", options])
                .arg(&path)
                .arg("3M")
                .output();
            let Ok(made) = made else {
                println!("skipped: there is no qemu-img");
                return;
            };
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            assert_eq!(
                virtual_size(&File::open(&path).unwrap()).unwrap(),
                3 << 20,
                "{options}"
            );
            std::fs::remove_file(path).unwrap();
        }
    }
}
