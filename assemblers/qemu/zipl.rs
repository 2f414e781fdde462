//! zipl, the boot loader of IBM Z: it notes down which blocks of the disk have the kernel, which the kernel tells of mounted
//! file systems alone.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use image::{SparseFile, partitions};
use module::{Context, LoopDevices, LoopOptions, Result, Tool, Tree, ensure};
use rustix::mount::{UnmountFlags, unmount};

const ZIPL: &str = "/usr/sbin/zipl";
const ENTRIES: &str = "boot/loader/entries";
const SECTOR: u64 = 512;

/// What a boot loader entry says.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    linux: PathBuf,
    initrd: PathBuf,
    options: String,
}

/// That the build root has it: said before anything is made.
pub fn check() -> Result<()> {
    ensure!(
        Path::new(ZIPL).exists(),
        "bootloader: the build pipeline has no {ZIPL}: add the package with it, s390-tools or s390utils, which only that \
         architecture has"
    );
    Ok(())
}

/// Installs it on a disk whose file systems are made. `mounts`: the number of a partition, and where it is mounted.
pub fn install(disk: &SparseFile, mounts: &[(u64, &str)]) -> Result<()> {
    let file = File::options().read(true).write(true).open(disk.path())?;
    let table = partitions::read(disk, 0, disk.size(), SECTOR)?;
    let loops = LoopDevices::connect()?;
    let bind = |range| {
        let options = LoopOptions {
            read_only: false,
            sector: SECTOR as u32,
            range,
        };
        loops.bind(&file, &options)
    };
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let mut mounts = mounts.to_vec();
    mounts.sort_by_key(|(_, path)| Path::new(path).components().count());
    let mut mounted = Vec::new();
    let mut boot = None;
    let mut mount_all = || -> Result<()> {
        for (number, path) in &mounts {
            let part = table.iter().find(|part| part.number == *number);
            let part = part.with_context(|| format!("the disk has no partition {number}"))?;
            let target = dir.path().join(path.trim_start_matches('/'));
            Tool::new("mount")
                .arg(bind(Some(part.start..part.start + part.size))?)
                .arg(&target)
                .run()?;
            mounted.push(target);
            if matches!(*path, "/" | "/boot") {
                boot = Some(part.start / SECTOR);
            }
        }
        let offset = boot.context("no partition is mounted at /boot or /")?;
        let root = Tree::open(dir.path())?;
        let device = bind(None)?;
        Tool::new(ZIPL)
            .args(arguments(&root, &first(&root)?))
            .arg("--targetbase")
            .arg(&device)
            .args(["--targettype", "SCSI", "--targetblocksize", "512"])
            .args(["--targetoffset", &offset.to_string()])
            .run()?;
        let end = table.iter().map(|part| part.start).min().unwrap_or(0);
        settle(&device, end).context("cannot write the boot record")
    };
    let done = mount_all();
    for target in mounted.iter().rev() {
        // what they hold back is written to the disk now
        unmount(target, UnmountFlags::empty())
            .with_context(|| format!("cannot unmount {}", target.display()))?;
    }
    done.context("bootloader")
}

/// Has the first `length` bytes of the device written to its file. Closing does not, while the executor has it open, and
/// syncing is passed over in a box: so they are written once more, each at once.
fn settle(device: &Path, length: u64) -> Result<()> {
    let flags = rustix::fs::OFlags::DSYNC.bits().cast_signed();
    let device = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(device)?;
    let mut bytes = vec![0; usize::try_from(length)?];
    device.read_exact_at(&mut bytes, 0)?;
    Ok(device.write_all_at(&bytes, 0)?)
}

fn arguments(root: &Tree, entry: &Entry) -> Vec<std::ffi::OsString> {
    let at = |path: &Path| root.path().join(path).into_os_string();
    vec![
        "--verbose".into(),
        "--target".into(),
        at(Path::new("boot")),
        "--image".into(),
        at(&entry.linux),
        "--ramdisk".into(),
        at(&entry.initrd),
        "--parameters".into(),
        entry.options.clone().into(),
    ]
}

/// The first entry that is not for rescue.
fn first(root: &Tree) -> Result<Entry> {
    let mut names = root
        .list(ENTRIES)?
        .into_iter()
        .filter_map(|name| name.into_string().ok());
    let name = names.find(|name| name.ends_with(".conf") && !name.ends_with("rescue.conf"));
    let name = name.with_context(|| format!("/{ENTRIES} has no entry"))?;
    let text = root.read_text(format!("{ENTRIES}/{name}"))?;
    let value = |key: &str| {
        let mut words = text
            .lines()
            .filter_map(|line| line.trim().split_once(char::is_whitespace));
        words
            .rfind(|(name, _)| *name == key)
            .map(|(_, value)| value.trim().to_owned())
    };
    let file = |key: &str| -> Result<PathBuf> {
        let path = value(key).with_context(|| format!("/{ENTRIES}/{name} has no `{key}`"))?;
        let path = path.trim_start_matches('/');
        // below /boot, where that is a file system of its own
        let mut places = [PathBuf::from(path), Path::new("boot").join(path)].into_iter();
        let found = places.find(|path| {
            root.stat(path)
                .ok()
                .flatten()
                .is_some_and(|stat| stat.kind == tree::Kind::File)
        });
        found.with_context(|| format!("/{path}, which /{ENTRIES}/{name} names, is no file"))
    };
    Ok(Entry {
        linux: file("linux")?,
        initrd: file("initrd")?,
        options: value("options").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_names_files_of_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let root = Tree::open(dir.path()).unwrap();
        root.mkdir_all(ENTRIES).unwrap();
        for (name, kernel) in [
            ("a-rescue.conf", "/none"),
            ("b.conf", "/vmlinuz"),
            ("c.conf", "/none"),
        ] {
            let text = format!("title x\nlinux {kernel}\ninitrd /boot/i\noptions ro  quiet\n");
            root.write(format!("{ENTRIES}/{name}"), text).unwrap();
        }
        let error = first(&root).unwrap_err().to_string();
        assert_eq!(
            error,
            "/vmlinuz, which /boot/loader/entries/b.conf names, is no file"
        );
        root.write("boot/vmlinuz", "").unwrap();
        root.write("boot/i", "").unwrap();
        let words = arguments(&root, &first(&root).unwrap());
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let at = |path: &str| dir.path().join(path).to_string_lossy().into_owned();
        assert_eq!(
            words,
            [
                "--verbose",
                "--target",
                &at("boot"),
                "--image",
                &at("boot/vmlinuz"),
                "--ramdisk",
                &at("boot/i"),
                "--parameters",
                "ro  quiet",
            ]
        );
    }
}
