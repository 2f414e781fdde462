//! Remove a passphrase from an encrypted device (LUKS 2).
//!
//! With `cryptsetup` of the build root, without the kernel's device mapper. Of a device that is a stretch of a file only the
//! header is handed to it, not what is encrypted.

use image::SparseFile;
use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::disk::{self, Target};

/// Options of `org.osbuild.luks2.remove-key`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The passphrase that is removed.
    passphrase: String,
}

module::stage! {
    file: "luks2_remove_key.rs", name: "org.osbuild.luks2.remove-key", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

/// The binary header: magic, version and the size of it with the JSON text behind it (LUKS2 on-disk format, 2.1 and 2.2).
const BINARY: usize = 4096;
const MAGIC: &[u8] = b"LUKS\xba\xbe\0\x02";
/// Bytes that go from one file to the other at once.
const PIECE: u64 = 1 << 20;

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let remove = |path: &std::path::Path| {
        Tool::new("cryptsetup")
            .args(["-q", "luksRemoveKey"])
            .arg(path)
            .input(args.options.passphrase.as_bytes())
            .run()
    };
    if let Some(node) = &target.node {
        return remove(node);
    }
    let header = header_size(&target)?;
    // as long as the device: cryptsetup looks
    let copy = SparseFile::new(tempfile::tempfile_in("/var/tmp")?, target.size)?;
    for (at, size) in pieces(header) {
        let mut bytes = vec![0; size];
        target.read(&mut bytes, at)?;
        copy.write(&bytes, at)?;
    }
    remove(&copy.path())?;
    for (at, size) in pieces(header) {
        let mut bytes = vec![0; size];
        copy.read(&mut bytes, at)?;
        target.write(&bytes, at)?;
    }
    Ok(())
}

/// Bytes before what is encrypted: two headers and the key slots.
fn header_size(target: &Target) -> Result<u64> {
    let mut binary = [0; BINARY];
    target.read(&mut binary, 0)?;
    ensure!(binary.starts_with(MAGIC), "the device has no LUKS 2 header");
    let size = u64::from_be_bytes(std::array::from_fn(|index| binary[8 + index]));
    ensure!(
        (16 << 10..=4 << 20).contains(&size),
        "the LUKS 2 header says it has {size} bytes"
    );
    let mut json = vec![0; size as usize - BINARY];
    target.read(&mut json, BINARY as u64)?;
    let length = json.iter().position(|byte| *byte == 0).unwrap_or(json.len());
    let json: Value = serde_json::from_slice(&json[..length]).context("the LUKS 2 header")?;
    let slots = json["config"]["keyslots_size"]
        .as_str()
        .and_then(|text| text.parse::<u64>().ok());
    let slots = slots.context("the LUKS 2 header has no size of its key slots")?;
    let whole = slots.saturating_add(2 * size);
    ensure!(
        whole <= target.size,
        "the LUKS 2 header is larger than the device"
    );
    Ok(whole)
}

/// Beginning and size of each piece of `size` bytes.
fn pieces(size: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..size)
        .step_by(PIECE as usize)
        .map(move |at| (at, (size - at).min(PIECE) as usize))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use serde_json::json;

    use super::*;

    const SIZE: u64 = 32 << 20;
    const START: u64 = 1 << 20;

    fn document(tree: &Path, options: &Value) -> Value {
        json!({
            "tree": tree, "options": options,
            "devices": {"device": {"path": "device", "data": {
                "file": "disk.img", "start": START, "size": SIZE, "sector-size": 512, "read-only": false,
            }}},
        })
    }

    /// Whether the passphrase opens the device.
    fn opens(disk: &Path, passphrase: &str) -> bool {
        let part = tempfile::NamedTempFile::new().unwrap();
        let bytes = fs::read(disk).unwrap();
        fs::write(part.path(), &bytes[START as usize..(START + SIZE) as usize]).unwrap();
        let key = tempfile::NamedTempFile::new().unwrap();
        fs::write(key.path(), passphrase).unwrap();
        let mut command = Command::new("cryptsetup");
        command.args(["open", "--test-passphrase", "--key-file"]);
        let output = command.arg(key.path()).arg(part.path()).output().unwrap();
        output.status.success()
    }

    #[test]
    fn the_passphrase_opens_it_until_it_is_removed() {
        if Command::new("cryptsetup").arg("--version").output().is_err() {
            return println!("skipped: cryptsetup is not installed");
        }
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.img");
        fs::write(&disk, b"before").unwrap();
        let file = fs::File::options().write(true).open(&disk).unwrap();
        file.set_len(START + SIZE + 512).unwrap();
        let options = json!({
            "passphrase": "osbuild", "uuid": "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75", "label": "crypt",
            "pbkdf": {"method": "argon2id", "iterations": 4, "memory": 64},
        });
        (crate::luks2_format::MODULE.run)(document(dir.path(), &options)).unwrap();
        assert!(opens(&disk, "osbuild") && !opens(&disk, "other"));
        assert!(fs::read(&disk).unwrap().starts_with(b"before\0"));
        (MODULE.run)(document(dir.path(), &json!({"passphrase": "other"}))).unwrap_err();
        (MODULE.run)(document(dir.path(), &json!({"passphrase": "osbuild"}))).unwrap();
        assert!(!opens(&disk, "osbuild"));
    }

    #[test]
    fn only_a_luks_device_has_keys() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("disk.img")).unwrap();
        file.set_len(START + SIZE).unwrap();
        let error = (MODULE.run)(document(dir.path(), &json!({"passphrase": "x"}))).unwrap_err();
        assert!(error.to_string().contains("no LUKS 2 header"), "{error}");
    }
}
