//! What the stages that make archives and images of an input share.

mod boot_image;
mod loaders;
mod medium;
mod menu;
mod output;
mod source;
mod virtual_size;

use std::fs::File;

use archive::compress::{Compression, Settings};
use module::{Args, Context, Result};

pub use crate::grub2::bls::{copy_file, copy_tree};
pub use boot_image::boot_image;
pub use loaders::{loaders, removable, vendor};
pub use medium::{Config, Kernel, Product};
pub use menu::{Custom, Menu};
pub use output::ToolOutput;
pub use source::source;
pub use virtual_size::virtual_size;

/// The text of these files, for the digests of the stages built on them.
pub const SOURCE: &str = concat!(
    include_str!("mod.rs"),
    include_str!("boot_image.rs"),
    include_str!("loaders.rs"),
    include_str!("medium.rs"),
    include_str!("menu.rs"),
    include_str!("output.rs"),
    include_str!("source.rs"),
    include_str!("virtual_size.rs"),
    include_str!("../grub2/bls.rs")
);

/// Compresses the only file of the input `file` to `filename` of the tree.
pub fn compress<O>(args: &Args<O>, filename: &str, compression: Compression, level: u32) -> Result<()> {
    let input = args.input("file")?.single_file().context("input `file`")?;
    let mut file = File::open(&input.path).with_context(|| format!("cannot open {}", input.name))?;
    let settings = Settings {
        compression: Some(compression),
        level: Some(level),
        size: Some(file.metadata()?.len()),
    };
    let output = args.tree.create_file(filename)?;
    archive::compress::write(output, settings, |out| -> archive::Result<()> {
        std::io::copy(&mut file, out)?;
        Ok(())
    })
    .with_context(|| format!("cannot compress {}", input.name))
}
