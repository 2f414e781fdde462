//! Configure GRUB with a menu of explicit entries, for systems without boot loader specification.
//!
//! Writes `/boot/grub2/grubenv`, for a BIOS machine `/boot/grub2/grub.cfg` beside GRUB's modules and font from the build root,
//! for UEFI `/boot/efi/EFI/VENDOR/grub.cfg`, whose directory must be there unless `uefi.install` copies it from the build
//! root; and `/etc/default/grub`, unless `write_defaults` is false. Both kinds of firmware may be asked for at once.

use std::path::Path;

use module::{Args, Result, Tree, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts;
use crate::grub2::bls::{copy_platform, copy_tree};
use crate::grub2::environment_block;

/// Options of `org.osbuild.grub2.legacy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["bios"]}, {"required": ["uefi"]}]))]
pub struct Options {
    /// The root file system.
    rootfs: Filesystem,
    /// The file system of `/boot`, where it is one of its own.
    bootfs: Option<Filesystem>,
    /// Boot by BIOS, or Open Firmware.
    bios: Option<Bios>,
    /// Boot by UEFI.
    uefi: Option<Uefi>,
    /// Whether to write `/etc/default/grub`.
    #[serde(default = "yes")]
    write_defaults: bool,
    /// The entries of the menu.
    #[schemars(length(min = 1))]
    entries: Vec<Entry>,
    /// What the menu is like.
    #[serde(default)]
    config: Config,
}

/// How a file system is found.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["uuid"]}, {"required": ["label"]}, {"required": ["device"]}]))]
struct Filesystem {
    /// By the path of its device: only the root file system.
    device: Option<String>,
    /// By its label.
    label: Option<String>,
    /// By its UUID, or a FAT volume's serial number.
    #[schemars(extend("oneOf" = [
        {"pattern": "^[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}$"},
        {"pattern": "^[0-9A-Za-z]{4}-[0-9A-Za-z]{4}$"},
    ]))]
    uuid: Option<String>,
}

/// Boot by BIOS, or Open Firmware.
#[derive(Debug, Deserialize, JsonSchema)]
struct Bios {
    /// GRUB's name of it.
    platform: Platform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Platform {
    #[serde(rename = "i386-pc")]
    Pc,
    #[serde(rename = "powerpc-ieee1275")]
    PowerPc,
}

/// Boot by UEFI.
#[derive(Debug, Deserialize, JsonSchema)]
struct Uefi {
    /// Whose boot loader it is: a directory of `/boot/efi/EFI`.
    #[schemars(regex(pattern = "^(.+)$"))]
    vendor: String,
    /// Copy the boot loaders from the build root.
    #[serde(default)]
    install: bool,
}

/// An entry of the menu.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Whether it is booted by itself.
    #[serde(default)]
    default: bool,
    /// Part of its name: usually the root file system's UUID.
    id: String,
    /// What it boots.
    product: Product,
    /// The kernel's version, as in `/boot/vmlinuz-VERSION`.
    kernel: String,
}

/// What an entry boots.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Product {
    name: String,
    nick: Option<String>,
    version: String,
}

/// What the menu is like.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Words for the kernel's command line.
    cmdline: String,
    /// The entry that is booted by itself, in `/etc/default/grub`.
    default: String,
    /// Whether grub2-mkconfig leaves out recovery entries.
    disable_recovery: bool,
    /// Whether it makes no submenu.
    disable_submenu: bool,
    /// The distributor's name.
    distributor: Option<String>,
    /// Terminals for input and output.
    terminal: Option<Vec<String>>,
    /// Terminals for input.
    terminal_input: Option<Vec<String>>,
    /// Terminals for output.
    terminal_output: Option<Vec<String>>,
    /// Seconds until the default entry is booted.
    timeout: u64,
    /// What is seen meanwhile.
    timeout_style: Style,
    /// GRUB's command that sets up the serial console.
    serial: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Style {
    Hidden,
    Menu,
    #[default]
    Countdown,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cmdline: String::new(),
            default: "saved".into(),
            disable_recovery: true,
            disable_submenu: true,
            distributor: None,
            terminal: None,
            terminal_input: None,
            terminal_output: None,
            timeout: 0,
            timeout_style: Style::default(),
            serial: None,
        }
    }
}

module::stage! {
    file: "grub2_legacy.rs", name: "org.osbuild.grub2.legacy", options: Options, run: run,
    needs: [Tools],
    libraries: [
        artifacts::SOURCE, include_str!("grub2.rs"), include_str!("grub2_legacy/head.cfg"),
    ],
}

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    configure(&args.tree, &args.options, &Tree::open("/")?)
}

fn configure(tree: &Tree, options: &Options, build_root: &Tree) -> Result<()> {
    if options.write_defaults {
        tree.mkdir_all("etc/default")?;
        tree.write("etc/default/grub", defaults(&options.config))?;
    }
    tree.mkdir_all("boot/grub2")?;
    let saved: Vec<String> = options
        .entries
        .iter()
        .filter(|entry| entry.default)
        .map(Entry::name)
        .collect();
    ensure!(
        saved.len() <= 1,
        "options: entries: {} are the default",
        saved.len()
    );
    let variables: Vec<_> = saved.iter().map(|name| ("saved_entry", name.as_str())).collect();
    tree.write("boot/grub2/grubenv", environment_block(&variables)?)?;
    if let Some(uefi) = &options.uefi {
        let efi = Path::new("boot/efi/EFI");
        for name in ["BOOT", &uefi.vendor].into_iter().filter(|_| uefi.install) {
            ensure!(
                !tree.exists(efi.join(name)),
                "/boot/efi/EFI/{name} is in the tree already"
            );
            copy_tree(build_root, &efi.join(name), tree, &efi.join(name))?;
        }
        tree.write(efi.join(&uefi.vendor).join("grub.cfg"), grub_cfg(options, true)?)?;
    }
    if let Some(bios) = &options.bios {
        tree.write("boot/grub2/grub.cfg", grub_cfg(options, false)?)?;
        let platform = match bios.platform {
            Platform::Pc => "i386-pc",
            Platform::PowerPc => "powerpc-ieee1275",
        };
        copy_platform(tree, platform, build_root)?;
    }
    Ok(())
}

/// `/etc/default/grub`, from which grub2-mkconfig makes a new `grub.cfg`.
fn defaults(config: &Config) -> String {
    let style = match config.timeout_style {
        Style::Hidden => "hidden",
        Style::Menu => "menu",
        Style::Countdown => "countdown",
    };
    let mut text = format!(
        "GRUB_TIMEOUT={}\nGRUB_CMDLINE_LINUX=\"{}\"\nGRUB_DISABLE_SUBMENU={}\nGRUB_DISABLE_RECOVERY={}\n\
         GRUB_TIMEOUT_STYLE={style}\nGRUB_DEFAULT={}\n",
        config.timeout, config.cmdline, config.disable_submenu, config.disable_recovery, config.default
    );
    let words = |words: &Option<Vec<String>>| words.as_ref().map(|words| words.join(" "));
    for (name, value) in [
        ("DISTRIBUTOR", config.distributor.clone()),
        ("SERIAL_COMMAND", config.serial.clone()),
        ("TERMINAL", words(&config.terminal)),
        ("TERMINAL_INPUT", words(&config.terminal_input)),
        ("TERMINAL_OUTPUT", words(&config.terminal_output)),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text += &format!("GRUB_{name}=\"{value}\"\n");
        }
    }
    text
}

const HEAD: &str = include_str!("grub2_legacy/head.cfg");

fn grub_cfg(options: &Options, uefi: bool) -> Result<String> {
    let config = &options.config;
    let command = |name: &str, words: &Option<Vec<String>>| match words {
        Some(words) if !words.is_empty() => format!("\n{name} {}", words.join(" ")),
        // as it always was: an unset variable, which GRUB takes for nothing
        _ => format!("${{{name}}}"),
    };
    let serial = match &config.serial {
        Some(serial) if !serial.is_empty() => format!("\n{serial}"),
        _ => "${serial}".to_owned(),
    };
    let terminals = command("terminal_input", &config.terminal_input)
        + &command("terminal_output", &config.terminal_output);
    let mut text = format!(
        "\n# Created by osbuild\n\nset timeout={}\n{HEAD}{serial}{terminals}\n",
        config.timeout
    );
    let loader = match options.bios.as_ref().map(|bios| bios.platform) {
        Some(Platform::Pc) if uefi => "efi",
        Some(Platform::Pc) => "16",
        _ => "",
    };
    let boot = if options.bootfs.is_some() { "/" } else { "/boot/" };
    let search = options.bootfs.as_ref().unwrap_or(&options.rootfs).search()?;
    let cmdline = format!("root={} {}", options.rootfs.root()?, config.cmdline);
    for entry in &options.entries {
        let (title, name, kernel) = (entry.title(), entry.name(), &entry.kernel);
        text += &format!(
            "\nmenuentry '{title}' --class red --class gnu-linux --class gnu --class os --unrestricted --id '{name}' {{\n\
             \tinsmod all_video\n\tset gfxpayload=keep\n\tsearch --no-floppy --set=root {search}\n\
             \tlinux{loader} {boot}vmlinuz-{kernel} {cmdline}\n\tinitrd{loader} {boot}initramfs-{kernel}.img\n}}\n"
        );
    }
    Ok(text + "\n")
}

impl Filesystem {
    /// As the kernel's `root=` has it.
    fn root(&self) -> Result<String> {
        Ok(match self.parts()? {
            ("", device) => device.to_owned(),
            (key, value) => format!("{key}={value}"),
        })
    }

    /// The argument of GRUB's command `search`.
    fn search(&self) -> Result<String> {
        Ok(match self.parts()? {
            ("UUID", uuid) => format!("--fs-uuid {uuid}"),
            ("LABEL", label) => format!("--label {label}"),
            (_, device) => device.to_owned(),
        })
    }

    fn parts(&self) -> Result<(&'static str, &str)> {
        let parts = [("UUID", &self.uuid), ("LABEL", &self.label), ("", &self.device)];
        for (key, value) in parts {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                return Ok((key, value));
            }
        }
        bail!("options: a file system has neither `uuid` nor `label` nor `device`")
    }
}

impl Entry {
    /// The name by which GRUB knows it.
    fn name(&self) -> String {
        format!("gnulinux-{}-advanced-{}", self.kernel, self.id)
    }

    fn title(&self) -> String {
        let Product { name, nick, version } = &self.product;
        let nick = nick.as_deref().filter(|nick| !nick.is_empty());
        let nick = nick.map(|nick| format!(" ({nick})")).unwrap_or_default();
        format!("{name} ({}) {version}{nick}", self.kernel)
    }
}

#[cfg(test)]
mod tests;
