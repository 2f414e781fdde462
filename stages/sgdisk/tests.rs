use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::*;

const SIZE: u64 = 64 << 20;
const UUID: &str = "D209C89E-EA5E-4FBD-B161-B461CCE297E0";
const GUIDS: [&str; 4] = [
    "FAC7F1FB-3E8D-4137-A512-961DE09A5549",
    "68B2905B-DF3E-4FB3-80FA-49D1E773AA33",
    "6264D520-3FB9-423F-8AB8-7A0A8E3D3562",
    "CB07C243-BC44-4717-853E-28852021225B",
];

/// A disk with something in its first sector.
fn disk(size: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("disk.img"), [0x5a; 440]).unwrap();
    let file = fs::File::options().write(true).open(dir.path().join("disk.img"));
    file.unwrap().set_len(size).unwrap();
    dir
}

fn ours(options: &Value, size: u64, sector: u64) -> Result<Vec<u8>> {
    let dir = disk(size);
    (MODULE.run)(json!({
        "tree": dir.path(), "options": options,
        "devices": {"device": {"path": "/dev/device", "data": {
            "file": "disk.img", "start": 0, "size": size, "sector-size": sector, "read-only": false,
        }}},
    }))?;
    Ok(fs::read(dir.path().join("disk.img")).unwrap())
}

fn by_sgdisk(words: &[&str], size: u64) -> Option<Vec<u8>> {
    let dir = disk(size);
    let path = dir.path().join("disk.img");
    let mut command = Command::new("sgdisk");
    let Ok(output) = command
        .arg("-Z")
        .arg(&path)
        .args(["-g", "-U", UUID])
        .args(words)
        .output()
    else {
        println!("skipped: sgdisk is not installed");
        return None;
    };
    assert!(output.status.success(), "{words:?}: {output:?}");
    Some(fs::read(path).unwrap())
}

fn same(partitions: Value, words: &[&str], size: u64) {
    let Some(theirs) = by_sgdisk(words, size) else {
        return;
    };
    let ours = ours(&json!({"uuid": UUID, "partitions": partitions}), size, 512).unwrap();
    let differ = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!(differ, None, "{words:?}");
}

#[test]
fn a_table_is_sgdisks_byte_for_byte() {
    let partitions = json!([
        {"start": 2048, "size": 100, "name": "boot part", "uuid": GUIDS[0], "type": "ef00", "bootable": true},
        {"start": 4096, "size": 1000, "uuid": GUIDS[1], "partnum": 7, "attrs": [60, 0],
         "type": "933AC7E1-2EB4-4F13-B844-0E14E2AEF915"},
        {"start": 8192, "uuid": GUIDS[2]},
    ]);
    let numbered = |number: u32, rest: &str| format!("{number}:{rest}");
    let words = [
        "-n",
        "1:2048:+100",
        "-c",
        "1:\"boot part\"",
        "-u",
        &numbered(1, GUIDS[0]),
        "-t",
        "1:ef00",
        "-A",
        "1:set:2",
        "-n",
        "7:4096:+1000",
        "-u",
        &numbered(7, GUIDS[1]),
        "-t",
        "7:933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
        "-A",
        "7:set:0",
        "-A",
        "7:set:60",
        "-n",
        "3:8192:0",
        "-u",
        &numbered(3, GUIDS[2]),
    ];
    for size in [SIZE, SIZE + 512 * 77, 5 << 20] {
        same(partitions.clone(), &words, size);
    }
}

#[test]
fn partitions_lie_where_sgdisk_moves_them() {
    let words = |places: &[&str]| {
        let words = places.iter().zip(1..).zip(GUIDS);
        words
            .flat_map(|((place, number), guid)| {
                [
                    "-n".to_owned(),
                    format!("{number}:{place}"),
                    "-u".into(),
                    format!("{number}:{guid}"),
                ]
            })
            .collect::<Vec<String>>()
    };
    let check = |places: &[&str], mut partitions: Value| {
        for (partition, guid) in partitions.as_array_mut().unwrap().iter_mut().zip(GUIDS) {
            partition["uuid"] = guid.into();
        }
        let words = words(places);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        same(partitions, &words, SIZE);
    };
    check(
        &["3000:+100", "0:+10", "0:0"],
        json!([{"start": 3000, "size": 100}, {"size": 10}, {"start": 0}]),
    );
    check(
        &["2048:+1000", "3048:+4000", "60000:+10", "0:+100"],
        json!([
            {"start": 2048, "size": 1000}, {"start": 3048, "size": 4000},
            {"start": 60_000, "size": 10}, {"size": 100},
        ]),
    );
}

#[test]
fn names_are_quoted_only_if_asked_for() {
    let name = |quoted| {
        let options = json!({"uuid": UUID, "quote_partition_name": quoted, "partitions": [{"name": "a"}]});
        let bytes = ours(&options, SIZE, 512).unwrap();
        bytes[1024 + 56..1024 + 62].to_vec()
    };
    assert_eq!(name(true), b"\"\0a\0\"\0");
    assert_eq!(name(false), b"a\0\0\0\0\0");
}

#[test]
fn sectors_of_4096_bytes_make_another_table() {
    let options = json!({"uuid": UUID, "partitions": [{"start": 256, "size": 1024}, {}]});
    let bytes = ours(&options, SIZE, 4096).unwrap();
    assert_eq!(&bytes[4096..4104], b"EFI PART");
    let image = image::SparseFile::new(tempfile::tempfile().unwrap(), SIZE).unwrap();
    image.write(&bytes, 0).unwrap();
    let found = image::partitions::read(&image, 0, SIZE, 4096).unwrap();
    assert_eq!(
        (found[0].start, found[0].size, found[1].start),
        (1 << 20, 4 << 20, 5 << 20)
    );
}

#[test]
fn what_cannot_be_is_refused() {
    for (partitions, what) in [
        (json!([{"start": 2048, "size": 500_000}]), "not free"),
        (
            json!([{"start": 2048, "size": 2048}, {"start": 3000}]),
            "not free",
        ),
        (json!([{"start": 34, "size": 100}]), "partition 1"),
        (
            json!([{"size": 10, "partnum": 2}, {"size": 10}]),
            "two partitions have the number 2",
        ),
        (json!([{"start": -1}]), "`start` is -1"),
        (json!([{"type": "ZZ"}]), "a code of sgdisk"),
    ] {
        let options = json!({"uuid": UUID, "partitions": partitions});
        let error = format!("{:#}", ours(&options, SIZE, 512).unwrap_err());
        assert!(error.contains(what), "{error}");
    }
}
