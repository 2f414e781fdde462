//! Make an ISO 9660 image of a tree, with Rock Ridge and Joliet names.
//!
//! Runs xorrisofs of the build root on the input `tree`. It boots by GRUB with `grub2mbr`, by Open Firmware with `chrp_boot`,
//! by ISOLINUX otherwise: `boot` is what a BIOS machine starts, `efi` what UEFI does. Files of 4 GiB and more need
//! `isolevel` 3. With a source epoch the image and all in it has that time, and its identifiers follow from it.

mod arguments;

use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts::{self, ToolOutput};

/// Options of `org.osbuild.xorrisofs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The image.
    filename: String,
    /// The volume's name.
    #[schemars(regex(pattern = "[A-Z0-9_-]{1,32}"))]
    volid: String,
    /// The system it is for.
    #[schemars(regex(pattern = "[A-Z0-9_-]{1,32}"))]
    sysid: Option<String>,
    /// Its publisher.
    #[schemars(regex(pattern = "^.{1,128}$"))]
    r#pub: Option<String>,
    /// What it contains.
    #[schemars(regex(pattern = "^.{1,128}$"))]
    appid: Option<String>,
    /// Who made it.
    #[schemars(regex(pattern = "^.{1,128}$"))]
    prep: Option<String>,
    /// What a BIOS machine starts.
    boot: Option<Boot>,
    /// What UEFI starts: an image of a FAT file system in the tree.
    efi: Option<String>,
    /// GRUB's master boot record in the build root, which makes it boot by GRUB.
    grub2mbr: Option<String>,
    /// ISOLINUX's master boot record in the build root, for media that are no disc.
    isohybridmbr: Option<String>,
    /// The level of ISO 9660: how large files and long names may be.
    #[schemars(range(min = 1, max = 4))]
    isolevel: Option<u8>,
    /// Paths that are left out.
    #[serde(default)]
    exclude: Vec<String>,
    /// Owners and permissions that suit everybody. Only with `chrp_boot`, as the next three.
    #[serde(default)]
    rational_rock: bool,
    /// Keep names as they are, also for readers that know ISO 9660 alone.
    #[serde(default)]
    untranslated_filenames: bool,
    /// Names of 31 characters for these readers.
    #[serde(default)]
    full_filenames: bool,
    /// The set of volumes it belongs to.
    #[schemars(regex(pattern = "^.{1,128}$"))]
    volset: Option<String>,
    /// Boot by Open Firmware; if it is there at all the other ways are off.
    #[schemars(default)]
    chrp_boot: Option<bool>,
}

/// What a BIOS machine starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Boot {
    /// The boot loader in the tree.
    image: String,
    /// Where the catalogue of boot loaders is put.
    catalog: String,
    /// Do not tell the boot loader where it lies.
    #[serde(default)]
    nobootinfo: bool,
}

module::stage! {
    file: "xorrisofs.rs", name: "org.osbuild.xorrisofs", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["tree"],
            "properties": {"tree": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [include_str!("xorrisofs/arguments.rs"), artifacts::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let tree = args.input("tree")?.tree()?;
    if let Some(mbr) = &options.grub2mbr {
        ensure!(
            options.chrp_boot.is_some() || std::path::Path::new(mbr).exists(),
            "options: grub2mbr: the build root has no {mbr}"
        );
    }
    let output = ToolOutput::new(&args.tree, &options.filename)?;
    let mut tool = Tool::new("/usr/bin/xorrisofs").dir(output.dir());
    if let Some(epoch) = args.meta.source_epoch {
        tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    tool.args(arguments::of(options, &tree)?)
        .args(times(args.meta.source_epoch))
        .args(["-o", &output.name()?])
        .arg(tree.path())
        .run()
        .with_context(|| format!("cannot write {}", options.filename))
}

/// Times of files in the image, which the environment's `SOURCE_DATE_EPOCH` leaves as the tree has them.
fn times(epoch: Option<i64>) -> Vec<String> {
    match epoch {
        Some(epoch) => vec!["--set_all_file_dates".into(), format!("={epoch}")],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
