//! Configure the GRUB boot loader.
//!
//! On a tree of the Red Hat family (and any other that is not Debian's) it writes `/etc/default/grub`,
//! `/boot/grub2/grubenv` and a `grub.cfg` that takes its menu from the boot loader specification entries. With
//! `legacy` the modules and the font of the build root go to `/boot/grub2`; with `uefi` the configuration goes to
//! `/boot/efi/EFI/VENDOR`, or leads from there to the one in `/boot/grub2` where that is shared.
//!
//! On a tree of the Debian family everything that boots it is laid out in the tree, by the tree's own packages:
//! `/boot/grub/grub.cfg` with a menu entry for each `/boot/vmlinuz-*`, newest first; `/boot/grub/i386-pc` with
//! `boot.img`, `core.img` and the modules (`grub-pc-bin`); `/boot/efi/EFI/BOOT` and `/boot/efi/EFI/ID` with shim and
//! signed GRUB (`shim-signed`, `grub-efi-amd64-signed`), else the image of `grub-efi-amd64-bin`. Without `legacy` and
//! `uefi` it does so for all the firmware there are packages for. Where `kernel_opts` is empty the words of the tree's
//! `/etc/kernel/cmdline` are taken.

pub(crate) mod bls;
mod core_image;
mod debian;
mod esp;
mod kernels;
mod menu;

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use tree::Tree;

/// Options of `org.osbuild.grub2`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["root_fs_uuid"]}, {"required": ["rootfs"]}]))]
pub struct Options {
    /// 1 leaves the names of unset template variables in `grub.cfg`, as it always was; 2 leaves nothing in their place.
    #[serde(default = "one")]
    #[schemars(extend("type" = "number", "enum" = [1, 2]))]
    compat_version: u32,
    /// The root file system.
    rootfs: Option<Filesystem>,
    /// The file system of `/boot`, where it is one of its own.
    bootfs: Option<Filesystem>,
    /// UUID of the root file system: short for `rootfs`.
    root_fs_uuid: Option<Uuid>,
    /// UUID of the boot file system: short for `bootfs`.
    boot_fs_uuid: Option<Uuid>,
    /// Words for the kernel's command line.
    #[serde(default)]
    kernel_opts: String,
    /// Boot by BIOS: `true`, or the name of GRUB's platform; `true` is `i386-pc`.
    legacy: Option<Legacy>,
    /// Boot by UEFI.
    uefi: Option<Uefi>,
    /// The entry that is booted where the default is `saved`.
    saved_entry: Option<String>,
    /// Whether to write `/etc/default/grub`.
    #[serde(default = "yes")]
    write_defaults: bool,
    /// Whether to write the kernel's command line to `grubenv`.
    #[serde(default = "yes")]
    write_cmdline: bool,
    /// Whether `grub.cfg` looks for Ignition's first-boot stamp.
    #[serde(default)]
    ignition: bool,
    /// Whether `grub.cfg` counts boots for greenboot.
    #[serde(default)]
    greenboot: bool,
    /// What the menu is like.
    #[serde(default)]
    config: Config,
}

/// A UUID, or a FAT volume's serial number.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("oneOf" = [
    {"pattern": "^[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}$"},
    {"pattern": "^[0-9A-Za-z]{4}-[0-9A-Za-z]{4}$"},
]))]
struct Uuid(String);

/// A file system, named by its UUID or its label.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["uuid"]}, {"required": ["label"]}]))]
struct Filesystem {
    label: Option<String>,
    uuid: Option<Uuid>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Legacy {
    Wanted(bool),
    Platform(String),
}

/// Boot by UEFI.
#[derive(Debug, Deserialize, JsonSchema)]
struct Uefi {
    /// The directory of the ESP that the boot loader's own files are in.
    #[schemars(extend("pattern" = "^(.+)$"))]
    vendor: String,
    /// Where in the build root `install` finds the directories `BOOT` and `VENDOR`.
    #[serde(default = "efi_src_dir")]
    efi_src_dir: String,
    /// Copy the boot loader from the build root.
    #[serde(default)]
    install: bool,
    /// Keep `grub.cfg` in `/boot/grub2`, with only a way there on the ESP.
    #[serde(default)]
    unified: bool,
}

/// What the menu is like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The default entry: a number, a title, or `saved`.
    default: Option<String>,
    /// Leave the recovery entries out.
    disable_recovery: Option<bool>,
    /// Keep all kernels in the first menu.
    disable_submenu: Option<bool>,
    /// The name the entries have; a shell's word.
    distributor: Option<String>,
    /// Input and output devices.
    terminal: Option<Vec<String>>,
    terminal_input: Option<Vec<String>>,
    terminal_output: Option<Vec<String>>,
    /// Seconds before the default entry is booted.
    #[serde(default)]
    timeout: u64,
    timeout_style: Option<TimeoutStyle>,
    /// The command that sets the serial port up.
    serial: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TimeoutStyle {
    Hidden,
    Menu,
    Countdown,
}

module::stage! {
    file: "grub2.rs", name: "org.osbuild.grub2", options: Options, run: run,
    needs: [Chroot],
    libraries: [
        include_str!("grub2/bls.rs"),
        include_str!("grub2/core_image.rs"),
        include_str!("grub2/debian.rs"),
        include_str!("grub2/esp.rs"),
        include_str!("grub2/kernels.rs"),
        include_str!("grub2/menu.rs"),
    ],
}

fn run(args: Args<Options>) -> Result<()> {
    configure(&args.tree, &args.options, &Tree::open("/")?)
}

/// Does it, with the boot loader files of `build_root` where the tree has none of its own.
fn configure(tree: &Tree, options: &Options, build_root: &Tree) -> Result<()> {
    if debian::is_debian(tree) {
        debian::configure(tree, options)
    } else {
        bls::configure(tree, options, build_root)
    }
}

impl Options {
    /// The root file system, by whichever option names it.
    fn root(&self) -> Result<Search> {
        Search::of(self.rootfs.as_ref(), self.root_fs_uuid.as_ref())
            .ok_or_else(|| module::anyhow!("`rootfs` needs a `uuid` or a `label`"))
    }

    /// The file system of `/boot`, where it is another one.
    fn boot(&self) -> Option<Search> {
        Search::of(self.bootfs.as_ref(), self.boot_fs_uuid.as_ref())
    }

    /// GRUB's platform to boot by BIOS.
    fn platform(&self) -> Option<&str> {
        match &self.legacy {
            Some(Legacy::Wanted(true)) => Some("i386-pc"),
            Some(Legacy::Platform(name)) if !name.is_empty() => Some(name),
            _ => None,
        }
    }
}

/// How a file system is found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Search {
    Uuid(String),
    Label(String),
}

impl Search {
    fn of(filesystem: Option<&Filesystem>, uuid: Option<&Uuid>) -> Option<Self> {
        let of_filesystem = |fs: &Filesystem| match (&fs.uuid, &fs.label) {
            (Some(uuid), _) => Some(Self::Uuid(uuid.0.clone())),
            (None, Some(label)) => Some(Self::Label(label.clone())),
            (None, None) => None,
        };
        filesystem
            .and_then(of_filesystem)
            .or_else(|| uuid.map(|uuid| Self::Uuid(uuid.0.clone())))
    }

    /// As the kernel's `root=` and `fstab` have it.
    fn spec(&self) -> String {
        match self {
            Self::Uuid(uuid) => format!("UUID={uuid}"),
            Self::Label(label) => format!("LABEL={label}"),
        }
    }

    /// The argument of GRUB's command `search`.
    fn argument(&self) -> String {
        match self {
            Self::Uuid(uuid) => format!("--fs-uuid {uuid}"),
            Self::Label(label) => format!("--label {label}"),
        }
    }
}

impl TimeoutStyle {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Menu => "menu",
            Self::Countdown => "countdown",
        }
    }
}

/// GRUB's environment block: exactly 1024 bytes, padded with `#` (grub manual, "The GRUB environment block").
pub(crate) fn environment_block(variables: &[(&str, &str)]) -> Result<String> {
    let mut text = String::from("# GRUB Environment Block\n");
    for (name, value) in variables {
        text += &format!("{name}={value}\n");
    }
    module::ensure!(
        text.len() <= 1024,
        "the variables of grubenv have {} bytes, there is room for 1024: shorten `kernel_opts`",
        text.len()
    );
    text += &"#".repeat(1024 - text.len());
    Ok(text)
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn efi_src_dir() -> String {
    "/boot/efi/EFI".into()
}

#[cfg(test)]
mod tests;
