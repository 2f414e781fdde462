use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::*;

const SIZE: u64 = 64 << 20;

/// A disk with something in its first sector.
fn disk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    fs::write(&path, [0x5a; 440]).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(SIZE).unwrap();
    dir
}

fn ours(partitions: &Value, id: &str) -> Result<Vec<u8>> {
    let dir = disk();
    (MODULE.run)(json!({
        "tree": dir.path(), "options": {"label": "gpt", "partitions": partitions}, "meta": {"id": id},
        "devices": {"device": {"path": "/dev/device", "data": {
            "file": "disk.img", "start": 0, "size": SIZE, "sector-size": 512, "read-only": false,
        }}},
    }))?;
    Ok(fs::read(dir.path().join("disk.img")).unwrap())
}

/// Puts zeros where the GUIDs of table and partitions are, and the checksums over them.
fn without_chance(bytes: &mut [u8]) {
    let size = bytes.len();
    for header in [512, size - 512] {
        for field in [16..20, 56..72, 88..92] {
            bytes[header + field.start..header + field.end].fill(0);
        }
    }
    for entries in [1024, size - 33 * 512] {
        for entry in 0..128 {
            bytes[entries + entry * 128 + 16..][..16].fill(0);
        }
    }
}

#[test]
fn all_but_the_guids_is_parteds_byte_for_byte() {
    let flags = TYPES.map(|(flag, _)| flag);
    let mut words: Vec<String> = ["unit", "s", "mklabel", "gpt"].map(str::to_owned).to_vec();
    let mut partitions = Vec::new();
    // no_automount is newer than some parted
    for (number, flag) in (1u64..).zip(flags.iter().chain(&["hidden", "legacy_boot"])) {
        let start = 2048 * number;
        partitions.push(
            json!({"name": format!("no {number}"), "start": start, "size": 100 + number, "type": flag}),
        );
        let mkpart = [
            "mkpart".into(),
            format!("\"no {number}\""),
            start.to_string(),
            (start + 99 + number).to_string(),
        ];
        words.extend(mkpart);
        words.extend(["set".into(), number.to_string(), (*flag).to_owned(), "on".into()]);
    }
    partitions[17]["bootable"] = true.into();
    words.extend(["set".into(), "18".into(), "boot".into(), "on".into()]);
    let dir = disk();
    let path = dir.path().join("disk.img");
    let mut command = Command::new("parted");
    let Ok(output) = command
        .args(["-a", "none", "-s"])
        .arg(&path)
        .arg("--")
        .args(&words)
        .output()
    else {
        return println!("skipped: parted is not installed");
    };
    assert!(output.status.success(), "{output:?}");
    let mut theirs = fs::read(path).unwrap();
    let mut ours = ours(&json!(partitions), "x").unwrap();
    without_chance(&mut theirs);
    without_chance(&mut ours);
    let differ = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!(differ, None);
}

#[test]
fn guids_follow_from_the_stages_id() {
    let make = |id| ours(&json!([{"name": "a", "start": 2048, "size": 10}]), id).unwrap();
    assert!(make("x") == make("x"));
    assert_ne!(make("x")[568..584], make("y")[568..584]);
    assert_ne!(make("x")[1040..1056], make("y")[1040..1056]);
}

#[test]
fn what_cannot_be_is_refused() {
    for (partitions, what) in [
        (json!([{"start": 2048, "name": "a"}]), "`size` is missing"),
        (
            json!([{"start": 2048, "size": 10, "type": "palo"}]),
            "no flag `palo`",
        ),
        (json!([{"start": 10, "size": 10}]), "outside the disk"),
    ] {
        let error = format!("{:#}", ours(&partitions, "x").unwrap_err());
        assert!(error.contains(what), "{error}");
    }
}
