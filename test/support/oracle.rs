//! What other tools say of a result. Each function runs one tool; an error has all that it printed.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A partition of a disk image, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub start: u64,
    pub size: u64,
    /// The GUID of its type, in capitals (DOS: the number in hexadecimal).
    pub kind: String,
    /// Its own GUID.
    pub uuid: String,
    pub name: String,
}

/// Runs a tool; its stdout.
///
/// # Errors
/// It is missing or fails.
pub fn tool(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", path())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{name}: {}\n{stdout}{stderr}",
        output.status
    );
    Ok(stdout)
}

/// `qemu-img check`: a qcow2 file is consistent and has no leaked clusters.
pub fn qemu_img_check(image: &Path) -> Result<String> {
    tool(Command::new("qemu-img").arg("check").arg(image))
}

/// `qemu-img info`: `format`, `virtual-size` and more.
pub fn qemu_img_info(image: &Path) -> Result<Value> {
    let text = tool(
        Command::new("qemu-img")
            .args(["info", "--output=json"])
            .arg(image),
    )?;
    Ok(serde_json::from_str(&text)?)
}

/// Writes any image as a raw, sparse one.
pub fn to_raw(image: &Path, raw: &Path) -> Result<()> {
    tool(
        Command::new("qemu-img")
            .args(["convert", "-O", "raw"])
            .args([image, raw]),
    )?;
    Ok(())
}

/// `sfdisk --verify`, and the partitions that it lists.
pub fn partitions(raw: &Path) -> Result<Vec<Partition>> {
    tool(Command::new("sfdisk").arg("--verify").arg(raw))?;
    let text = tool(Command::new("sfdisk").arg("--json").arg(raw))?;
    let table = &serde_json::from_str::<Value>(&text)?["partitiontable"];
    let sector = table["sectorsize"].as_u64().unwrap_or(512);
    let list = table["partitions"]
        .as_array()
        .context("sfdisk lists no partitions")?;
    let partition = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        Some(Partition {
            start: entry["start"].as_u64()? * sector,
            size: entry["size"].as_u64()? * sector,
            kind: text("type"),
            uuid: text("uuid"),
            name: text("name"),
        })
    };
    list.iter()
        .map(partition)
        .collect::<Option<_>>()
        .context("sfdisk leaves out where a partition lies")
}

/// `e2fsck -fn` of the ext4 file system at byte `offset` of a raw image.
pub fn e2fsck(raw: &Path, offset: u64) -> Result<String> {
    tool(Command::new("e2fsck").arg("-fn").arg(at(raw, offset)))
}

/// The content of a file in the ext4 file system at byte `offset` of a raw image.
pub fn ext4_file(raw: &Path, offset: u64, file: &str) -> Result<String> {
    let request = format!("cat \"{file}\"");
    tool(
        Command::new("debugfs")
            .args(["-R", &request])
            .arg(at(raw, offset)),
    )
}

/// `fsck.fat -n` of the FAT file system in a part of a raw image.
pub fn fsck_fat(raw: &Path, partition: &Partition) -> Result<String> {
    // unlike e2fsck it cannot be told an offset
    let part = tempfile::NamedTempFile::new()?;
    let mut from = File::open(raw)?;
    from.seek(SeekFrom::Start(partition.start))?;
    let mut part_of = std::io::Read::take(from, partition.size);
    std::io::copy(&mut part_of, &mut part.as_file())?;
    tool(Command::new("fsck.fat").arg("-n").arg(part.path()))
}

/// `ostree fsck` of a repository.
pub fn ostree_fsck(repo: &Path) -> Result<String> {
    let mut option = std::ffi::OsString::from("--repo=");
    option.push(repo);
    tool(Command::new("ostree").arg("fsck").arg(option))
}

/// The name by which the ext4 tools know a file system inside a file.
fn at(raw: &Path, offset: u64) -> std::ffi::OsString {
    let mut name = raw.as_os_str().to_owned();
    name.push(format!("?offset={offset}"));
    name
}

/// The tools' places too, which a plain user's path lacks.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
