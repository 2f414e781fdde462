//! Make the live medium of a CoreOS system, and what starts the same by PXE.
//!
//! `metal` and `metal4k` are its disk images for sectors of 512 and 4096 bytes, `deployed-tree` is the tree they were made of.
//! Four files are made:
//!
//! * `live-kernel`, the kernel,
//! * `live-initramfs`, its initial ram disk with the marks of a live system,
//! * `live-rootfs`, an uncompressed cpio archive: the content of `metal`'s partitions 2 to 4 as a squashfs or erofs, as
//!   `/usr/share/coreos-assembler/image.json` says, and both images packed as differences to it (osmet),
//! * `live-iso`, a medium with these three, the tree's `/usr/share/coreos-assembler/live` and boot loaders.
//!
//! The system's `coreos-installer` packs, in its own tree. Of the build root come mount(8), mksquashfs or mkfs.erofs, and
//! xorrisofs (or genisoimage and isohybrid) with SYSLINUX on x86; `grub2-mkrescue` on POWER; `mk-s390image` and Lorax's
//! templates on IBM Z. The kernel mounts the images: that takes the machine's root, or `--in-vm`.

use std::fs::File;
use std::path::Path;

use archive::compress::{self, Compression, Settings};
use archive::cpio;
use module::{Args, Chroot, Context, LoopDevices, LoopOptions, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts;
use crate::disk;

mod configuration;
mod medium;
mod metal;
mod s390x;
mod system;

use configuration::Configuration;
use medium::Medium;
use system::System;

/// Options of `org.osbuild.coreos.live-artifacts.mono`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What the files are called.
    filenames: Filenames,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Filenames {
    /// The medium.
    live_iso: String,
    /// The kernel.
    live_kernel: String,
    /// Its initial ram disk.
    live_initramfs: String,
    /// The root file system, which is appended to the initial ram disk or fetched by it.
    live_rootfs: String,
}

module::stage! {
    file: "coreos_live_artifacts_mono.rs", name: "org.osbuild.coreos.live-artifacts.mono", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["deployed-tree", "metal", "metal4k"],
            "properties": {
                "deployed-tree": {"type": "object", "additionalProperties": true},
                "metal": {"type": "object", "additionalProperties": true},
                "metal4k": {"type": "object", "additionalProperties": true},
            },
        },
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [Chroot, LoopDevices],
    libraries: [
        include_str!("coreos_live_artifacts_mono/configuration.rs"),
        include_str!("coreos_live_artifacts_mono/medium.rs"),
        include_str!("coreos_live_artifacts_mono/metal.rs"),
        include_str!("coreos_live_artifacts_mono/s390x.rs"),
        include_str!("coreos_live_artifacts_mono/system.rs"),
        archive::SOURCE_DIGEST, image::SOURCE_DIGEST, artifacts::SOURCE, disk::SOURCE,
    ],
}

const KERNEL: &str = "iso/images/pxeboot/vmlinuz";
const INITRD: &str = "iso/images/pxeboot/initrd.img";
const ROOTFS: &str = "iso/images/pxeboot/rootfs.img";

fn run(args: Args<Options>) -> Result<()> {
    let deployed = args.input("deployed-tree")?.tree()?;
    let system = System::read(&deployed).context("input `deployed-tree`")?;
    let loops = LoopDevices::connect()?;
    // a directory of the tree: what is finished there gets its place by its name alone
    let dir = tempfile::Builder::new()
        .prefix(".live-")
        .tempdir_in(args.tree.path())?;
    let work = Tree::open(dir.path())?;
    for path in ["iso/coreos", "iso/isolinux", "iso/images/pxeboot"] {
        work.mkdir_all(path)?;
    }
    copy(&deployed, &system.kernel, &work, KERNEL)?;
    copy(&deployed, &system.initramfs, &work, INITRD)?;
    let epoch = args.meta.source_epoch.unwrap_or(0);

    let chroot = Chroot::with_kernel_only(&deployed)?;
    // it writes into the tree, and makes mount points in its temporary directory
    chroot.bind(&deployed, "run")?;
    chroot.bind(&deployed, "tmp")?;
    work.mkdir_all("rootfs/etc")?;
    for (input, sector) in [("metal", 512), ("metal4k", 4096)] {
        let image = args.input(input)?.single_file();
        let image = image.with_context(|| format!("input `{input}`"))?;
        let name = Path::new(&image.name)
            .file_name()
            .context("an image has no name")?;
        let options = LoopOptions {
            read_only: true,
            sector,
            range: None,
        };
        let device = loops.bind(&File::open(&image.path)?, &options)?;
        LoopDevices::partitions(&device)?;
        println!("packing {}", image.name);
        chroot
            .tool("coreos-installer")
            .args(["pack", "osmet"])
            .arg(&device)
            .args(["--description", &system.name, "--checksum", &digest(&image.path)?])
            .arg("--output")
            .arg(
                dir.path()
                    .join("rootfs")
                    .join(format!("{}.osmet", name.to_string_lossy())),
            )
            .run()?;
    }
    let image = args.input("metal")?.single_file()?;
    work.mkdir_all("image")?;
    let metal = metal::read(&args, &loops, &File::open(&image.path)?, &system, &work)?;

    // the ram disk takes only a root file system that was made with it
    work.write("rootfs/etc/coreos-live-rootfs", format!("{}\n", system.version))?;
    let file = File::from(work.open_at(
        ROOTFS,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CREATE,
        0o644,
    )?);
    // the medium mounts the image where it lies in the archive: it is the first member
    pack(&work.subtree("image")?, &file, false, epoch)?;
    pack(&work.subtree("rootfs")?, &file, true, epoch)?;
    system.file_system.check_place(&file)?;
    work.mkdir_all("initrd/etc/coreos")?;
    work.write(
        "initrd/etc/coreos-live-initramfs",
        format!("{}\n", system.version),
    )?;
    work.write("initrd/etc/coreos-live-want-rootfs", system::stream_hash(&file)?)?;
    for path in ["initrd/etc/coreos/features.json", "iso/coreos/features.json"] {
        work.write(path, &system.features)?;
    }
    extend(&work, epoch)?;

    let medium = Medium {
        args: &args,
        system: &system,
        deployed: &deployed,
        work: &work,
        chroot: &chroot,
        name: format!(
            "{}-{}",
            metal.name.as_deref().unwrap_or(&system.id),
            system.version
        ),
        architecture: std::env::consts::ARCH,
    };
    let arguments = Configuration::of(&medium.label(), &metal.arguments);
    medium.write(arguments)?;
    let names = &args.options.filenames;
    for (from, to) in [
        (KERNEL, &names.live_kernel),
        (INITRD, &names.live_initramfs),
        (medium::ROOTFS, &names.live_rootfs),
        (medium::ISO, &names.live_iso),
    ] {
        let to = to.trim_start_matches('/');
        ensure!(!args.tree.is_dir(to), "options: filenames: /{to} is a directory");
        let from = Path::new(dir.path().file_name().unwrap_or_default()).join(from);
        args.tree
            .rename(from, to)
            .with_context(|| format!("cannot make /{to}"))?;
    }
    Ok(())
}

/// Copies a file's content.
fn copy(from: &Tree, path: &str, to: &Tree, target: &str) -> Result<()> {
    let mut source = from.open_file(path)?;
    let copied = std::io::copy(&mut source, &mut to.create_file(target)?);
    copied.with_context(|| format!("cannot copy {path}")).map(drop)
}

fn digest(path: &Path) -> Result<String> {
    use sha2::{Digest, Sha256};
    use std::io::Read;
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block);
        match read.with_context(|| format!("cannot read {}", path.display()))? {
            0 => break,
            length => hash.update(&block[..length]),
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Writes an archive as the kernel unpacks it, or adds to one.
fn pack(tree: &Tree, file: &File, append: bool, epoch: i64) -> Result<()> {
    let options = cpio::Options {
        format: cpio::Format::Newc,
        root: false,
        renumber: true,
        owner: (Some(0), Some(0)),
        latest: Some(epoch),
    };
    Ok(cpio::write(tree, file, append, options)?)
}

/// Appends what a live system needs to the initial ram disk.
fn extend(work: &Tree, epoch: i64) -> Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    let plain = tempfile::tempfile_in("/var/tmp")?;
    pack(&work.subtree("initrd")?, &plain, false, epoch)?;
    let flags = rustix::fs::OFlags::RDWR;
    let mut initrd = File::from(work.open_at(INITRD, flags, 0)?);
    initrd.seek(SeekFrom::End(0))?;
    let settings = Settings {
        compression: Some(Compression::Gzip),
        level: Some(9),
        size: None,
    };
    (&plain).rewind()?;
    compress::write(initrd.try_clone()?, settings, |out| -> archive::Result<()> {
        std::io::copy(&mut &plain, out)?;
        Ok(())
    })?;
    // what is appended uncompressed must begin at a multiple of 4
    let end = initrd.seek(SeekFrom::End(0))?;
    initrd.write_all(&[0; 3][..(end.next_multiple_of(4) - end) as usize])?;
    Ok(())
}

#[cfg(test)]
mod tests;
