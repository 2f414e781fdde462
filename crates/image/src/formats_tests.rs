//! Every format of a disk, read back by QEMU.

use std::fs::File;
use std::path::Path;

use uuid::Uuid;

use crate::format::{self, Format, Identity};
use crate::testing::{disk, large_disk, no_qemu_img, qemu_img};
use crate::vmdk::{Adapter, Subformat};
use crate::{Result, SparseFile, qcow2, vdi, vhd, vhdx, vmdk};

const ID: Uuid = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);

/// Writes a disk twice, with one thread and with three: QEMU must read the same disk, and the bytes must be equal.
fn check(format: &str, raw: &Path, write: impl Fn(&Path, usize)) -> std::path::PathBuf {
    let dir = raw.parent().unwrap();
    let mut all = Vec::new();
    for threads in [1, 3] {
        let out = dir.join(format!("{threads}"));
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).unwrap();
        write(&out, threads);
        let path = out.join("disk.img");
        qemu_img(&[
            "compare",
            "-f",
            "raw",
            "-F",
            format,
            raw.to_str().unwrap(),
            path.to_str().unwrap(),
        ]);
        let mut files: Vec<_> = std::fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        all.push(
            files
                .iter()
                .map(|file| std::fs::read(file).unwrap())
                .collect::<Vec<_>>(),
        );
    }
    assert!(all[0] == all[1], "{format} depends on the number of threads");
    dir.join("1/disk.img")
}

/// A disk of whole MiB, one of whole sectors, one that ends within a sector, and one that passes the page cache.
fn disks(mut judge: impl FnMut(&Path, &SparseFile)) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    judge(&dir.path().join("disk.raw"), &large_disk(dir.path(), 3));
    for (seed, size) in [(1, 40 << 20), (2, (90 << 20) + 512 * 77), (4, (20 << 20) + 811)] {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(dir.path(), seed, size);
        judge(&dir.path().join("disk.raw"), &disk);
    }
}

fn one(write: impl Fn(&File, usize) -> Result<()>) -> impl Fn(&Path, usize) {
    move |dir, threads| write(&File::create(dir.join("disk.img")).unwrap(), threads).unwrap()
}

#[test]
fn vdi_is_read_back() {
    if no_qemu_img() {
        return;
    }
    disks(|raw, disk| {
        let file = check(
            "vdi",
            raw,
            one(|output, threads| vdi::write(disk, output, ID, threads)),
        );
        qemu_img(&["check", "-f", "vdi", file.to_str().unwrap()]);
    });
}

#[test]
fn vhdx_is_read_back() {
    if no_qemu_img() {
        return;
    }
    disks(|raw, disk| {
        let file = check(
            "vhdx",
            raw,
            one(|output, threads| vhdx::write(disk, output, ID, threads)),
        );
        qemu_img(&["check", "-f", "vhdx", file.to_str().unwrap()]);
    });
}

#[test]
fn vhd_is_read_back_and_has_the_size_that_was_asked_for() {
    if no_qemu_img() {
        return;
    }
    disks(|raw, disk| {
        for kind in [vhd::Kind::Fixed, vhd::Kind::Dynamic] {
            for rounding in [vhd::Rounding::Azure, vhd::Rounding::Geometry] {
                let write = |output: &File, threads| {
                    let options = vhd::Options {
                        kind,
                        rounding,
                        uuid: ID,
                        time: 1_700_000_000,
                        threads,
                    };
                    vhd::write(disk, output, &options)
                };
                let file = check("vpc", raw, one(write));
                let info = qemu_img(&["info", "--output", "json", "-f", "vpc", file.to_str().unwrap()]);
                let size = info
                    .lines()
                    .find_map(|line| line.trim().strip_prefix("\"virtual-size\": "));
                let size: u64 = size.unwrap().trim_end_matches(',').parse().unwrap();
                assert!(size >= disk.size(), "{size}");
                if rounding == vhd::Rounding::Azure {
                    assert_eq!(size, disk.size().next_multiple_of(1 << 20));
                }
            }
        }
    });
}

#[test]
fn a_vhd_that_no_geometry_holds_has_the_size_of_the_disk() {
    const LARGEST: u64 = 65_535 * 16 * 255 * 512;
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let raw = dir.path().join("disk.raw");
    for size in [LARGEST, 140 << 30, (140 << 30) + 700] {
        for kind in [vhd::Kind::Fixed, vhd::Kind::Dynamic] {
            let open = |path: &Path| {
                File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(path)
            };
            let disk = SparseFile::new(open(&raw).unwrap(), size).unwrap();
            for (bytes, at) in [(b"old end", LARGEST - 7), (b"the end", size - 7)] {
                disk.write(bytes, at).unwrap();
            }
            let path = dir.path().join("disk.vhd");
            let options = vhd::Options {
                kind,
                rounding: vhd::Rounding::Geometry,
                ..vhd::Options::default()
            };
            vhd::write(&disk, &open(&path).unwrap(), &options).unwrap();
            let mut footer = [0; 512];
            let file = SparseFile::open(File::open(&path).unwrap()).unwrap();
            file.read(&mut footer, file.size() - 512).unwrap();
            assert_eq!(footer[48..56], size.next_multiple_of(512).to_be_bytes());
            if !no_qemu_img() {
                let [raw, path] = [&raw, &path].map(|path| path.to_str().unwrap());
                qemu_img(&["compare", "-f", "raw", "-F", "vpc", raw, path]);
            }
        }
    }
}

#[test]
fn a_disk_without_a_byte_is_refused() {
    let disk = SparseFile::new(tempfile::tempfile().unwrap(), 0).unwrap();
    let rounding = vhd::Rounding::Azure;
    let kind = vhd::Kind::Fixed;
    for format in [
        Format::Qcow2(qcow2::Options::default()),
        Format::Vdi,
        Format::Vhdx,
        Format::Vhd { kind, rounding },
    ] {
        let mut create = |_: &Path| -> Result<File> { panic!("{format:?}: a file was made") };
        let made = format::write(
            &disk,
            Path::new("disk"),
            &format,
            Identity::default(),
            &mut create,
        );
        assert!(made.unwrap_err().to_string().contains("0 bytes"), "{format:?}");
    }
}

#[test]
fn vmdk_is_read_back_in_every_subformat() {
    if no_qemu_img() {
        return;
    }
    let subformats = [
        Subformat::MonolithicSparse,
        Subformat::MonolithicFlat,
        Subformat::StreamOptimized,
        Subformat::TwoGbMaxExtentFlat,
        Subformat::TwoGbMaxExtentSparse,
    ];
    let read_back = |raw: &Path, disk: &SparseFile, subformats: &[Subformat]| {
        for subformat in subformats.iter().copied() {
            let write = |dir: &Path, threads| {
                let options = vmdk::Options {
                    subformat,
                    adapter: Adapter::LsiLogic,
                    compat6: true,
                    content_id: 0x1234_5678,
                    threads,
                };
                let mut create = |name: &str| Ok(File::create(dir.join(name)).unwrap());
                vmdk::write(disk, "disk.img", &options, &mut create).unwrap();
            };
            let file = check("vmdk", raw, write);
            let info = qemu_img(&["info", "-f", "vmdk", file.to_str().unwrap()]);
            assert!(
                info.contains(&format!("create type: {}", subformat.name())),
                "{info}"
            );
            if subformat == Subformat::MonolithicSparse {
                qemu_img(&["check", "-f", "vmdk", file.to_str().unwrap()]);
            }
        }
    };
    disks(|raw, disk| read_back(raw, disk, &subformats));
    // one of two files
    let dir = tempfile::tempdir().unwrap();
    let large = disk(dir.path(), 3, (2 << 30) + (30 << 20));
    read_back(&dir.path().join("disk.raw"), &large, &subformats[4..]);
}

#[test]
fn empty_disks_are_files_of_tables() {
    if no_qemu_img() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("disk.raw");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&raw)
        .unwrap();
    let disk = SparseFile::new(file, 1 << 30).unwrap();
    check(
        "vdi",
        &raw,
        one(|output, threads| vdi::write(&disk, output, ID, threads)),
    );
    check(
        "vhdx",
        &raw,
        one(|output, threads| vhdx::write(&disk, output, ID, threads)),
    );
    let dynamic = vhd::Options {
        kind: vhd::Kind::Dynamic,
        ..vhd::Options::default()
    };
    check("vpc", &raw, one(|output, _| vhd::write(&disk, output, &dynamic)));
    for subformat in [Subformat::MonolithicSparse, Subformat::StreamOptimized] {
        let options = vmdk::Options {
            subformat,
            ..vmdk::Options::default()
        };
        check("vmdk", &raw, |dir, _| {
            let mut create = |name: &str| Ok(File::create(dir.join(name)).unwrap());
            vmdk::write(&disk, "disk.img", &options, &mut create).unwrap();
        });
    }
}
