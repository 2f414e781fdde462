//! erofs and squashfs images, made by their tools.

use std::fs::File;

use tree::Tree;
use uuid::Uuid;

use crate::plain::Plain;
use crate::{Result, SparseFile, tool};

/// Writes an erofs image of `tree` into the empty `file`.
pub fn erofs(
    file: File,
    tree: &Tree,
    uuid: Uuid,
    compression: Option<&str>,
    epoch: Option<i64>,
) -> Result<SparseFile> {
    let image = SparseFile::open(file)?;
    let mut command = tool::command("mkfs.erofs");
    command
        .env("SOURCE_DATE_EPOCH", epoch.unwrap_or(0).to_string())
        .args(["--quiet", "-U", &uuid.to_string()]);
    if let Some(compression) = compression {
        command.args(["-z", compression]);
    }
    let plain = Plain::of(tree)?;
    tool::run(command.arg(image.path()).arg(plain.tree().path()))?;
    image.renewed()
}

/// Writes a squashfs image of `tree` into the empty `file`, with these further words; compressed with gzip if they do not say
/// otherwise.
pub fn squashfs(file: File, tree: &Tree, words: &[&str], epoch: Option<i64>) -> Result<SparseFile> {
    let image = SparseFile::open(file)?;
    let mut command = tool::command("mksquashfs");
    let plain = Plain::of(tree)?;
    command.arg(plain.tree().path()).arg(image.path());
    command.args(["-noappend", "-no-progress", "-quiet"]);
    match epoch {
        Some(epoch) => command.env("SOURCE_DATE_EPOCH", epoch.to_string()),
        None => command.args(["-mkfs-time", "0"]),
    };
    tool::run(command.args(words))?;
    image.renewed()
}
