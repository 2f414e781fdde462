//! The Red Hat family: `/boot/grub2`, a menu by the boot loader specification.

use std::path::{Path, PathBuf};

use module::{Context, Result};
use tree::{Kind, Tree};

use super::{Options, Search, environment_block};

/// Writes the configuration; see the stage's documentation.
pub fn configure(tree: &Tree, options: &Options, build_root: &Tree) -> Result<()> {
    let (root, boot) = (options.root()?, options.boot());
    let platform = options.platform();
    let hybrid = platform.is_some() && options.uefi.is_some();

    if options.write_defaults {
        tree.mkdir_all("etc/default")?;
        tree.write("etc/default/grub", defaults(options))?;
    }
    tree.mkdir_all("boot/grub2")?;
    if hybrid && tree.exists("boot/grub2/grubenv") {
        // the EFI package links it to the ESP, but both firmwares are to share one
        tree.remove_file("boot/grub2/grubenv")?;
    }
    tree.write("boot/grub2/grubenv", grubenv(options, &root)?)?;

    let mut config_path = PathBuf::from("boot/grub2/grub.cfg");
    if let Some(uefi) = &options.uefi {
        let directory = Path::new("boot/efi/EFI").join(&uefi.vendor);
        if uefi.install {
            let source = build_root
                .subtree(&uefi.efi_src_dir)
                .with_context(|| format!("`efi_src_dir`: the build root has no {}", uefi.efi_src_dir))?;
            for name in ["BOOT", &uefi.vendor] {
                copy_tree(
                    &source,
                    Path::new(name),
                    tree,
                    &Path::new("boot/efi/EFI").join(name),
                )?;
            }
        }
        module::ensure!(
            tree.is_dir(&directory),
            "/{} is not in the tree: install the boot loader's EFI package, or set `uefi.install`",
            directory.display()
        );
        let path = directory.join("grub.cfg");
        if hybrid || uefi.unified {
            println!("/{} leads to the configuration in /boot/grub2", path.display());
            tree.write(&path, redirect(boot.is_some()))?;
        } else {
            config_path = path;
        }
    }
    tree.write(&config_path, grub_cfg(options, &root, boot.as_ref()))?;
    match platform {
        Some(platform) => copy_platform(tree, platform, build_root),
        None => Ok(()),
    }
}

/// `/etc/default/grub`, from which grub2-mkconfig makes a new `grub.cfg`.
fn defaults(options: &Options) -> String {
    let config = &options.config;
    let mut text = format!("GRUB_CMDLINE_LINUX=\"{}\"\n", options.kernel_opts);
    let mut set = |name: &str, value: String| text += &format!("GRUB_{name}={value}\n");
    set("TIMEOUT", config.timeout.to_string());
    set("ENABLE_BLSCFG", "true".into());
    let quoted = |words: &str| format!("\"{words}\"");
    let flags = [
        ("DISABLE_RECOVERY", config.disable_recovery),
        ("DISABLE_SUBMENU", config.disable_submenu),
    ];
    for (name, value) in flags {
        value.iter().for_each(|value| set(name, value.to_string()));
    }
    let words = [
        ("DISTRIBUTOR", &config.distributor),
        ("SERIAL_COMMAND", &config.serial),
    ];
    for (name, value) in words {
        let value = value.iter().filter(|value| !value.is_empty());
        value.for_each(|value| set(name, quoted(value)));
    }
    let terminals = [
        ("TERMINAL", &config.terminal),
        ("TERMINAL_INPUT", &config.terminal_input),
        ("TERMINAL_OUTPUT", &config.terminal_output),
    ];
    for (name, value) in terminals {
        let value = value.iter().filter(|value| !value.is_empty());
        value.for_each(|value| set(name, quoted(&value.join(" "))));
    }
    if let Some(style) = config.timeout_style {
        set("TIMEOUT_STYLE", style.as_str().into());
    }
    if let Some(default) = &config.default {
        set("DEFAULT", default.clone());
    }
    text
}

fn grubenv(options: &Options, root: &Search) -> Result<String> {
    let kernelopts = format!("root={} {}", root.spec(), options.kernel_opts);
    let saved = options.saved_entry.as_deref().filter(|entry| !entry.is_empty());
    let mut variables = Vec::new();
    if options.write_cmdline {
        variables.push(("kernelopts", kernelopts.as_str()));
    }
    variables.extend(saved.map(|entry| ("saved_entry", entry)));
    environment_block(&variables)
}

/// The path of `/boot` as GRUB sees it on the file system it boots from.
fn boot_path(separate_boot: bool) -> &'static str {
    if separate_boot { "/" } else { "/boot/" }
}

/// The `grub.cfg` of the ESP that leads to the one beside the kernels.
fn redirect(separate_boot: bool) -> String {
    let boot = boot_path(separate_boot);
    format!(
        "\nsearch --no-floppy --set prefix --file {boot}grub2/grub.cfg\n\
         set prefix=($prefix){boot}grub2\nconfigfile $prefix/grub.cfg\n"
    )
}

/// The `grub.cfg`, byte for byte the one that is known from such images.
fn grub_cfg(options: &Options, root: &Search, boot: Option<&Search>) -> String {
    let config = &options.config;
    let mut features = Vec::new();
    if options.ignition {
        features.push(IGNITION.replace("@BOOT@", boot_path(boot.is_some())));
    }
    if options.greenboot {
        features.push(GREENBOOT.to_owned());
    }
    let unset = |name: &str| match options.compat_version {
        1 => format!("${{{name}}}"),
        _ => String::new(),
    };
    let command = |name: &str, words: &Option<Vec<String>>| match words {
        Some(words) if !words.is_empty() => format!("\n{name} {}", words.join(" ")),
        _ => unset(name),
    };
    let serial = match &config.serial {
        Some(serial) if !serial.is_empty() => format!("\n{serial}"),
        _ => unset("serial"),
    };
    MAIN.replace("@TIMEOUT@", &config.timeout.to_string())
        .replace("@SEARCH@", &boot.unwrap_or(root).argument())
        .replace("@FEATURES@", &features.join("\n"))
        .replace("@SERIAL@", &serial)
        .replace("@INPUT@", &command("terminal_input", &config.terminal_input))
        .replace("@OUTPUT@", &command("terminal_output", &config.terminal_output))
}

/// Copies GRUB's modules and font from the build root to `/boot/grub2`.
pub fn copy_platform(tree: &Tree, platform: &str, build_root: &Tree) -> Result<()> {
    let source = Path::new("usr/lib/grub").join(platform);
    let target = Path::new("boot/grub2").join(platform);
    module::ensure!(
        build_root.is_dir(&source),
        "`legacy`: the build root has no /{}: add GRUB's modules for that platform to the build pipeline",
        source.display()
    );
    tree.mkdir_all(&target)?;
    for name in build_root.list(&source)? {
        let extension = Path::new(&name).extension();
        let wanted = extension.is_some_and(|e| e == "mod" || e == "lst");
        // this one is always empty
        if wanted && name != "fdt.lst" {
            copy_file(build_root, &source.join(&name), tree, &target.join(&name))?;
        }
    }
    tree.mkdir_all("boot/grub2/fonts")?;
    copy_file(
        build_root,
        Path::new("usr/share/grub/unicode.pf2"),
        tree,
        Path::new("boot/grub2/fonts/unicode.pf2"),
    )
}

/// Copies a directory; links are followed, since a FAT file system has none.
pub fn copy_tree(source: &Tree, from: &Path, tree: &Tree, to: &Path) -> Result<()> {
    tree.mkdir_all(to)?;
    for name in source.list(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if source.is_dir(&from) {
            copy_tree(source, &from, tree, &to)?;
        } else {
            copy_file(source, &from, tree, &to)?;
        }
    }
    Ok(())
}

/// Copies the content, mode and time of a file.
pub fn copy_file(source: &Tree, from: &Path, tree: &Tree, to: &Path) -> Result<()> {
    let stat = source.stat_followed(from)?;
    let stat = stat
        .filter(|st| st.kind == Kind::File)
        .with_context(|| format!("there is no file {}/{}", source.path().display(), from.display()))?;
    tree.write(to, source.read(from)?)?;
    tree.chmod(to, stat.mode & 0o777)?;
    Ok(tree.set_mtime(to, stat.mtime.0, stat.mtime.1)?)
}

const MAIN: &str = r#"
set timeout=@TIMEOUT@

# load the grubenv file
load_env

# selection of the next boot entry via variables 'next_entry' and
# `saved_entry` present in the 'grubenv' file. Both variables are
# set by grub tools, like grub2-reboot, grub2-set-default

if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi

search --no-floppy --set=root @SEARCH@
set boot=${root}
function load_video {
  insmod all_video
}
@FEATURES@@SERIAL@@INPUT@@OUTPUT@
blscfg
"#;

const IGNITION: &str = r#"
# Ignition support
set ignition_firstboot=""
if [ -f "@BOOT@ignition.firstboot" ]; then
    # Default networking parameters to be used with ignition.
    set ignition_network_kcmdline=''

    # Source in the `ignition.firstboot` file which could override the
    # above $ignition_network_kcmdline with static networking config.
    # This override feature is primarily used by coreos-installer to
    # persist static networking config provided during install to the
    # first boot of the machine.
    source "@BOOT@ignition.firstboot"

    set ignition_firstboot="ignition.firstboot ${ignition_network_kcmdline}"
fi
"#;

const GREENBOOT: &str = r#"
# greenboot support, aka boot counter and boot success reporting
insmod increment
# Check if boot_counter exists and boot_success=0 to activate this behaviour.
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  # if countdown has ended, choose to boot rollback deployment,
  # i.e. default=1 on OSTree-based systems.
  if  [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  # otherwise decrement boot_counter
  else
    decrement boot_counter
  fi
  save_env boot_counter
fi

# Reset boot_success for current boot
set boot_success=0
save_env boot_success
"#;
