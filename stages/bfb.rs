//! Make a boot stream for NVIDIA's BlueField cards.
//!
//! The ram disk in it is a FAT file system with the UEFI boot loaders of the build root, GRUB's menu, the kernel and the
//! initial ram disk, to which the input `rootfs` is appended if there is one. `mlx-mkbfb` of the build root puts it together
//! with the firmware there.

use std::fs::File;

use module::{Args, Context, Result, Tool, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts::{self, ToolOutput};
use crate::disk;

/// Options of `org.osbuild.bfb`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The boot stream.
    filename: String,
    /// Kernel parameters.
    #[schemars(extend("default" = ["console=hvc0", "console=ttyAMA0", "earlycon=pl011,0x13010000"]))]
    kernel_args: Option<Vec<String>>,
    /// The UEFI capsule that updates the firmware, in the build root.
    capsule: Option<String>,
    /// What UEFI boots.
    boot_path: Option<String>,
    /// What the boot entry is called.
    boot_desc: Option<String>,
}

module::stage! {
    file: "bfb.rs", name: "org.osbuild.bfb", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["kernel", "initramfs"],
            "properties": {
                "kernel": {"type": "object", "additionalProperties": true},
                "initramfs": {"type": "object", "additionalProperties": true},
                "rootfs": {"type": "object", "additionalProperties": true},
            },
        },
    },
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, artifacts::SOURCE, disk::SOURCE],
}

const MKBFB: &str = "/usr/bin/mlx-mkbfb";
const FIRMWARE: &str = "/lib/firmware/mellanox/boot/default.bfb";
const CAPSULE: &str = "/lib/firmware/mellanox/boot/capsule/boot_update2.cap";
/// The card's own ram disk, and the shim on it.
const BOOT_PATH: &str = "VenHw(F019E406-8C9C-11E5-8797-001ACA00BFC4)/EFI/BOOT/BOOTAA64.EFI";
const BOOT_DESC: &str = "Linux via EFI+GRUB";
/// The virtual console that the host sees, the management controller's, and the one of the first messages.
const KERNEL_ARGS: [&str; 3] = ["console=hvc0", "console=ttyAMA0", "earlycon=pl011,0x13010000"];

fn run(args: Args<Options>) -> Result<()> {
    make(&args, &Tree::open("/")?, MKBFB)
}

fn make(args: &Args<Options>, build_root: &Tree, mkbfb: &str) -> Result<()> {
    let options = &args.options;
    let output = ToolOutput::new(&args.tree, options.filename.trim_start_matches('/'))?;
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let boot = Tree::open(dir.path())?;
    artifacts::removable(build_root, &boot)?;
    boot.write("EFI/BOOT/grub.cfg", menu(options))?;
    append(args, "kernel", &boot, "EFI/BOOT/vmlinuz")?;
    append(args, "initramfs", &boot, "EFI/BOOT/initramfs.img")?;
    if args.inputs.contains_key("rootfs") {
        append(args, "rootfs", &boot, "EFI/BOOT/initramfs.img")?;
    }
    let ram_disk = tempfile::NamedTempFile::new_in("/var/tmp")?;
    artifacts::boot_image(args, &boot, ram_disk.reopen()?)?;
    let said = |option: &Option<String>, default: &str| format!("={}", option.as_deref().unwrap_or(default));
    Tool::new(mkbfb)
        .dir(output.dir())
        .arg("--ramdisk")
        .arg(ram_disk.path())
        .args(["--capsule", options.capsule.as_deref().unwrap_or(CAPSULE)])
        .args(["--boot-path", &said(&options.boot_path, BOOT_PATH)])
        .args(["--boot-desc", &said(&options.boot_desc, BOOT_DESC)])
        .args([FIRMWARE, &output.name()?])
        .run()
}

fn menu(options: &Options) -> String {
    let words = match &options.kernel_args {
        Some(words) => words.join(" "),
        None => KERNEL_ARGS.join(" "),
    };
    format!(
        "\nset timeout=5\nset default=0\n\nmenuentry \"RHCOS Live\" {{\n    linux /EFI/BOOT/vmlinuz {words}\n    \
         initrd /EFI/BOOT/initramfs.img\n}}\n"
    )
}

/// Appends the only file of an input to a file.
fn append(args: &Args<Options>, input: &str, to: &Tree, path: &str) -> Result<()> {
    let from = args.input(input)?.single_file();
    let from = from.with_context(|| format!("input `{input}`"))?;
    let mut source = File::open(&from.path).with_context(|| format!("cannot open {}", from.name))?;
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::APPEND;
    let mut file = File::from(to.open_at(path, flags, 0o644)?);
    let copied = std::io::copy(&mut source, &mut file);
    copied
        .with_context(|| format!("cannot copy {}", from.name))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use serde_json::json;

    use super::*;

    /// Oracle: mtools reads the ram disk; a script in the place of mlx-mkbfb keeps it and its arguments.
    #[test]
    fn the_ram_disk_boots_grub_with_kernel_and_both_initial_ram_disks() {
        if Command::new("mtype").arg("-V").output().is_err() {
            return println!("skipped: mtools is not installed");
        }
        let dir = tempfile::tempdir().unwrap();
        let root = Tree::open(dir.path()).unwrap();
        for (path, content) in [
            ("usr/lib/efi/shim/1/EFI/BOOT/BOOTAA64.EFI", "shim"),
            ("usr/lib/efi/shim/1/EFI/BOOT/fbaa64.efi", "fallback"),
            ("usr/lib/efi/shim/1/EFI/acme/BOOTAA64.CSV", "csv"),
            ("usr/lib/efi/shim/1/EFI/acme/shimaa64.efi", "shim"),
            ("usr/lib/efi/grub/2/EFI/acme/grubaa64.efi", "grub"),
            ("inputs/k", "kernel"),
            ("inputs/i", "one"),
            ("inputs/r", "two"),
        ] {
            root.mkdir_all(Path::new(path).parent().unwrap()).unwrap();
            root.write(path, content).unwrap();
        }
        root.write(
            "text",
            "#!/bin/sh\nfor last; do :; done\ncp \"$2\" \"$last\"\necho \"$@\" > \"$last.words\"\n",
        )
        .unwrap();
        let tool = dir.path().join("mkbfb");
        // not by us: what another test just starts has for a moment all that is open here, and a file that is open for
        // writing cannot be executed
        let mut install = Command::new("install");
        install.arg("-m755").args([&dir.path().join("text"), &tool]);
        assert!(install.status().unwrap().success());
        let input = |name: &str| json!({"path": dir.path().join("inputs"), "data": {"files": {name: {}}}});
        let out = tempfile::tempdir().unwrap();
        let document = json!({
            "tree": out.path(), "options": {"filename": "/o.bfb", "boot_desc": "mine", "kernel_args": ["a", "b=c"]},
            "inputs": {"kernel": input("k"), "initramfs": input("i"), "rootfs": input("r")},
            "meta": {"id": "a".repeat(64), "source-epoch": 1_700_000_000},
        });
        let make = || {
            make(
                &Args::from_json(document.clone()).unwrap(),
                &root,
                tool.to_str().unwrap(),
            )
            .unwrap()
        };
        make();
        let image = out.path().join("o.bfb");
        let first = std::fs::read(&image).unwrap();
        let read = |name: &str| {
            let output = Command::new("mtype")
                .arg("-i")
                .arg(&image)
                .arg(format!("::/EFI/BOOT/{name}"))
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert_eq!(read("initramfs.img"), "onetwo");
        assert_eq!(
            (read("vmlinuz"), read("BOOTAA64.EFI"), read("grubaa64.efi")),
            ("kernel".into(), "shim".into(), "grub".into())
        );
        assert!(read("grub.cfg").contains("linux /EFI/BOOT/vmlinuz a b=c\n"));
        assert_eq!(read("fbaa64.efi") + &read("shimaa64.efi"), "");
        let words = std::fs::read_to_string(out.path().join("o.bfb.words")).unwrap();
        assert!(words.contains(&format!(
            "--capsule {CAPSULE} --boot-path ={BOOT_PATH} --boot-desc =mine {FIRMWARE} ./o.bfb"
        )));
        make();
        assert!(std::fs::read(&image).unwrap() == first);
        root.remove_file("usr/lib/efi/shim/1/EFI/BOOT/fbaa64.efi")
            .unwrap();
        let args = Args::from_json(document.clone()).unwrap();
        let error = super::make(&args, &root, "none").unwrap_err();
        assert!(error.to_string().contains("there is no fb*.efi"), "{error}");
    }
}
