use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn options(more: Value) -> Options {
    let mut options = json!({
        "filename": "/disk.img", "platform": "i386-pc",
        "core": {"type": "mkimage", "partlabel": "gpt", "filesystem": "xfs"},
        "prefix": {"type": "partition", "partlabel": "gpt", "number": 2, "path": "/boot/grub2"},
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    serde_json::from_value(options).unwrap()
}

#[test]
fn the_core_image_finds_its_partition() {
    let one = options(json!({}));
    assert_eq!(one.prefix.text(), "(,gpt3)/boot/grub2");
    assert_eq!(one.modules(), ["biosdisk", "part_gpt", "xfs"]);
    let two = options(json!({
        "platform": "powerpc-ieee1275", "prefix": {"path": "/boot/grub2/"},
        "core": {"type": "mkimage", "partlabel": "dos", "filesystem": "ext4", "binary": "my-mkimage"},
    }));
    assert_eq!(two.prefix.text(), "/boot/grub2/");
    assert_eq!(two.modules(), ["part_msdos", "ext2"]);
    assert_eq!(two.core_image("").binary, Some("my-mkimage"));
}

#[test]
fn boot_code_and_core_are_written_around_the_table() {
    let disk = SparseFile::new(tempfile::tempfile().unwrap(), 4 << 20).unwrap();
    disk.write(&[7; 72], 440).unwrap();
    let (mut boot, core) = ([0x11; 512], [0x22; 2000]);
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    install_bios(&disk, &boot, &core, 2048, Whole(512)).unwrap();
    let mut first = [0; 512];
    disk.read(&mut first, 0).unwrap();
    assert_eq!(first[440..510], [7; 70]);
    assert_eq!(first[0x5c..0x64], 2048u64.to_le_bytes());
    assert_eq!(first[..0x5c], [0x11; 0x5c]);
    let mut written = [0; 2000];
    disk.read(&mut written, 1 << 20).unwrap();
    assert_eq!(written[500..508], 2049u64.to_le_bytes());
    assert_eq!(written[512..], core[512..]);
    assert!(install_bios(&disk, &boot, &core, 8192, Whole(512)).is_err());
    install(&disk, &core, 16, Whole(4096)).unwrap();
    disk.read(&mut written, 16 * 4096).unwrap();
    assert_eq!(written, core);
}

#[test]
fn grub_makes_the_core_image() {
    let have =
        ["/usr/lib/grub/i386-pc/boot.img", "/usr/bin/grub-mkimage"].map(|path| Path::new(path).is_file());
    if have != [true; 2] {
        return println!("skipped: GRUB for a BIOS is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.img");
    std::fs::File::create(&disk).unwrap().set_len(4 << 20).unwrap();
    (MODULE.run)(json!({"tree": dir.path(), "options": {
        "filename": "/disk.img", "platform": "i386-pc", "location": 2048,
        "core": {"type": "mkimage", "partlabel": "gpt", "filesystem": "ext4"},
        "prefix": {"type": "partition", "partlabel": "gpt", "number": 1, "path": "/boot/grub2"},
    }}))
    .unwrap();
    let bytes = std::fs::read(disk).unwrap();
    assert_eq!(bytes[0x5c..0x64], 2048u64.to_le_bytes());
    assert_eq!(bytes[(1 << 20) + 500..(1 << 20) + 508], 2049u64.to_le_bytes());
}
