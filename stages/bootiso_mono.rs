//! Make the content of a bootable installation medium.
//!
//! As Lorax lays it out: `/images/pxeboot` has the kernel and its initial ram disk, taken from `/boot` of the input `kernel`,
//! or of `rootfs`; `/images/install.img` is a squashfs with `/LiveOS/rootfs.img`, an ext4 file system with the input `rootfs`.
//! `efi` adds `/EFI/BOOT` and its image `/images/efiboot.img`, `isolinux` the boot loader for a BIOS. Boot loaders and
//! Lorax's templates are those of the build root.
//!
//! Nothing is mounted, and with a source epoch the same inputs give the same files.

use std::fs::File;
use std::path::Path;

use image::fat::{self, Kind};
use image::{SparseFile, ext4, read_only, size};
use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts;
use crate::disk;

/// Options of `org.osbuild.bootiso.mono`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What is installed.
    product: Product,
    /// Version of the kernel.
    kernel: String,
    /// The medium's label.
    isolabel: String,
    /// The boot loaders for UEFI; none without this.
    efi: Option<Efi>,
    /// The boot loader for a BIOS.
    isolinux: Option<Isolinux>,
    /// Additional kernel parameters.
    kernel_opts: Option<String>,
    /// Which of Lorax's templates.
    #[serde(default = "generic")]
    #[schemars(extend("default" = "99-generic"))]
    templates: String,
    /// The installer's file system.
    #[serde(default)]
    rootfs: Rootfs,
}

/// What is installed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Product {
    name: String,
    version: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Efi {
    /// GRUB's names of them, such as `X64`.
    architectures: Vec<String>,
    /// Whose boot loaders they are: a directory of `/boot/efi/EFI` of the build root.
    vendor: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Isolinux {
    /// Whether it is there.
    enabled: bool,
    /// The variant that says what it does.
    #[serde(default)]
    debug: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rootfs {
    /// How the squashfs is compressed; with gzip otherwise.
    compression: Option<Compression>,
    /// Size of the ext4 file system in MiB.
    #[schemars(extend("default" = 3072))]
    size: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Compression {
    #[schemars(with = "serde_json::Value", extend("enum" = ["gzip", "xz", "lz4"]))]
    method: String,
    #[serde(default)]
    options: Filters,
}

/// Options of a method.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filters {
    /// Whose code the filter of xz is for.
    #[schemars(with = "serde_json::Value", extend("enum" = ["x86", "arm", "armthumb", "powerpc", "sparc", "ia64"]))]
    bcj: Option<String>,
}

module::stage! {
    file: "bootiso_mono.rs", name: "org.osbuild.bootiso.mono", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["rootfs"],
            "properties": {
                "rootfs": {"type": "object", "additionalProperties": true},
                "kernel": {"type": "object", "additionalProperties": true},
            },
        },
    },
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, artifacts::SOURCE, disk::SOURCE],
}

const TEMPLATES: &str = "usr/share/lorax/templates.d";
const SYSLINUX: &str = "usr/share/syslinux";
const SPLASH: &str = "usr/share/anaconda/boot/syslinux-splash.png";
const PXE: &str = "images/pxeboot";
const BOOT: &str = "EFI/BOOT";
const MIB: u64 = 1 << 20;
/// What a block of the medium has, and what files are counted in.
const BLOCK: u64 = 2048;

fn generic() -> String {
    "99-generic".into()
}

fn run(args: Args<Options>) -> Result<()> {
    make(&args, &Tree::open("/")?)
}

fn make(args: &Args<Options>, build_root: &Tree) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let rootfs = args.input("rootfs")?.tree()?;
    let kernel = match args.inputs.get("kernel") {
        Some(kernel) => kernel.tree()?,
        None => Tree::open(rootfs.path())?,
    };
    tree.mkdir("images", 0o755)?;
    tree.mkdir(PXE, 0o755)?;
    for (from, name) in [
        (format!("boot/vmlinuz-{}", options.kernel), "vmlinuz"),
        (format!("boot/initramfs-{}.img", options.kernel), "initrd.img"),
    ] {
        install(&kernel, &from, tree, &format!("{PXE}/{name}"), None)?;
    }
    if let Some(isolinux) = options.isolinux.as_ref().filter(|isolinux| isolinux.enabled) {
        make_isolinux(options, isolinux, build_root, &rootfs, tree)?;
    }
    if let Some(efi) = &options.efi {
        make_efi(args, efi, build_root)?;
    }
    make_rootfs(args, &rootfs)
}

impl Options {
    /// The directory of the build root with Lorax's configurations for the architecture.
    fn templates(&self) -> String {
        // on aarch64 there is UEFI alone
        let is_arm = |efi: &Efi| efi.architectures.iter().any(|name| name == "AA64");
        let architecture = match self.efi.as_ref().is_some_and(is_arm) {
            true => "aarch64",
            false => "x86",
        };
        format!("{TEMPLATES}/{}/config_files/{architecture}", self.templates)
    }

    fn command_line(&self) -> String {
        let label = format!("inst.stage2=hd:LABEL={}", self.isolabel);
        match self.kernel_opts.as_deref().filter(|words| !words.is_empty()) {
            Some(words) => format!("{label} {words}"),
            None => label,
        }
    }

    /// A template of Lorax's with what it leaves open.
    fn filled(&self, build_root: &Tree, name: &str, more: &[(&str, String)]) -> Result<String> {
        let mut text = build_root
            .read_text(format!("{}/{name}", self.templates()))
            .context("Lorax's templates are missing in the build pipeline")?;
        let usual = [
            ("@VERSION@", self.product.version.clone()),
            ("@PRODUCT@", self.product.name.clone()),
            ("@ROOT@", self.command_line()),
        ];
        for (word, value) in usual.iter().chain(more) {
            text = text.replace(word, value);
        }
        Ok(text)
    }
}

/// Copies a file's content.
fn install(from: &Tree, path: &str, to: &Tree, target: &str, mode: Option<u32>) -> Result<()> {
    let mut source = from.open_file(path)?;
    let copied = std::io::copy(&mut source, &mut to.create_file(target)?);
    copied.with_context(|| format!("cannot copy {path}"))?;
    if let Some(mode) = mode {
        to.chmod(target, mode)?;
    }
    Ok(())
}

/// An empty file for an image, which is read again.
fn create(tree: &Tree, path: &str) -> Result<File> {
    use rustix::fs::OFlags;
    let fd = tree.open_at(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o644)?;
    Ok(fd.into())
}

fn make_isolinux(
    options: &Options,
    isolinux: &Isolinux,
    build_root: &Tree,
    rootfs: &Tree,
    tree: &Tree,
) -> Result<()> {
    let missing = "SYSLINUX is missing in the build pipeline";
    let program = |from: &str, name: &str| {
        let from = format!("{SYSLINUX}/{from}");
        install(build_root, &from, tree, &format!("isolinux/{name}"), Some(0o755)).context(missing)
    };
    tree.mkdir("isolinux", 0o755)?;
    let loader = if isolinux.debug {
        "isolinux-debug.bin"
    } else {
        "isolinux.bin"
    };
    program(loader, "isolinux.bin")?;
    for name in ["ldlinux.c32", "libcom32.c32", "libutil.c32", "vesamenu.c32"] {
        program(name, name)?;
    }
    for name in ["isolinux.cfg", "boot.msg", "grub.conf"] {
        tree.write(format!("isolinux/{name}"), options.filled(build_root, name, &[])?)?;
    }
    install(rootfs, SPLASH, tree, "isolinux/splash.png", None).context("input `rootfs`")?;
    for name in ["vmlinuz", "initrd.img"] {
        tree.hard_link(format!("{PXE}/{name}"), format!("isolinux/{name}"))?;
    }
    Ok(())
}

fn make_efi(args: &Args<Options>, efi: &Efi, build_root: &Tree) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    tree.mkdir("EFI", 0o755)?;
    tree.mkdir(BOOT, 0o755)?;
    artifacts::loaders(build_root, &efi.vendor, &efi.architectures, tree, Path::new(BOOT))?;
    let menu = options.filled(
        build_root,
        "grub2-efi.cfg",
        &[
            ("@KERNELNAME@", "vmlinuz".into()),
            ("@KERNELPATH@", format!("/{PXE}/vmlinuz")),
            ("@INITRDPATH@", format!("/{PXE}/initrd.img")),
            ("@ISOLABEL@", options.isolabel.clone()),
        ],
    )?;
    tree.write(format!("{BOOT}/grub.cfg"), &menu)?;
    if efi.architectures.iter().any(|name| name == "IA32") {
        tree.write(format!("{BOOT}/BOOT.cfg"), &menu)?;
    }
    // the image has the directory EFI, and nothing else of the medium
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let content = Tree::open(dir.path())?;
    content.mkdir("EFI", 0o755)?;
    tree::copy::copy_tree(
        &tree.subtree("EFI")?,
        &content.subtree("EFI")?,
        &tree::copy::Options::default(),
    )?;
    let size = BLOCK * 256 + counted(&content, Path::new(BOOT))?;
    let image = SparseFile::new(create(tree, "images/efiboot.img")?, size)?;
    let fat = fat::Options {
        offset: 0,
        size,
        kind: Some(Kind::of_mkfs(size)),
        volume_id: disk::derived(args, "efiboot.img").as_fields().0,
        label: Some("ANACONDA".into()),
        epoch: args.meta.source_epoch.unwrap_or(0),
    };
    Ok(fat::write(&image, &content, &fat)?)
}

/// Bytes of what lies below `dir`, in whole blocks.
fn counted(tree: &Tree, dir: &Path) -> Result<u64> {
    let mut size = 0;
    for name in tree.list(dir)? {
        let path = dir.join(name);
        size += match tree.is_dir(&path) {
            true => 2 * BLOCK + counted(tree, &path)?,
            false => {
                let bytes = tree.stat(&path)?.map_or(0, |stat| stat.size);
                bytes.next_multiple_of(BLOCK).max(BLOCK)
            }
        };
    }
    Ok(size)
}

fn make_rootfs(args: &Args<Options>, rootfs: &Tree) -> Result<()> {
    let options = &args.options.rootfs;
    let epoch = args.meta.source_epoch;
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let live = Tree::open(dir.path())?;
    live.chmod("", 0o755)?;
    live.mkdir("LiveOS", 0o755)?;
    let size = match options.size {
        None => 3072 * MIB,
        Some(size) => u64::try_from(size).with_context(|| format!("`rootfs.size` is {size}"))? * MIB,
    };
    let image = SparseFile::new(create(&live, "LiveOS/rootfs.img")?, size)?;
    let ext4 = ext4::Options {
        uuid: disk::derived(args, "rootfs.img"),
        label: Some("Anaconda".into()),
        offset: 0,
        size,
        epoch,
    };
    ext4::write(&image, rootfs, &size::usage(rootfs, None)?, &ext4).context("rootfs")?;
    for path in ["LiveOS/rootfs.img", "LiveOS", ""] {
        live.set_mtime(path, epoch.unwrap_or(0), 0)?;
    }
    let mut words = Vec::new();
    if let Some(compression) = &options.compression {
        words.extend(["-comp", &compression.method]);
        if let Some(bcj) = &compression.options.bcj {
            words.extend(["-Xbcj", bcj]);
        }
    }
    let file = create(&args.tree, "images/install.img")?;
    read_only::squashfs(file, &live, &words, epoch)?;
    Ok(())
}

#[cfg(test)]
mod tests;
