use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::*;

const SIZE: u64 = 200 << 20;

/// The bytes of a disk after our stage, or after sfdisk.
fn ours(options: &Value, size: u64, sector: u64) -> Result<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let document = json!({
        "tree": dir.path(), "options": options,
        "devices": {"device": {"path": "/dev/device", "data": {
            "file": "disk.img", "start": 0, "size": size, "sector-size": sector, "read-only": false,
        }}},
    });
    (MODULE.run)(document)?;
    Ok(ends(&std::fs::File::open(path).unwrap()))
}

/// The first and the last 256 KiB: large disks are not read whole.
fn ends(file: &std::fs::File) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; 512 << 10];
    let (first, last) = bytes.split_at_mut(256 << 10);
    let size = file.metadata().unwrap().len();
    file.read_exact_at(first, 0).unwrap();
    file.read_exact_at(last, size - (256 << 10)).unwrap();
    bytes
}

fn by_sfdisk(script: &str, size: u64) -> Option<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let mut command = Command::new("sfdisk");
    let command = command.args(["-q", "--no-tell-kernel"]).arg(file.path());
    let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else {
        println!("skipped: sfdisk is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
    Some(ends(file.as_file()))
}

fn same(options: Value, script: &str, size: u64) {
    let Some(theirs) = by_sfdisk(script, size) else {
        return;
    };
    let ours = ours(&options, size, 512).unwrap();
    let differ = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!(differ, None, "{script}");
}

#[test]
fn a_gpt_is_sfdisks_byte_for_byte() {
    let uuid = "D209C89E-EA5E-4FBD-B161-B461CCE297E0";
    let (esp, root) = (
        "68B2905B-DF3E-4FB3-80FA-49D1E773AA33",
        "6264D520-3FB9-423F-8AB8-7A0A8E3D3562",
    );
    let (esp_type, root_type) = (
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    );
    let options = json!({"label": "gpt", "uuid": uuid, "partitions": [
        {"start": 2048, "size": 102_400, "type": esp_type, "uuid": esp, "name": "EFI system", "bootable": true},
        {"start": 104_448, "size": 20_480, "type": root_type, "uuid": root, "name": "root", "attrs": [2, 60, 7]},
    ]});
    let script = format!(
        "label: gpt\nlabel-id: {uuid}\nstart=2048, size=102400, type={esp_type}, uuid={esp}, name=\"EFI system\"\n\
         start=104448, size=20480, type={root_type}, uuid={root}, name=\"root\", \
         attrs=\"LegacyBIOSBootable,60\"\n"
    );
    same(options, &script, SIZE);
    let options = json!({"label": "gpt", "uuid": uuid, "partitions": [
        {"size": 10_000, "uuid": esp}, {"uuid": root, "partnum": 7},
    ]});
    let script = format!("label: gpt\nlabel-id: {uuid}\nsize=10000, uuid={esp}\nx7: uuid={root}\n");
    same(options.clone(), &script, SIZE);
    same(options, &script, 12 << 20);
}

#[test]
fn a_dos_table_is_sfdisks_byte_for_byte() {
    let options = json!({"label": "dos", "uuid": "0x14fc63d2", "partitions": [
        {"start": 2048, "size": 20_480, "type": "83", "bootable": true},
        {"start": 22_528, "size": 4096, "type": "41"},
        {"type": "82"},
    ]});
    let script = "label: dos\nlabel-id: 0x14fc63d2\nstart=2048, size=20480, type=83, bootable\n\
                  start=22528, size=4096, type=41\ntype=82\n";
    same(options.clone(), script, 64 << 20);
    same(options, script, 9 << 30);
}

#[test]
fn sectors_of_4096_bytes_make_another_table() {
    let options = json!({"label": "gpt", "uuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0", "partitions": [
        {"start": 256, "size": 1024}, {},
    ]});
    let bytes = ours(&options, SIZE, 4096).unwrap();
    assert_eq!(&bytes[4096..4104], b"EFI PART");
    let image = image::SparseFile::new(tempfile::tempfile().unwrap(), SIZE).unwrap();
    image.write(&bytes[..256 << 10], 0).unwrap();
    let found = image::partitions::read(&image, 0, SIZE, 4096).unwrap();
    assert_eq!((found[0].start, found[0].size), (1 << 20, 4 << 20));
    assert_eq!(found[1].start, 5 << 20);
}

#[test]
fn what_cannot_be_is_refused() {
    let uuid = "D209C89E-EA5E-4FBD-B161-B461CCE297E0";
    for (partitions, what) in [
        (json!([{"start": 2048, "size": 500_000}]), "lies outside"),
        (
            json!([{"start": 2048, "size": 2048}, {"start": 3000, "size": 10}]),
            "overlaps",
        ),
        (json!([{"partnum": 2}, {"partnum": 2}]), "number 2"),
        (json!([{"start": -1}]), "`start` is -1"),
        (json!([{"type": "ZZ"}]), "`type` is no UUID"),
    ] {
        let options = json!({"label": "gpt", "uuid": uuid, "partitions": partitions});
        let error = format!("{:#}", ours(&options, SIZE, 512).unwrap_err());
        assert!(error.contains(what), "{error}");
    }
    let five = json!({"label": "dos", "uuid": "1", "partitions": vec![json!({"size": 2048}); 5]});
    assert!(ours(&five, SIZE, 512).is_err());
    let boot = json!({"label": "dos", "uuid": uuid});
    assert!(ours(&boot, SIZE, 512).is_err());
}
