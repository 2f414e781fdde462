//! The disk image's file systems as one read-only file system.
//!
//! CoreOS has the EFI system partition as its second partition, `/boot` as the third, and the root as the fourth.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use image::{SparseFile, partitions};
use module::{Args, Context, LoopDevices, LoopOptions, Result, Tool, Tree, bail, ensure};
use rustix::mount::{UnmountFlags, unmount};
use serde_json::Value;

use super::Options;
use super::system::{self, FileSystem, System};
use crate::disk;

/// What the image says of itself.
#[derive(Debug)]
pub struct Metal {
    /// Kernel parameters.
    pub arguments: Vec<String>,
    /// The name of the operating system.
    pub name: Option<String>,
}

/// What is mounted below a directory, until this is dropped.
struct Mounted {
    root: PathBuf,
    targets: Vec<PathBuf>,
}

impl Mounted {
    fn mount(&mut self, device: &Path, target: &str) -> Result<()> {
        let target = self.root.join(target);
        Tool::new("mount")
            .args(["-o", "rw,noatime"])
            .args([device, &target])
            .run()?;
        self.targets.push(target);
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for target in self.targets.iter().rev() {
            // a copy that nobody reads again
            let _ = unmount(target, UnmountFlags::DETACH);
        }
    }
}

/// Makes `image/root.*` of `work` from a copy of `image`, with what a live system needs changed.
pub fn read(
    args: &Args<Options>,
    loops: &LoopDevices,
    image: &File,
    system: &System,
    work: &Tree,
) -> Result<Metal> {
    let copy = tempfile::tempfile_in("/var/tmp")?;
    tree::copy_file(image, &copy).context("cannot copy the input `metal`")?;
    let disk = SparseFile::open(copy.try_clone()?)?;
    let table = partitions::read(&disk, 0, disk.size(), 512).context("input `metal`")?;
    // a device for each: not every kernel reads tables
    let partition = |number: u64| -> Result<PathBuf> {
        let found = table.iter().find(|partition| partition.number == number);
        let found = found.with_context(|| format!("input `metal`: the disk has no partition {number}"))?;
        let options = LoopOptions {
            read_only: false,
            sector: 512,
            range: Some(found.start..found.start + found.size),
        };
        loops.bind(&copy, &options)
    };
    work.mkdir_all("mounted")?;
    let mut mounted = Mounted {
        root: work.path().join("mounted"),
        targets: Vec::new(),
    };
    mounted.mount(&partition(4)?, "")?;
    mounted.mount(&partition(3)?, "boot")?;
    if matches!(std::env::consts::ARCH, "x86_64" | "aarch64") {
        mounted.mount(&partition(2)?, "boot/efi")?;
    }
    let root = Tree::open(&mounted.root)?;
    make_live(&root)?;
    write(
        args,
        system,
        &root,
        &work.path().join("image").join(system.file_system.file()),
    )?;
    describe(&root).context("input `metal`")
}

/// Lets OSTree write, and puts the kernel and its digest where the ram disk's checks in FIPS mode look for them.
/// Times stay: the same image gives the same bytes.
fn make_live(root: &Tree) -> Result<()> {
    let config = "ostree/repo/config";
    let before = root.stat(config)?.context("/ostree/repo/config is missing")?;
    let text = root.read_text(config)?;
    let kept = text
        .split_inclusive('\n')
        .filter(|line| !line.contains("readonly=true"));
    root.write(config, kept.collect::<String>())?;
    root.set_mtime(config, before.mtime.0, before.mtime.1)?;
    let before = root.stat("boot")?.context("/boot is missing")?;
    for is_wanted in [is_digest as fn(&str) -> bool, is_kernel] {
        let (path, name) = first(root, is_wanted)?;
        root.hard_link(path, Path::new("boot").join(name))?;
    }
    Ok(root.set_mtime("boot", before.mtime.0, before.mtime.1)?)
}

fn is_kernel(name: &str) -> bool {
    name.starts_with("vmlinuz")
}

fn is_digest(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".hmac")
}

/// The first file of this kind in the directories of `/boot/ostree`, and its name.
fn first(root: &Tree, is_wanted: fn(&str) -> bool) -> Result<(PathBuf, String)> {
    for dir in root.list("boot/ostree")? {
        let dir = Path::new("boot/ostree").join(dir);
        if !root.is_dir(&dir) {
            continue;
        }
        let names = root
            .list(&dir)?
            .into_iter()
            .filter_map(|name| name.into_string().ok());
        if let Some(name) = names.into_iter().find(|name| is_wanted(name)) {
            return Ok((dir.join(&name), name));
        }
    }
    bail!("/boot/ostree/* has no kernel, or not its digest (`.vmlinuz-*.hmac`)")
}

fn write(args: &Args<Options>, system: &System, root: &Tree, output: &Path) -> Result<()> {
    let epoch = args.meta.source_epoch.unwrap_or(0).to_string();
    let (words, tool) = (
        &system.words,
        Tool::new(match system.file_system {
            FileSystem::Squashfs => "mksquashfs",
            FileSystem::Erofs => "mkfs.erofs",
        }),
    );
    std::io::stdout().flush().ok();
    match system.file_system {
        FileSystem::Squashfs => {
            let fixed = ["-wildcards", "-no-recovery", "-noappend", "-no-progress"];
            let tool = tool.args([root.path(), output]).args(fixed).args(words);
            tool.env("SOURCE_DATE_EPOCH", epoch).run()
        }
        FileSystem::Erofs => {
            let id = disk::derived(args, "root.erofs").to_string();
            let tool = tool.args(["-U", &id]).args(words).args([output, root.path()]);
            // what it keeps meanwhile is as large as the image
            tool.env("SOURCE_DATE_EPOCH", epoch)
                .env("TMPDIR", "/var/tmp")
                .run()
        }
    }
}

fn describe(root: &Tree) -> Result<Metal> {
    let dir = "boot/loader/entries";
    let mut entries = root.list(dir)?;
    entries.retain(|name| name.to_string_lossy().ends_with(".conf"));
    let [entry] = &entries[..] else {
        bail!("there must be one /{dir}/*.conf, there are {}", entries.len());
    };
    let entry = root.read_text(Path::new(dir).join(entry))?;
    let line = entry.lines().find_map(|line| line.strip_prefix("options "));
    let arguments: Vec<String> = line
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    ensure!(!arguments.is_empty(), "its boot entry has no kernel parameters");
    let aleph: Value =
        serde_json::from_slice(&root.read(".aleph-version.json")?).context("/.aleph-version.json")?;
    let name = &aleph["container-image"]["image-labels"]["com.coreos.osname"];
    Ok(Metal {
        arguments,
        name: name.as_str().filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

/// The only loader's menu below `/EFI` of a medium.
pub fn menu(iso: &Tree) -> Result<String> {
    system::only(iso, "EFI", "grub.cfg")
}
