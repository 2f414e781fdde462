//! The Debian family: all that boots the tree, laid out by hand.

use std::path::Path;

use module::Result;
use tree::Tree;

use super::bls::copy_file;
use super::core_image::Image;
use super::esp::{CPUS, Cpu, Esp};
use super::kernels;
use super::menu::Menu;
use super::{Options, environment_block};

const BIOS: &str = "i386-pc";

/// Whether the tree is one of Debian's family.
pub fn is_debian(tree: &Tree) -> bool {
    tree.is_file("usr/bin/dpkg") || tree.is_file("var/lib/dpkg/status")
}

/// The firmware to boot by.
#[derive(Debug, PartialEq, Eq)]
struct Firmware {
    bios: bool,
    efi: Vec<&'static Cpu>,
}

/// Lays out `/boot/grub` and `/boot/efi`; see the stage's documentation.
pub fn configure(tree: &Tree, options: &Options) -> Result<()> {
    module::ensure!(
        !options.ignition && !options.greenboot,
        "`ignition` and `greenboot` are not for trees of the Debian family"
    );
    let firmware = firmware(tree, options)?;
    let kernels = kernels::find(tree)?;
    module::ensure!(
        !kernels.is_empty(),
        "there is no /boot/vmlinuz-* in the tree: install a kernel (such as linux-image-amd64) before this stage"
    );
    let (root, boot) = (options.root()?, options.boot());
    let release = OsRelease::of(tree);
    let kernel_opts = kernel_opts(tree, options)?;
    let menu = Menu {
        config: &options.config,
        root: &root,
        boot: boot.as_ref(),
        kernel_opts: &kernel_opts,
        name: &release.name,
        id: &release.id,
        kernels: &kernels,
    };
    if options.write_defaults {
        tree.mkdir_all("etc/default")?;
        tree.write("etc/default/grub", menu.defaults())?;
    }
    tree.mkdir_all("boot/grub")?;
    let saved = options.saved_entry.as_deref().filter(|entry| !entry.is_empty());
    let variables: Vec<_> = saved.map(|entry| ("saved_entry", entry)).into_iter().collect();
    tree.write("boot/grub/grubenv", environment_block(&variables)?)?;
    tree.write("boot/grub/grub.cfg", menu.grub_cfg())?;
    for kernel in &kernels {
        println!("menu: Linux {}", kernel.version);
    }

    let grub_fs = boot.as_ref().unwrap_or(&root);
    if firmware.bios {
        copy_modules(tree, BIOS)?;
        copy_file(
            tree,
            Path::new("usr/lib/grub/i386-pc/boot.img"),
            tree,
            Path::new("boot/grub/i386-pc/boot.img"),
        )?;
        println!("BIOS: /boot/grub/i386-pc/core.img");
        let image = Image {
            platform: BIOS,
            modules: &["biosdisk"],
            output: "boot/grub/i386-pc/core.img",
        };
        image.make(tree, grub_fs, boot.is_some())?;
    }
    if !firmware.efi.is_empty() {
        let esp = Esp {
            tree,
            vendors: &vendors(options, &release.id),
            boot: grub_fs,
            separate_boot: boot.is_some(),
        };
        for cpu in firmware.efi {
            if cpu.has_modules(tree) {
                copy_modules(tree, cpu.platform)?;
            }
            esp.install(cpu)?;
        }
    }
    Ok(())
}

/// What to boot by: what the options ask for, which must be there; without a word all that the tree has packages for.
fn firmware(tree: &Tree, options: &Options) -> Result<Firmware> {
    let has_bios = tree.is_file("usr/lib/grub/i386-pc/boot.img") && tree.is_file("usr/bin/grub-mkimage");
    let efi: Vec<&Cpu> = CPUS.iter().filter(|cpu| cpu.is_in(tree)).collect();
    let platform = options.platform();
    if let Some(platform) = platform {
        module::ensure!(
            platform == BIOS,
            "`legacy`: `{platform}` is not made for Debian trees, only `{BIOS}`"
        );
        module::ensure!(has_bios, "`legacy`: the tree lacks the package grub-pc-bin");
    }
    if let Some(uefi) = &options.uefi {
        module::ensure!(
            !uefi.install,
            "`uefi.install`: a Debian tree is booted by its own packages"
        );
        module::ensure!(
            !efi.is_empty(),
            "`uefi`: the tree lacks the package grub-efi-amd64-bin (or that of its architecture)"
        );
    }
    module::ensure!(
        has_bios || !efi.is_empty(),
        "the tree has no boot loader: add the packages grub-pc-bin (BIOS) or grub-efi-amd64-bin (UEFI)"
    );
    Ok(Firmware {
        bios: has_bios && (platform.is_some() || (options.legacy.is_none() && options.uefi.is_none())),
        efi: match (&options.uefi, platform) {
            (None, Some(_)) => Vec::new(),
            _ => efi,
        },
    })
}

/// Copies GRUB's modules to `/boot/grub`, where it loads them from.
fn copy_modules(tree: &Tree, platform: &str) -> Result<()> {
    let source = Path::new("usr/lib/grub").join(platform);
    let target = Path::new("boot/grub").join(platform);
    tree.mkdir_all(&target)?;
    for name in tree.list(&source)? {
        let extension = Path::new(&name).extension();
        if extension.is_some_and(|e| e == "mod" || e == "lst") {
            copy_file(tree, &source.join(&name), tree, &target.join(&name))?;
        }
    }
    let font = Path::new("usr/share/grub/unicode.pf2");
    if tree.is_file(font) {
        tree.mkdir_all("boot/grub/fonts")?;
        copy_file(tree, font, tree, Path::new("boot/grub/fonts/unicode.pf2"))?;
    }
    Ok(())
}

/// The directories of the ESP that need a `grub.cfg`. Debian's images look in `/EFI/debian`, Ubuntu's in `/EFI/ubuntu`.
fn vendors(options: &Options, id: &str) -> Vec<String> {
    let mut vendors = vec![id.to_owned()];
    if let Some(uefi) = &options.uefi
        && !vendors.contains(&uefi.vendor)
    {
        vendors.push(uefi.vendor.clone());
    }
    vendors
}

/// The option, or the words of `/etc/kernel/cmdline` but for the root file system, which we know better.
fn kernel_opts(tree: &Tree, options: &Options) -> Result<String> {
    if !options.kernel_opts.trim().is_empty() || !tree.is_file("etc/kernel/cmdline") {
        return Ok(options.kernel_opts.trim().to_owned());
    }
    let text = tree.read_text("etc/kernel/cmdline")?;
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !word.starts_with("root="))
        .collect();
    Ok(words.join(" "))
}

/// What `/etc/os-release` says of the distribution.
#[derive(Debug)]
struct OsRelease {
    id: String,
    name: String,
}

impl OsRelease {
    fn of(tree: &Tree) -> Self {
        let text = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|path| tree.read_text(path).ok())
            .unwrap_or_default();
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
                .filter(|value| !value.is_empty())
        };
        // it becomes a directory's name
        let plain = |id: &String| id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        Self {
            id: value("ID")
                .filter(|id| plain(id) && !id.starts_with('.'))
                .unwrap_or("debian".into()),
            name: value("NAME").unwrap_or("Debian GNU/Linux".into()),
        }
    }
}
