//! Make a swap area.
//!
//! Written without a tool, with pages of 4 KiB: what is behind the first page stays as it is, and means nothing.

use module::{Args, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};

const PAGE: u64 = 4096;

/// Options of `org.osbuild.mkswap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The area's UUID.
    uuid: String,
    /// Its label.
    #[schemars(length(max = 12))]
    label: Option<String>,
}

module::stage! {
    file: "mkswap.rs", name: "org.osbuild.mkswap", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    ensure!(
        target.size >= 10 * PAGE,
        "a swap area has at least {} bytes",
        10 * PAGE
    );
    let label = disk::label(args.options.label.as_deref(), 16)?.unwrap_or_default();
    let uuid = disk::uuid(&args.options.uuid, "uuid")?;
    target.write(&header(target.size, uuid.as_bytes(), label.as_bytes()), 0)
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
        let uuid = uuid::Uuid::parse_str(uuid).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(bytes[..4096] == super::header(10 << 20, uuid.as_bytes(), b"sw"));
    }
}
