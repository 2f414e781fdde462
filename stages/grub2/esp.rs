//! The EFI system partition of a Debian tree, below `/boot/efi`.

use std::path::Path;

use module::Result;
use tree::Tree;

use super::Search;
use super::bls::copy_file;
use super::core_image::{Image, stub};

/// A processor's names in EFI.
#[derive(Debug, PartialEq, Eq)]
pub struct Cpu {
    /// GRUB's platform.
    pub platform: &'static str,
    /// The suffix of EFI programs, such as `x64`.
    suffix: &'static str,
    /// The package with GRUB's modules.
    pub package: &'static str,
}

/// The processors that Debian has GRUB for.
pub const CPUS: &[Cpu] = &[
    Cpu {
        platform: "x86_64-efi",
        suffix: "x64",
        package: "grub-efi-amd64-bin",
    },
    Cpu {
        platform: "arm64-efi",
        suffix: "aa64",
        package: "grub-efi-arm64-bin",
    },
    Cpu {
        platform: "i386-efi",
        suffix: "ia32",
        package: "grub-efi-ia32-bin",
    },
    Cpu {
        platform: "riscv64-efi",
        suffix: "riscv64",
        package: "grub-efi-riscv64-bin",
    },
];

/// Modules of an image made here, which boots without reading any of the others.
const MODULES: &[&str] = &[
    "normal",
    "configfile",
    "search",
    "linux",
    "all_video",
    "gzio",
    "loadenv",
    "test",
    "serial",
    "terminal",
    "echo",
    "reboot",
    "halt",
    "fwsetup",
    "chain",
];

/// The ESP of one image.
#[derive(Debug)]
pub struct Esp<'a> {
    pub tree: &'a Tree,
    /// The directories beside `EFI/BOOT` in which GRUB may look for its configuration: the distribution's id first.
    pub vendors: &'a [String],
    /// The file system with `/boot/grub`.
    pub boot: &'a Search,
    pub separate_boot: bool,
}

impl Cpu {
    /// Whether the tree has GRUB for this processor: its modules, or just a signed image.
    pub fn is_in(&self, tree: &Tree) -> bool {
        self.has_modules(tree) || tree.is_file(self.signed())
    }

    pub fn has_modules(&self, tree: &Tree) -> bool {
        tree.is_file(format!("usr/lib/grub/{}/moddep.lst", self.platform))
    }

    fn signed(&self) -> String {
        format!(
            "usr/lib/grub/{}-signed/grub{}.efi.signed",
            self.platform, self.suffix
        )
    }

    fn monolithic(&self) -> String {
        format!(
            "usr/lib/grub/{}/monolithic/grub{}.efi",
            self.platform, self.suffix
        )
    }

    /// The first of the names a shim program has had that the tree has.
    fn shim(&self, tree: &Tree, program: &str) -> Option<String> {
        ["efi.signed", "efi.signed.latest", "efi.dualsigned", "efi"]
            .iter()
            .map(|extension| format!("usr/lib/shim/{program}{}.{extension}", self.suffix))
            .find(|path| tree.is_file(path))
    }
}

impl Esp<'_> {
    /// Lays out the boot programs for `cpu`.
    pub fn install(&self, cpu: &Cpu) -> Result<()> {
        self.stubs()?;
        let loader = format!("BOOT{}.EFI", cpu.suffix.to_uppercase());
        let grub = format!("grub{}.efi", cpu.suffix);
        let signed = Some(cpu.signed()).filter(|path| self.tree.is_file(path));
        // an unsigned shim is no better than none
        let shim = cpu.shim(self.tree, "shim").filter(|path| !path.ends_with(".efi"));
        match (shim, signed) {
            (Some(shim), Some(signed)) => self.with_shim(cpu, &shim, &signed, &loader, &grub),
            (_, signed) => {
                let monolithic = Some(cpu.monolithic()).filter(|path| self.tree.is_file(path));
                match monolithic.or(signed) {
                    Some(image) => {
                        self.copy(&image, "BOOT", &loader)?;
                        self.copy(&image, &self.vendors[0], &grub)
                    }
                    None => self.make(cpu, &loader),
                }
            }
        }
    }

    /// Secure boot: the firmware trusts shim, shim trusts the distribution's GRUB beside it.
    fn with_shim(&self, cpu: &Cpu, shim: &str, signed: &str, loader: &str, grub: &str) -> Result<()> {
        let suffix = cpu.suffix;
        println!("UEFI: {loader} is shim, with the signed GRUB");
        self.copy(shim, "BOOT", loader)?;
        self.copy(shim, &self.vendors[0], &format!("shim{suffix}.efi"))?;
        // not shim's fallback program: it would add entries to the firmware and restart the machine
        for directory in ["BOOT", &self.vendors[0]] {
            self.copy(signed, directory, grub)?;
            if let Some(manager) = cpu.shim(self.tree, "mm") {
                self.copy(&manager, directory, &format!("mm{suffix}.efi"))?;
            }
        }
        Ok(())
    }

    /// An image of the modules, for trees with neither kind of ready-made one.
    fn make(&self, cpu: &Cpu, loader: &str) -> Result<()> {
        println!("UEFI: {loader} is made of the modules of {}", cpu.package);
        let image = Image {
            platform: cpu.platform,
            modules: MODULES,
            output: &format!("boot/efi/EFI/BOOT/{loader}"),
        };
        image.make(self.tree, self.boot, self.separate_boot)
    }

    /// The configurations of the ESP, each a way to `/boot/grub/grub.cfg`.
    fn stubs(&self) -> Result<()> {
        let directories = self.vendors.iter().map(String::as_str).chain(["BOOT"]);
        for directory in directories {
            let directory = Path::new("boot/efi/EFI").join(directory);
            self.tree.mkdir_all(&directory)?;
            self.tree
                .write(directory.join("grub.cfg"), stub(self.boot, self.separate_boot))?;
        }
        Ok(())
    }

    fn copy(&self, from: &str, directory: &str, name: &str) -> Result<()> {
        let to = Path::new("boot/efi/EFI").join(directory).join(name);
        copy_file(self.tree, Path::new(from), self.tree, &to)
    }
}
