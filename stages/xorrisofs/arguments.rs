//! The command line of xorrisofs, in the three shapes that boot loaders want.

use module::{Result, Tree, ensure};
use tree::Kind;

use super::{Boot, Options};

/// Partition types: the EFI system partition, and that of data which hides an ISO in an MBR.
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const BASIC_DATA: &str = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7";

/// All arguments but the output and the tree.
pub(super) fn of(options: &Options, tree: &Tree) -> Result<Vec<String>> {
    let mut line = Line(vec!["-verbose".into()]);
    match (options.chrp_boot, &options.grub2mbr) {
        (Some(chrp), _) => {
            ensure!(
                options.efi.as_deref().unwrap_or_default().is_empty(),
                "options: efi: an image for Open Firmware does not boot by UEFI"
            );
            line.add(&["-rock", "-joliet"]);
            line.names(options);
            line.open_firmware(options, chrp);
        }
        (None, Some(mbr)) => {
            line.add(&["-rock", "-joliet"]);
            line.names(options);
            line.grub(options, mbr, tree)?;
        }
        (None, None) => {
            line.names(options);
            line.isolinux(options);
        }
    }
    for path in &options.exclude {
        line.add(&["-exclude", path]);
    }
    Ok(line.0)
}

struct Line(Vec<String>);

impl Line {
    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    fn names(&mut self, options: &Options) {
        if let Some(level) = options.isolevel {
            self.add(&["-iso-level", &level.to_string()]);
        }
        self.add(&["-V", &options.volid]);
        for (option, value) in [
            ("-sysid", &options.sysid),
            ("-publisher", &options.r#pub),
            ("-appid", &options.appid),
            ("-preparer", &options.prep),
        ] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                self.add(&[option, value]);
            }
        }
    }

    fn open_firmware(&mut self, options: &Options, chrp: bool) {
        for (wanted, option) in [
            (options.rational_rock, "-rational-rock"),
            (options.untranslated_filenames, "-untranslated-filenames"),
            (options.full_filenames, "-full-iso9660-filenames"),
        ] {
            if wanted {
                self.add(&[option]);
            }
        }
        if let Some(set) = &options.volset {
            self.add(&["-volset", set, "-volset-size", "1", "-volset-seqno", "1"]);
        }
        if chrp {
            self.add(&["-chrp-boot"]);
        }
    }

    fn grub(&mut self, options: &Options, mbr: &str, tree: &Tree) -> Result<()> {
        self.add(&["--grub2-mbr", mbr]);
        let efi = options.efi.as_deref().filter(|efi| !efi.is_empty());
        if let Some(efi) = efi {
            let name = efi.trim_start_matches('/');
            let there = tree.stat(name)?.map(|stat| stat.kind);
            ensure!(
                there == Some(Kind::File),
                "options: efi: the tree has no file {efi}"
            );
            let path = tree.path().join(name).display().to_string();
            self.add(&["-partition_offset", "16", "-appended_part_as_gpt"]);
            self.add(&["-append_partition", "2", ESP, &path]);
        }
        self.add(&["-iso_mbr_part_type", BASIC_DATA]);
        if let Some(boot) = &options.boot {
            self.boot(boot);
            self.add(&["-no-emul-boot", "-boot-load-size", "4"]);
            if !boot.nobootinfo {
                self.add(&["-boot-info-table", "--grub2-boot-info"]);
            }
            if efi.is_some() {
                self.add(&[
                    "-eltorito-alt-boot",
                    "-e",
                    "--interval:appended_partition_2:all::",
                ]);
            }
        }
        self.add(&["-no-emul-boot"]);
        Ok(())
    }

    fn isolinux(&mut self, options: &Options) {
        let hybrid = options.isohybridmbr.as_deref().filter(|mbr| !mbr.is_empty());
        if let Some(mbr) = hybrid {
            self.add(&["-isohybrid-mbr", mbr]);
        }
        if let Some(boot) = &options.boot {
            self.boot(boot);
            self.add(&["-boot-load-size", "4"]);
            if !boot.nobootinfo {
                self.add(&["-boot-info-table"]);
            }
            self.add(&["-no-emul-boot"]);
        }
        self.add(&["-rock", "-joliet"]);
        if let Some(efi) = options.efi.as_deref().filter(|efi| !efi.is_empty()) {
            self.add(&["-eltorito-alt-boot", "-e", efi, "-no-emul-boot"]);
            if hybrid.is_some() {
                self.add(&["-isohybrid-gpt-basdat"]);
            }
        }
    }

    fn boot(&mut self, boot: &Boot) {
        self.add(&["-b", &boot.image, "-c", &boot.catalog, "--boot-catalog-hide"]);
    }
}
