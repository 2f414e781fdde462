//! What the tests of image formats share: disks of odd content, and QEMU as the judge.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::SparseFile;

/// Numbers that look random and are always the same.
pub fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// The disk `disk.raw` in `dir`, of holes, text, noise and zeros at odd places.
pub fn disk(dir: &Path, seed: u64, size: u64) -> SparseFile {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(dir.join("disk.raw"))
        .unwrap();
    let disk = SparseFile::new(file, size).unwrap();
    let mut next = noise(seed);
    for _ in 0..120 {
        let length = (next() % 300_000) as usize;
        let at = next() % (size - length as u64);
        let bytes: Vec<u8> = match next() % 3 {
            0 => (0..length).map(|_| next() as u8).collect(),
            1 => (0..length)
                .map(|i| b"some text "[i % 10] + (i / 5000) as u8)
                .collect(),
            _ => vec![0; length],
        };
        disk.write(&bytes, at).unwrap();
    }
    disk.write(b"end", size - 3).unwrap();
    disk
}

/// The disk `disk.raw` in `dir` with enough in it to be written past the page cache; half of that lies in it.
pub fn large_disk(dir: &Path, seed: u64) -> SparseFile {
    let disk = disk(dir, seed, (200 << 20) + 512);
    let mut next = noise(seed + 1);
    let half = 10 << 20;
    let bytes: Vec<u8> = (0..2 * half)
        .map(|n| (next() >> (n >> 10 & 31)) as u8 & 0x3f)
        .collect();
    for (at, bytes) in [70 << 20, 100 << 20].into_iter().zip(bytes.chunks(half)) {
        disk.write(bytes, at + 700).unwrap();
    }
    rustix::fs::fsync(&disk).unwrap();
    rustix::fs::fadvise(&disk, 90 << 20, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(disk.is_large().unwrap());
    disk
}

/// Whether there is no `qemu-img` here; says so.
pub fn no_qemu_img() -> bool {
    let missing = Command::new("qemu-img").arg("--version").output().is_err();
    if missing {
        println!("skipped: qemu-img is not installed");
    }
    missing
}

/// What `qemu-img` prints.
pub fn qemu_img(args: &[&str]) -> String {
    let output = Command::new("qemu-img").args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}");
    assert!(!text.contains("leaked"), "{text}");
    text.into_owned()
}
