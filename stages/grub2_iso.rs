//! Make the boot directory of an installation medium for UEFI machines.
//!
//! `/EFI/BOOT`, which must not be there yet, gets the shim, its key manager and GRUB of the build root for each of the
//! `architectures`, GRUB's font and its menu. An image of a FAT file system with it is what the firmware boots.

use std::path::Path;

use module::{Args, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts::{self, Config, Custom, Kernel, Menu, Product};

/// Options of `org.osbuild.grub2.iso`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What is installed.
    product: Product,
    /// Its kernel.
    kernel: Kernel,
    /// The medium's label.
    isolabel: String,
    /// GRUB's names of them, such as `X64`.
    #[serde(default)]
    architectures: Vec<String>,
    /// Whose boot loaders they are: a directory of `/boot/efi/EFI` of the build root.
    #[serde(default)]
    vendor: String,
    /// Offer to install in FIPS mode.
    #[serde(default)]
    fips: bool,
    /// Offer what helps when something goes wrong.
    #[serde(default = "yes")]
    troubleshooting: bool,
    /// Offer to check the medium first.
    #[serde(default = "yes")]
    test: bool,
    /// Offer to install.
    #[serde(default = "yes")]
    install: bool,
    /// Entries of one's own, before the others.
    #[serde(default)]
    custom: Vec<Custom>,
    /// What GRUB does by itself.
    #[serde(default)]
    config: Config,
}

module::stage! {
    file: "grub2_iso.rs", name: "org.osbuild.grub2.iso", options: Options, run: run,
    needs: [Tools],
    libraries: [artifacts::SOURCE],
}

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    install(&args.tree, &args.options, &Tree::open("/")?)
}

const DIR: &str = "EFI/BOOT";

fn install(tree: &Tree, options: &Options, build_root: &Tree) -> Result<()> {
    tree.mkdir_all("EFI")?;
    tree.mkdir(DIR, 0o755)?;
    artifacts::loaders(
        build_root,
        &options.vendor,
        &options.architectures,
        tree,
        Path::new(DIR),
    )?;
    let text = menu(options).text();
    tree.write(format!("{DIR}/grub.cfg"), &text)?;
    if options.architectures.iter().any(|name| name == "IA32") {
        tree.write(format!("{DIR}/BOOT.cfg"), &text)?;
    }
    Ok(())
}

fn menu(options: &Options) -> Menu<'_> {
    Menu {
        product: &options.product.name,
        version: &options.product.version,
        isolabel: &options.isolabel,
        kernel_dir: &options.kernel.dir,
        kernel_opts: &options.kernel.opts,
        timeout: options.config.timeout,
        default: options.config.default,
        custom: &options.custom,
        install: options.install,
        test: options.test,
        fips: options.fips,
        troubleshooting: options.troubleshooting,
        video: &["efi_gop", "efi_uga", "video_bochs", "video_cirrus", "all_video"],
        modules: &["gzio", "part_gpt", "ext2"],
        first_drive: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn boot_loaders_and_menu_are_in_place() {
        let root = tempfile::tempdir().unwrap();
        let build_root = Tree::open(root.path()).unwrap();
        for path in [
            "boot/efi/EFI/acme/shimx64.efi",
            "boot/efi/EFI/acme/mmx64.efi",
            "boot/efi/EFI/acme/gcdx64.efi",
            "usr/share/grub/unicode.pf2",
        ] {
            build_root.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
            build_root.write(path, path).unwrap();
        }
        let options: Options = serde_json::from_value(json!({
            "product": {"name": "Acme", "version": "7"}, "isolabel": "ACME",
            "kernel": {"dir": "/images/pxeboot", "opts": ["a=b", "c"]},
            "architectures": ["X64"], "vendor": "acme", "fips": true, "troubleshooting": false,
            "custom": [{"name": "Mine $$1", "linux": "${kernelpath} ${root} x", "initrd": "${initrdpath}"}],
            "config": {"timeout": 5, "default": 1},
        }))
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        install(&tree, &options, &build_root).unwrap();
        assert_eq!(
            tree.read_text("EFI/BOOT/BOOTX64.EFI").unwrap(),
            "boot/efi/EFI/acme/shimx64.efi"
        );
        assert_eq!(
            tree.read_text("EFI/BOOT/grubx64.efi").unwrap(),
            "boot/efi/EFI/acme/gcdx64.efi"
        );
        let class = "--class fedora --class gnu-linux --class gnu --class os";
        let entry = |title: &str, more: &str| {
            format!(
                "menuentry '{title}' {class} {{\n\tlinux /images/pxeboot/vmlinuz a=b c {more}\n\t\
                 initrd /images/pxeboot/initrd.img\n}}"
            )
        };
        let expected = [
            "set default=\"1\"\n\nfunction load_video {\n  insmod efi_gop\n  insmod efi_uga\n  insmod video_bochs\n  \
             insmod video_cirrus\n  insmod all_video\n}\n\nload_video\nset gfxpayload=keep\ninsmod gzio\n\
             insmod part_gpt\ninsmod ext2\n\nset timeout=5\n### END /etc/grub.d/00_header ###\n\n\
             search --no-floppy --set=root -l 'ACME'\n\n\n",
            &entry("Mine $1", "x"),
            "\n\n",
            &entry("Install Acme 7", "quiet"),
            "\n\n",
            &entry("Test this media & install Acme 7", "rd.live.check quiet"),
            "\n\n",
            &entry("Install Acme 7 in FIPS mode", "quiet fips=1"),
            "\n\n\n",
        ]
        .concat();
        assert_eq!(tree.read_text("EFI/BOOT/grub.cfg").unwrap(), expected);
        assert!(
            install(&tree, &options, &build_root).is_err(),
            "it is there already"
        );
    }
}
