//! The medium: its boot loaders, and the tools that write it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use module::{Args, Chroot, Context, Result, Tool, Tree};
use rustix::fs::OFlags;
use serde_json::{Value, json};

use super::configuration::Configuration;
use super::system::System;
use super::{Options, metal, s390x};
use crate::artifacts;

/// Where the finished files are, below the work directory.
pub const ISO: &str = "live.iso";
pub const ROOTFS: &str = "rootfs.img";

/// Room for a user's Ignition configuration, which `coreos-installer` puts there.
pub const IGNITION_SIZE: u64 = 256 << 10;
/// Room for what tells a medium without the root file system from this one.
const MINIMAL_SIZE: u64 = 16 << 10;
/// ISO 9660's room for a volume's name.
const LABEL_SIZE: usize = 32;

const MINIMAL: &str = "minimal.iso";
const MINIMAL_DATA: &str = "coreos/miniso.dat";
/// Where distributions have ISOLINUX, its modules, and what makes a medium boot as a disk.
const SYSLINUX: [&str; 3] = [
    "usr/share/syslinux",
    "usr/lib/ISOLINUX",
    "usr/lib/syslinux/modules/bios",
];
const ISOLINUX: [&str; 5] = [
    "isolinux.bin",
    "ldlinux.c32",
    "libcom32.c32",
    "libutil.c32",
    "vesamenu.c32",
];

/// A medium to be.
pub struct Medium<'a> {
    pub args: &'a Args<Options>,
    pub system: &'a System,
    pub deployed: &'a Tree,
    /// Has `iso`, what is to be on it.
    pub work: &'a Tree,
    pub chroot: &'a Chroot,
    /// Of the system and its version.
    pub name: String,
    /// As Rust calls it.
    pub architecture: &'static str,
}

impl Medium<'_> {
    /// The volume's name.
    pub fn label(&self) -> String {
        let fits = |end: &usize| *end <= LABEL_SIZE;
        let ends = self
            .name
            .char_indices()
            .map(|(at, letter)| at + letter.len_utf8());
        let end = ends.take_while(fits).last().unwrap_or(0);
        self.name[..end].to_owned()
    }

    /// Writes the medium, and takes the root file system out of `iso`.
    pub fn write(&self, mut configuration: Configuration) -> Result<()> {
        let iso = self.work.subtree("iso")?;
        configuration.copy(self.deployed, &iso)?;
        let mut ignition = json!({"file": "images/ignition.img"});
        match self.architecture {
            "s390x" => ignition = s390x::prepare(self, &iso, &mut configuration)?,
            _ => sized(&iso, "images/ignition.img", IGNITION_SIZE)?,
        }
        match self.architecture {
            "x86_64" => {
                self.prepare_isolinux(&iso)?;
                self.prepare_efi(&iso, &mut configuration)?;
            }
            "aarch64" => self.prepare_efi(&iso, &mut configuration)?,
            "powerpc64" => {
                let menu = metal::menu(&iso)?;
                iso.mkdir_all("boot/grub")?;
                iso.rename(&menu, "boot/grub/grub.cfg")?;
                configuration.moved(&menu, "boot/grub/grub.cfg");
            }
            _ => {}
        }
        if matches!(self.architecture, "powerpc64" | "s390x") {
            for dir in ["EFI", "isolinux"] {
                if iso.exists(dir) {
                    iso.remove_all(dir)?;
                }
            }
        }
        // the parameters of a program that s390x alone has
        if iso.exists("zipl.prm") {
            iso.remove_file("zipl.prm")?;
        }
        if let Some(areas) = configuration.json(&iso) {
            iso.write("coreos/kargs.json", format!("{areas:#}\n"))?;
        }
        iso.write("coreos/igninfo.json", format!("{ignition:#}\n"))?;
        sized(&iso, MINIMAL_DATA, MINIMAL_SIZE)?;
        if self.system.fixture {
            empty(&iso)?;
        }
        self.make(ISO)?;
        // one that fetches its root file system: the installer makes it of the whole one, told by what differs
        self.work.rename("iso/images/pxeboot/rootfs.img", ROOTFS)?;
        iso.remove_file(MINIMAL_DATA)?;
        self.make(MINIMAL)?;
        let path = |name: &str| self.work.path().join(name);
        let tool = self.chroot.tool("coreos-installer").args(["pack", "minimal-iso"]);
        tool.args([path(ISO), path(MINIMAL)]).arg("--consume").run()
    }

    fn prepare_isolinux(&self, iso: &Tree) -> Result<()> {
        let build_root = Tree::open("/")?;
        for name in ISOLINUX {
            let from = syslinux(&build_root, name)?;
            let to = format!("isolinux/{name}");
            super::copy(&build_root, &from, iso, &to)?;
            iso.chmod(&to, 0o755)?;
        }
        Ok(())
    }

    /// GRUB's menu to where the vendor's GRUB looks for it, and the image that firmware finds the boot loaders in.
    fn prepare_efi(&self, iso: &Tree, configuration: &mut Configuration) -> Result<()> {
        let vendor = artifacts::vendor(self.deployed)?;
        let vendor = vendor.to_str().context("the vendor's directory is not UTF-8")?;
        let menu = metal::menu(iso)?;
        let moved = format!("EFI/{vendor}/grub.cfg");
        if menu != moved {
            let dir = |path: &str| Path::new(path).parent().map(Path::to_owned).unwrap_or_default();
            iso.rename(dir(&menu), dir(&moved))?;
            configuration.moved(&menu, &moved);
        }
        self.work.mkdir_all("loaders")?;
        let loaders = self.work.subtree("loaders")?;
        artifacts::removable(self.deployed, &loaders)?;
        // for firmware that finds the image as a partition of a disk: the menu is not beside GRUB then
        let label = self.label();
        let stub = format!(
            "search --label \"{label}\" --set root --no-floppy\nset prefix=($root)/EFI/{vendor}\n\
             echo \"Booting via ESP...\"\nconfigfile $prefix/grub.cfg\nboot\n"
        );
        loaders.write("EFI/BOOT/grub.cfg", stub)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        let image = iso.open_at("images/efiboot.img", flags, 0o644)?;
        artifacts::boot_image(self.args, &loaders, image.into())
    }

    /// Makes an image of `iso`. Nothing in it says when.
    fn make(&self, name: &str) -> Result<()> {
        let epoch = self.args.meta.source_epoch.unwrap_or(0).to_string();
        let (output, iso) = (self.work.path().join(name), self.work.path().join("iso"));
        let has_xorriso = Path::new("/usr/bin/xorrisofs").exists();
        let program = match self.architecture {
            "powerpc64" => "grub2-mkrescue",
            _ if has_xorriso => "xorrisofs",
            _ => "genisoimage",
        };
        let mut tool = Tool::new(program).args(self.arguments(program == "xorrisofs")?);
        if has_xorriso {
            tool = tool.args(["--set_all_file_dates", &format!("={epoch}")]);
        }
        tool.env("SOURCE_DATE_EPOCH", epoch)
            .arg("-o")
            .args([&output, &iso])
            .run()?;
        match (program, self.architecture) {
            ("genisoimage", "x86_64") => Tool::new("isohybrid").arg("--uefi").arg(output).run(),
            _ => Ok(()),
        }
    }

    /// What mkisofs and its like are told. xorriso also makes the tables with which it boots as a disk.
    fn arguments(&self, is_xorriso: bool) -> Result<Vec<String>> {
        let label = self.label();
        if self.architecture == "powerpc64" {
            return Ok(vec!["-volid".into(), label]);
        }
        let mut words = vec![
            "-V",
            &label,
            "-volset",
            &self.name,
            "-rational-rock",
            "-J",
            "-joliet-long",
        ];
        let efi = ["-eltorito-alt-boot", "-e", "images/efiboot.img", "-no-emul-boot"];
        let hybrid;
        match self.architecture {
            "x86_64" => {
                words.extend(["-eltorito-boot", "isolinux/isolinux.bin"]);
                words.extend(["-eltorito-catalog", "isolinux/boot.cat", "-no-emul-boot"]);
                words.extend(["-boot-load-size", "4", "-boot-info-table"]);
                words.extend(efi);
                if is_xorriso {
                    hybrid = format!("/{}", syslinux(&Tree::open("/")?, "isohdpfx.bin")?);
                    words.extend(["-isohybrid-gpt-basdat", "-isohybrid-mbr", &hybrid]);
                }
            }
            "s390x" => words.extend(["-no-emul-boot", "-eltorito-boot", "images/cdboot.img"]),
            _ => words.extend(efi),
        }
        Ok(words.into_iter().map(str::to_owned).collect())
    }
}

fn syslinux(build_root: &Tree, name: &str) -> Result<String> {
    let mut paths = SYSLINUX.iter().map(|dir| format!("{dir}/{name}"));
    paths
        .find(|path| build_root.is_file(path))
        .with_context(|| format!("{name} of SYSLINUX is missing in the build pipeline"))
}

/// An empty file of this size, to be filled later.
fn sized(tree: &Tree, path: &str, size: u64) -> Result<()> {
    let file = tree.create_file(path)?;
    file.set_len(size).with_context(|| format!("cannot write {path}"))
}

/// Takes the content out, for media that are kept among the tests of `coreos-installer`.
fn empty(iso: &Tree) -> Result<()> {
    for (path, text) in [
        ("images/efiboot.img", "efiboot.img\n"),
        ("images/pxeboot/rootfs.img", "rootfs data\n"),
        ("images/pxeboot/initrd.img", "initrd data\n"),
        ("images/pxeboot/vmlinuz", "the kernel\n"),
    ] {
        iso.write(path, text)?;
    }
    if !iso.is_dir("isolinux") {
        return Ok(());
    }
    let loader = File::from(iso.open_at("isolinux/isolinux.bin", OFlags::RDWR, 0)?);
    let length = loader.metadata()?.len();
    loader.set_len(0)?;
    loader.set_len(length)?;
    // by which isohybrid knows ISOLINUX
    loader.write_all_at(&[0xfb, 0xc0, 0x78, 0x70], 64)?;
    for name in iso.list("isolinux")? {
        let text = name.to_string_lossy();
        if text.ends_with(".c32") || text.ends_with(".msg") {
            iso.remove_file(Path::new("isolinux").join(&name))?;
        }
    }
    Ok(())
}

/// As it is written into `igninfo.json`.
pub fn ignition(file: &str, offset: u64) -> Value {
    json!({"file": file, "length": IGNITION_SIZE, "offset": offset})
}
