//! What other tools say of the artifacts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::oracle::{self, tool};

use super::manifest;

/// Runs a tool; its words are separated by spaces, `@` stands for the file.
fn ask(line: &str, file: &Path) -> Result<String> {
    let words = line.split(' ').map(|word| match word {
        "@" => file.as_os_str(),
        word => word.as_ref(),
    });
    let words: Vec<_> = words.collect();
    tool(Command::new(words[0]).args(&words[1..]))
}

/// Runs a line of shell with `$1`, the file, and `$2`, the scratch directory.
fn shell(line: &str, file: &Path, scratch: &Path) -> Result<String> {
    let script = format!("set -e; {line}");
    tool(
        Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(file)
            .arg(scratch),
    )
}

fn only_file(dir: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(dir)?;
    let file = files.next().context("nothing was made")??.path();
    ensure!(files.next().is_none(), "more than one file was made");
    Ok(file)
}

/// A directory that something was unpacked into has what the tree has.
fn is_the_tree(dir: &Path) -> Result<()> {
    let text = fs::read_to_string(dir.join("usr/share/text"))?;
    ensure!(
        text == manifest::text(),
        "/usr/share/text has {} bytes",
        text.len()
    );
    ensure!(
        fs::read_to_string(dir.join("etc/hostname"))? == "same\n",
        "/etc/hostname differs"
    );
    ensure!(
        fs::read_link(dir.join("usr/bin/link"))? == Path::new("../share/text"),
        "the link differs"
    );
    Ok(())
}

fn has_owners(dir: &Path) -> Result<()> {
    let stat = ask("stat -c %u:%g:%a @", &dir.join("var/lib/owned"))?;
    ensure!(stat.trim() == "7:8:2750", "/var/lib/owned is {stat}");
    is_the_tree(dir)
}

pub fn tar(dir: &Path, scratch: &Path) -> Result<()> {
    shell(
        "tar --numeric-owner -xpf \"$1\" -C \"$2\"",
        &only_file(dir)?,
        scratch,
    )?;
    has_owners(scratch)
}

pub fn cpio(dir: &Path, scratch: &Path) -> Result<()> {
    shell("cd \"$2\"; cpio -idm --quiet < \"$1\"", &only_file(dir)?, scratch)?;
    has_owners(scratch)
}

pub fn zip(dir: &Path, scratch: &Path) -> Result<()> {
    shell(
        "unzip -tq \"$1\"; unzip -q \"$1\" -d \"$2\"",
        &only_file(dir)?,
        scratch,
    )?;
    let text = fs::read_to_string(scratch.join("usr/share/text"))?;
    ensure!(
        text == manifest::text(),
        "/usr/share/text has {} bytes",
        text.len()
    );
    Ok(())
}

/// The archive that the file is when it is unpacked by this command.
fn unpacked(command: &str, dir: &Path, scratch: &Path) -> Result<()> {
    let line = format!("{command} \"$1\" > \"$2/tar\"; mkdir \"$2/tree\"; tar -xf \"$2/tar\" -C \"$2/tree\"");
    shell(&line, &only_file(dir)?, scratch)?;
    is_the_tree(&scratch.join("tree"))
}

pub fn gzip(dir: &Path, scratch: &Path) -> Result<()> {
    unpacked("gzip -dc <", dir, scratch)
}

pub fn xz(dir: &Path, scratch: &Path) -> Result<()> {
    unpacked("xz -dc <", dir, scratch)
}

pub fn zstd(dir: &Path, scratch: &Path) -> Result<()> {
    unpacked("zstd -qdc <", dir, scratch)
}

pub fn squashfs(dir: &Path, scratch: &Path) -> Result<()> {
    shell(
        "unsquashfs -q -n -d \"$2/tree\" \"$1\"",
        &only_file(dir)?,
        scratch,
    )?;
    has_owners(&scratch.join("tree"))
}

pub fn erofs(dir: &Path, scratch: &Path) -> Result<()> {
    let file = only_file(dir)?;
    shell("fsck.erofs \"$1\"", &file, scratch)?;
    let info = ask("dump.erofs --path=/usr/share/text @", &file)?;
    let size = format!("Size: {}", manifest::text().len());
    ensure!(info.contains(&size), "{info}");
    Ok(())
}

pub fn iso(dir: &Path, scratch: &Path) -> Result<()> {
    shell(
        "xorriso -osirrox on -indev \"$1\" -extract / \"$2/tree\"",
        &only_file(dir)?,
        scratch,
    )?;
    is_the_tree(&scratch.join("tree"))
}

pub fn ext4(dir: &Path, scratch: &Path) -> Result<()> {
    let file = only_file(dir)?;
    ask("e2fsck -fn @", &file)?;
    let dump = scratch.join("text");
    tool(
        Command::new("debugfs")
            .arg("-R")
            .arg(format!("dump /usr/share/text {}", dump.display()))
            .arg(&file),
    )?;
    ensure!(
        fs::read_to_string(dump)? == manifest::text(),
        "/usr/share/text differs"
    );
    let stat = tool(
        Command::new("debugfs")
            .args(["-R", "stat /var/lib/owned"])
            .arg(&file),
    )?;
    ensure!(
        stat.contains("Mode:  02750") && stat.contains("User:     7   Group:     8"),
        "{stat}"
    );
    Ok(())
}

pub fn empty_ext4(dir: &Path, _: &Path) -> Result<()> {
    let file = only_file(dir)?;
    ask("e2fsck -fn @", &file)?;
    let said = ask("blkid -p -s TYPE -o value @", &file)?;
    ensure!(said.trim() == "ext4", "{said}");
    Ok(())
}

fn is_sound_table(raw: &Path) -> Result<()> {
    let verdict = ask("sgdisk -v @", raw)?;
    ensure!(verdict.contains("No problems found"), "{verdict}");
    Ok(())
}

/// The table of a raw disk, and its file systems: FAT, then ext4.
fn is_the_disk(raw: &Path) -> Result<()> {
    is_sound_table(raw)?;
    let partitions = oracle::partitions(raw)?;
    ensure!(partitions.len() == 2, "{partitions:?}");
    oracle::fsck_fat(raw, &partitions[0])?;
    oracle::e2fsck(raw, partitions[1].start)?;
    let name = oracle::ext4_file(raw, partitions[1].start, "/etc/hostname")?;
    ensure!(name == "same\n", "/etc/hostname is {name}");
    Ok(())
}

pub fn raw_disk(dir: &Path, _: &Path) -> Result<()> {
    is_the_disk(&only_file(dir)?)
}

pub fn packed_disk(dir: &Path, scratch: &Path) -> Result<()> {
    shell("xz -dc < \"$1\" > \"$2/raw\"", &only_file(dir)?, scratch)?;
    is_the_disk(&scratch.join("raw"))
}

/// An image of any format, whose content is a sound disk.
fn is_image(file: &Path, scratch: &Path) -> Result<PathBuf> {
    let format = oracle::qemu_img_info(file)?["format"].clone();
    if ["qcow2", "vdi", "vhdx", "vmdk"]
        .iter()
        .any(|name| format == *name)
    {
        oracle::qemu_img_check(file)?;
    }
    let raw = scratch.join("raw");
    oracle::to_raw(file, &raw)?;
    Ok(raw)
}

pub fn image(dir: &Path, scratch: &Path) -> Result<()> {
    let raw = is_image(&dir.join("image"), scratch)?;
    let partitions = oracle::partitions(&raw)?;
    let root = partitions.last().context("there is no partition")?;
    oracle::e2fsck(&raw, root.start)?;
    let name = oracle::ext4_file(&raw, root.start, "/etc/hostname")?;
    ensure!(name == "same\n", "/etc/hostname is {name}");
    Ok(())
}

pub fn declared(dir: &Path, scratch: &Path) -> Result<()> {
    is_the_disk(&is_image(&only_file(dir)?, scratch)?)
}

/// The manifest has the digests, the descriptor is XML.
pub fn ovf(dir: &Path, scratch: &Path) -> Result<()> {
    let parse = "python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' \"$1\"";
    shell(parse, &dir.join("image.ovf"), scratch)?;
    let manifest = fs::read_to_string(dir.join("image.mf"))?;
    for line in manifest.lines() {
        let (name, digest) = line.split_once('=').context("a line of the manifest")?;
        let name = name
            .trim()
            .trim_start_matches("SHA256(")
            .trim_end_matches(')')
            .trim();
        let sum = ask("sha256sum @", &dir.join(name))?;
        ensure!(sum.starts_with(digest.trim()), "{line}: {sum}");
    }
    ensure!(manifest.lines().count() == 2, "{manifest}");
    Ok(())
}

pub fn ova(dir: &Path, scratch: &Path) -> Result<()> {
    let file = only_file(dir)?;
    let list = ask("tar -tf @", &file)?;
    // readers stop at the first member that is no descriptor
    ensure!(list.lines().next() == Some("image.ovf"), "{list}");
    shell("tar -xf \"$1\" -C \"$2\"", &file, scratch)?;
    is_image(&scratch.join("image.vmdk"), scratch).and_then(|raw| is_the_disk(&raw))
}

pub fn vagrant(dir: &Path, scratch: &Path) -> Result<()> {
    let metadata: Value = serde_json::from_reader(File::open(dir.join("metadata.json"))?)?;
    ensure!(metadata["format"] == "qcow2", "{metadata}");
    is_image(&dir.join("box.img"), scratch).and_then(|raw| is_the_disk(&raw))
}

pub fn verity(dir: &Path, scratch: &Path) -> Result<()> {
    let line = "cd \"$1\"; veritysetup verify data hashes $(cat root)";
    shell(line, dir, scratch).map(drop)
}

/// Layers and configuration agree, and the bundle has the tree.
pub fn container(dir: &Path, scratch: &Path) -> Result<()> {
    let file = only_file(dir)?;
    shell(
        "skopeo copy -q oci-archive:\"$1\" dir:\"$2/copied\"",
        &file,
        scratch,
    )?;
    shell("mkdir \"$2/oci\"; tar -xf \"$1\" -C \"$2/oci\"", &file, scratch)?;
    let index: Value = serde_json::from_reader(File::open(scratch.join("oci/index.json"))?)?;
    // umoci knows images by the names of the index alone
    let named = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    let line = match named.as_str() {
        Some(name) => format!("umoci unpack --image \"$2/oci:{name}\" \"$2/bundle\""),
        None => "skopeo copy -q oci:\"$2/oci\" oci:\"$2/named:test\"; umoci unpack --image \"$2/named:test\" \"$2/bundle\"".into(),
    };
    shell(&line, &file, scratch)?;
    has_owners(&scratch.join("bundle/rootfs"))
}

fn is_repository(repo: &Path, scratch: &Path) -> Result<()> {
    oracle::ostree_fsck(repo)?;
    let line = "ostree --repo=\"$1\" checkout -U test/small \"$2/tree\"";
    shell(line, repo, scratch)?;
    let text = fs::read_to_string(scratch.join("tree/usr/share/text"))?;
    ensure!(
        text == manifest::text(),
        "/usr/share/text has {} bytes",
        text.len()
    );
    Ok(())
}

pub fn commit(dir: &Path, scratch: &Path) -> Result<()> {
    is_repository(&dir.join("repo"), scratch)
}

pub fn packed_commit(dir: &Path, scratch: &Path) -> Result<()> {
    shell(
        "mkdir \"$2/packed\"; tar -xf \"$1\" -C \"$2/packed\"",
        &dir.join("image-ostree.tar"),
        scratch,
    )?;
    is_repository(&scratch.join("packed/repo"), scratch)
}

pub fn table(dir: &Path, _: &Path) -> Result<()> {
    is_sound_table(&only_file(dir)?)
}

pub fn fat(dir: &Path, _: &Path) -> Result<()> {
    ask("fsck.fat -n @", &only_file(dir)?).map(drop)
}

pub fn swap(dir: &Path, _: &Path) -> Result<()> {
    let said = ask("blkid -p @", &only_file(dir)?)?;
    ensure!(
        said.contains("TYPE=\"swap\"") && said.contains("LABEL=\"swap\""),
        "{said}"
    );
    Ok(())
}
