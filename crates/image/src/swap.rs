//! Swap areas, with pages of 4 KiB: what is behind the first page stays as it is, and means nothing.

use uuid::Uuid;

use crate::{Error, Result, SparseFile};

const PAGE: u64 = 4096;
/// The smallest area there is, in bytes.
pub const SMALLEST: u64 = 10 * PAGE;
const LABEL: usize = 16;

/// Makes the `size` bytes from `offset` of `image` on a swap area.
///
/// # Errors
/// The area is smaller than [`SMALLEST`], or its label has more than 16 bytes.
pub fn write(image: &SparseFile, offset: u64, size: u64, uuid: Uuid, label: Option<&str>) -> Result<()> {
    if size < SMALLEST {
        return Err(Error::TooSmall {
            what: "a swap area",
            given: size,
            needed: SMALLEST,
        });
    }
    let label = label.unwrap_or_default();
    if label.len() > LABEL {
        return Err(Error::unsuitable(format!(
            "the label `{label}` has more than {LABEL} bytes"
        )));
    }
    image.write(&header(size, uuid.as_bytes(), label.as_bytes()), offset)
}

/// The first page: `union swap_header` of the kernel's <linux/swap.h>.
fn header(size: u64, uuid: &[u8; 16], label: &[u8]) -> Vec<u8> {
    let mut page = vec![0; PAGE as usize];
    let last_page = u32::try_from(size / PAGE - 1).unwrap_or(u32::MAX);
    page[1024..1028].copy_from_slice(&1u32.to_le_bytes());
    page[1028..1032].copy_from_slice(&last_page.to_le_bytes());
    page[1036..1052].copy_from_slice(uuid);
    page[1052..1052 + label.len()].copy_from_slice(label);
    page[PAGE as usize - 10..].copy_from_slice(b"SWAPSPACE2");
    page
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_header_is_mkswaps() {
        let uuid = "0194fdc2-fa2f-4cc0-81d3-ff12045b73c8";
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(10 << 20).unwrap();
        let made = Command::new("mkswap")
            .args(["-q", "--uuid", uuid, "--label", "sw"])
            .arg(file.path())
            .status();
        if made.is_err() {
            return println!("skipped: mkswap is not installed");
        }
        let uuid = Uuid::parse_str(uuid).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(bytes[..4096] == header(10 << 20, uuid.as_bytes(), b"sw"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = SparseFile::new(tempfile::tempfile().unwrap(), 1 << 20).unwrap();
        let write = |size, label| write(&image, 0, size, Uuid::nil(), Some(label));
        assert!(write(SMALLEST, "sixteen bytes ok").is_ok());
        assert!(write(SMALLEST, "seventeen bytes no").is_err());
        assert!(write(SMALLEST - 1, "").is_err());
    }
}
