//! FAT file systems, written once from a tree: contiguous files, sorted names, one time for everything.

use std::io::Read;
use std::path::{Path, PathBuf};

use tree::{Kind as Type, Tree};

use crate::fat_dir::{self, Name, Stamp};
pub use crate::fat_layout::Kind;
use crate::fat_layout::{Geometry, Identity, ROOT_ENTRIES, SECTOR};
use crate::size::MIB;
use crate::{Error, Result, SparseFile};

/// How the file system is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it begins in the image, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    /// `None`: what suits the size.
    pub kind: Option<Kind>,
    pub volume_id: u32,
    /// At most 11 characters of ASCII; lower case becomes upper case.
    pub label: Option<String>,
    /// The time of all files, in seconds since 1970.
    pub epoch: i64,
}

/// How the width of the table follows from the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    /// The widest that the size allows: firmware reads it best.
    #[default]
    Suitable,
    /// As mkfs.fat(8) has it.
    OfMkfs,
}

/// What a disk looks like to a BIOS, and how large its sectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes in a sector: 512 to 4096.
    pub sector: u64,
    pub heads: u16,
    pub sectors_per_track: u16,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            sector: SECTOR,
            heads: 255,
            sectors_per_track: 63,
        }
    }
}

/// A file or directory with its place.
struct Node {
    name: Name,
    path: PathBuf,
    /// 0 for an empty file and for the root of FAT12 and FAT16.
    first: u32,
    clusters: u32,
    content: Content,
}

enum Content {
    File(u64),
    Directory(Vec<Node>),
}

/// Writes a file system with the content of `tree` into `image`.
///
/// Owners, modes and attributes are lost, as FAT has none; links and device nodes are refused, and so are names it
/// cannot hold. A size that is too small is an [`Error::TooSmall`].
pub fn write(image: &SparseFile, tree: &Tree, options: &Options) -> Result<()> {
    write_on(image, tree, options, &Disk::default())
}

/// [`write`] on a disk that is not the usual one.
pub fn write_on(image: &SparseFile, tree: &Tree, options: &Options, disk: &Disk) -> Result<()> {
    let geometry = Geometry::new(disk.sector, options.size, options.kind)?;
    let label = label(options.label.as_deref())?;
    let mut root = Node {
        name: Name {
            short: label.unwrap_or(*b"NO NAME    "),
            long: None,
        },
        path: PathBuf::new(),
        first: 0,
        clusters: 0,
        content: Content::Directory(read(tree, Path::new(""))?),
    };
    let mut next = 2;
    place(&mut root, &geometry, label.is_some(), &mut next)?;
    let used = next - 2;
    if used > geometry.clusters {
        let unfit = u64::from(used - geometry.clusters) * geometry.cluster_size();
        return Err(Error::TooSmall {
            what: "the FAT file system",
            given: options.size,
            needed: (options.size + unfit + unfit / 64).next_multiple_of(MIB),
        });
    }
    let mut chains = Vec::new();
    chains_of(&root, &mut chains);
    let table = geometry.fat(&chains);
    for at in geometry.fats_at() {
        image.write(&table, options.offset + at)?;
    }
    let identity = Identity {
        volume_id: options.volume_id,
        label: root.name.short,
        hidden: u32::try_from(options.offset / disk.sector).unwrap_or(0),
        chs: (disk.heads, disk.sectors_per_track),
    };
    let boot = geometry.boot_sector(&identity, root.first);
    image.write(&boot, options.offset)?;
    if geometry.kind == Kind::Fat32 {
        let info = geometry.fs_info(used);
        for (sector, bytes) in [(1, &info), (6, &boot), (7, &info)] {
            image.write(bytes, options.offset + sector * disk.sector)?;
        }
    }
    let writer = Writer {
        image,
        tree,
        geometry,
        offset: options.offset,
        stamp: Stamp::new(options.epoch),
    };
    writer.directory(&root, 0, label)
}

/// The size in bytes that holds the content of `tree` with as much again to spare, not less than 64 MiB.
pub fn comfortable(tree: &Tree) -> Result<u64> {
    let usage = crate::size::usage(tree, None)?;
    Ok((usage.bytes * 2 + 16 * MIB).next_multiple_of(MIB).max(64 * MIB))
}

fn label(text: Option<&str>) -> Result<Option<[u8; 11]>> {
    let Some(text) = text else { return Ok(None) };
    let upper = text.to_ascii_uppercase();
    let fits = (1..=11).contains(&upper.len())
        && upper
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"*+,./:;<=>?[\\]|".contains(&b) || b == b' ');
    if !fits {
        return Err(Error::unsuitable(format!(
            "`{text}` cannot be the label of a FAT file system"
        )));
    }
    let mut label = [b' '; 11];
    label[..upper.len()].copy_from_slice(upper.as_bytes());
    Ok(Some(label))
}

fn read(tree: &Tree, path: &Path) -> Result<Vec<Node>> {
    let mut texts = Vec::new();
    for name in tree.list(path)? {
        texts.push(name.into_string().map_err(|name| {
            Error::unsuitable(format!(
                "FAT cannot hold the name `{}`: it is not UTF-8",
                name.display()
            ))
        })?);
    }
    let names = fat_dir::names(&texts)?;
    let mut nodes = Vec::new();
    for (text, name) in texts.iter().zip(names) {
        let path = path.join(text);
        let stat = tree.stat(&path)?;
        let content = match stat.map(|stat| (stat.kind, stat.size)) {
            Some((Type::Directory, _)) => Content::Directory(read(tree, &path)?),
            Some((Type::File, size)) if u32::try_from(size).is_ok() => Content::File(size),
            Some((Type::File, _)) => {
                return Err(Error::unsuitable(format!(
                    "FAT cannot hold /{}: it has 4 GiB or more",
                    path.display()
                )));
            }
            _ => {
                return Err(Error::unsuitable(format!(
                    "FAT cannot hold /{}: it is neither a file nor a directory",
                    path.display()
                )));
            }
        };
        nodes.push(Node {
            name,
            path,
            first: 0,
            clusters: 0,
            content,
        });
    }
    Ok(nodes)
}

/// Gives `node` and all below it consecutive clusters from `next` on.
fn place(node: &mut Node, geometry: &Geometry, label: bool, next: &mut u32) -> Result<()> {
    let root = node.path.as_os_str().is_empty();
    let bytes = match &node.content {
        Content::File(size) => *size,
        Content::Directory(below) => {
            let own = if root { usize::from(label) } else { 2 };
            let entries = own + below.iter().map(|node| node.name.entries()).sum::<usize>();
            // FAT32 and subdirectories have a cluster even when empty
            ((entries * fat_dir::ENTRY) as u64).max(1)
        }
    };
    if root && geometry.kind != Kind::Fat32 {
        if bytes > ROOT_ENTRIES * fat_dir::ENTRY as u64 {
            return Err(Error::unsuitable(
                "too many files for a root directory of FAT12 or FAT16",
            ));
        }
    } else {
        node.clusters = bytes.div_ceil(geometry.cluster_size()) as u32;
        node.first = if node.clusters == 0 { 0 } else { *next };
        *next += node.clusters;
    }
    if let Content::Directory(below) = &mut node.content {
        for node in below {
            place(node, geometry, label, next)?;
        }
    }
    Ok(())
}

fn chains_of(node: &Node, chains: &mut Vec<(u32, u32)>) {
    if node.clusters > 0 {
        chains.push((node.first, node.clusters));
    }
    if let Content::Directory(below) = &node.content {
        below.iter().for_each(|node| chains_of(node, chains));
    }
}

struct Writer<'a> {
    image: &'a SparseFile,
    tree: &'a Tree,
    geometry: Geometry,
    offset: u64,
    stamp: Stamp,
}

impl Writer<'_> {
    /// Writes a directory and all below it. `parent` is the first cluster of the one above, 0 where that is the root.
    fn directory(&self, node: &Node, parent: u32, label: Option<[u8; 11]>) -> Result<()> {
        let Content::Directory(below) = &node.content else {
            return Ok(());
        };
        let root = node.path.as_os_str().is_empty();
        let short = |name, attribute, cluster| fat_dir::short_entry(name, attribute, self.stamp, cluster, 0);
        let mut bytes = Vec::new();
        if let Some(label) = &label {
            bytes.extend(short(label, fat_dir::ATTRIBUTE_LABEL, 0));
        }
        if !root {
            bytes.extend(short(b".          ", fat_dir::ATTRIBUTE_DIRECTORY, node.first));
            bytes.extend(short(b"..         ", fat_dir::ATTRIBUTE_DIRECTORY, parent));
        }
        for node in below {
            let (attribute, size) = match &node.content {
                Content::File(size) => (fat_dir::ATTRIBUTE_FILE, *size as u32),
                Content::Directory(_) => (fat_dir::ATTRIBUTE_DIRECTORY, 0),
            };
            bytes.extend(fat_dir::entry(
                &node.name, attribute, self.stamp, node.first, size,
            ));
        }
        let at = match node.first {
            0 => self.geometry.root_at(),
            first => self.geometry.cluster_at(first),
        };
        self.image.write(&bytes, self.offset + at)?;
        for below in below {
            match &below.content {
                Content::File(size) => self.file(below, *size)?,
                Content::Directory(_) => self.directory(below, if root { 0 } else { node.first }, None)?,
            }
        }
        Ok(())
    }

    fn file(&self, node: &Node, size: u64) -> Result<()> {
        if size == 0 {
            return Ok(());
        }
        let mut file = self.tree.open_file(&node.path)?.take(size);
        let mut at = self.offset + self.geometry.cluster_at(node.first);
        let mut buffer = vec![0; MIB as usize];
        loop {
            let count = file
                .read(&mut buffer)
                .map_err(|e| tree::Error::io("read", &node.path, e))?;
            if count == 0 {
                return Ok(());
            }
            self.image.write(&buffer[..count], at)?;
            at += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn options(size: u64) -> Options {
        Options {
            offset: 0,
            size,
            kind: None,
            volume_id: 0x1234_abcd,
            label: Some("esp".into()),
            epoch: 1_700_000_000,
        }
    }

    fn sample(dir: &Path) -> Tree {
        let tree = Tree::open(dir).unwrap();
        tree.mkdir_all("EFI/BOOT/empty").unwrap();
        tree.write("EFI/BOOT/BOOTX64.EFI", vec![0x5a; 300_001]).unwrap();
        tree.write("EFI/BOOT/grub.cfg", "configfile").unwrap();
        tree.write("EFI/BOOT/none", "").unwrap();
        tree.mkdir_all("EFI/many").unwrap();
        for n in 0..200 {
            let name = format!("EFI/many/a rather long name of a file, number {n}.conf");
            tree.write(name, vec![n as u8; n * 17]).unwrap();
        }
        tree.write("größer.txt", "ü").unwrap();
        tree
    }

    fn make(tree: &Tree, size: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let image = SparseFile::new(file.reopen().unwrap(), size).unwrap();
        write(&image, tree, &options(size)).unwrap();
        file
    }

    #[test]
    fn fsck_and_mtools_agree_for_every_kind() {
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        for (mib, kind) in [(2, "12"), (20, "16"), (64, "32")] {
            let file = make(&tree, mib * MIB);
            let Ok(output) = Command::new("fsck.fat").arg("-nv").arg(file.path()).output() else {
                return println!("skipped: fsck.fat is not installed");
            };
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{text}");
            assert!(text.contains(&format!("{kind} bit entries")), "{text}");
            let copy = tempfile::tempdir().unwrap();
            let Ok(output) = Command::new("mcopy")
                .env("MTOOLS_SKIP_CHECK", "1")
                .env("LC_ALL", "C.UTF-8")
                .args(["-s", "-n", "-i"])
                .arg(file.path())
                .arg("::/EFI")
                .arg(copy.path())
                .output()
            else {
                return println!("skipped: mtools is not installed");
            };
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let equal = Command::new("diff")
                .arg("-r")
                .args([dir.path().join("EFI"), copy.path().join("EFI")])
                .status();
            assert!(equal.unwrap().success());
        }
    }

    #[test]
    fn sectors_of_4096_bytes_are_read_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        for (mib, kind) in [(8, Kind::Fat12), (64, Kind::Fat16), (600, Kind::Fat32)] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let image = SparseFile::new(file.reopen().unwrap(), mib * MIB).unwrap();
            let disk = Disk {
                sector: 4096,
                ..Disk::default()
            };
            let options = Options {
                kind: Some(kind),
                ..options(mib * MIB)
            };
            write_on(&image, &tree, &options, &disk).unwrap();
            let Ok(output) = Command::new("fsck.fat").arg("-nv").arg(file.path()).output() else {
                return println!("skipped: fsck.fat is not installed");
            };
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{text}");
            assert!(text.contains("4096 bytes per logical sector"), "{text}");
        }
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, two) = (
            make(&sample(one.path()), 40 * MIB),
            make(&sample(two.path()), 40 * MIB),
        );
        assert!(std::fs::read(one.path()).unwrap() == std::fs::read(two.path()).unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        tree.write("big", vec![1; 900_000]).unwrap();
        let image = SparseFile::new(tempfile::tempfile().unwrap(), MIB).unwrap();
        let error = write(&image, &tree, &options(MIB)).unwrap_err();
        assert!(
            matches!(error, Error::TooSmall { needed, .. } if needed <= 3 * MIB),
            "{error}"
        );
        tree.symlink("x", "EFI/link").unwrap();
        let error = write(&image, &tree, &options(MIB)).unwrap_err().to_string();
        assert!(
            error.contains("/EFI/link: it is neither a file nor a directory"),
            "{error}"
        );
    }
}
