//! What the assemblers of disks share: how options are read and where the disk is composed.

use std::fs::File;

use image::SparseFile;
use image::disk::{self, compose};
use module::{Args, Context, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

/// What the peers' schemas demand of a UUID.
pub const UUID_PATTERN: &str = "^[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}$";

/// A number of bytes, or a text such as `10 GiB`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    Bytes(#[schemars(extend("multipleOf" = 512))] u64),
    Text(#[schemars(extend("pattern" = "^[0-9]+([.][0-9]+)? *([KMGTkmgt]i?)?[Bb]?$"))] String),
}

impl Size {
    /// The size in bytes, a multiple of 512.
    pub fn bytes(&self) -> Result<u64> {
        let bytes = match self {
            Self::Bytes(bytes) => *bytes,
            Self::Text(text) => image::size::parse(text)?,
        };
        ensure!(bytes % 512 == 0, "the size {bytes} is not a multiple of 512");
        Ok(bytes)
    }
}

/// The time that stands for now, where the pipeline gives one.
pub fn epoch<O>(args: &Args<O>) -> Result<Option<i64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Ok(Some(text.parse().context("SOURCE_DATE_EPOCH")?)),
        Err(_) => Ok(args.meta.source_epoch),
    }
}

/// Reads the UUID given as the option `name`.
pub fn uuid(text: &str, name: &str) -> Result<Uuid> {
    Uuid::parse_str(text).with_context(|| format!("{name}: `{text}` is not a UUID"))
}

/// Makes the file `name`, which must be a plain name, in the output directory, to be read and written.
pub fn create(output: &Tree, name: &str) -> Result<File> {
    use rustix::fs::OFlags;
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    ensure!(plain, "filename: `{name}` is not a plain file name");
    let fd = output.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o644)?;
    Ok(fd.into())
}

/// A file without a name on the disk that holds the output: it vanishes however this process ends.
pub fn scratch(output: &Tree) -> Result<File> {
    let name = ".scratch";
    let file = create(output, name)?;
    output.remove_file(name)?;
    Ok(file)
}

/// Composes the disk of an assembler in `file`.
pub fn compose_disk<O>(
    args: &Args<O>,
    file: File,
    root_fs_uuid: &str,
    ptuuid: Option<&str>,
    size: Option<&Size>,
) -> Result<SparseFile> {
    let root_uuid = uuid(root_fs_uuid, "root_fs_uuid")?;
    let options = disk::Options {
        size: size.map(Size::bytes).transpose().context("size")?,
        disk_guid: match ptuuid {
            Some(text) => uuid(text, "ptuuid")?,
            None => Uuid::new_v5(&root_uuid, b"partition table"),
        },
        root_uuid,
        epoch: epoch(args)?,
    };
    Ok(compose(file, &args.tree, &options)?)
}

/// What the tests of the disks' assemblers share.
#[cfg(test)]
pub mod test {
    use std::path::Path;

    use module::{Module, Result, Tree};
    use serde_json::Value;

    /// A tree with something for each partition.
    pub fn sample(dir: &Path) -> Tree {
        let tree = Tree::open(dir).unwrap();
        tree.mkdir_all("boot/efi/EFI/BOOT").unwrap();
        tree.write("boot/efi/EFI/BOOT/grub.cfg", "configfile").unwrap();
        tree.mkdir_all("boot/grub/i386-pc").unwrap();
        let mut boot = [1; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        tree.write("boot/grub/i386-pc/boot.img", boot).unwrap();
        tree.write("boot/grub/i386-pc/core.img", [2; 30_000]).unwrap();
        tree.mkdir_all("etc").unwrap();
        for n in 0..50 {
            tree.write(format!("etc/{n}"), format!("{n}\n").repeat(n * 100))
                .unwrap();
        }
        tree
    }

    /// Runs an assembler on `tree`; the directory returned has its files.
    pub fn run_on(module: &Module, tree: &Tree, options: Value) -> Result<tempfile::TempDir> {
        let output = tempfile::tempdir()?;
        let document = serde_json::json!({
            "tree": tree.path(), "output_dir": output.path(), "options": options,
            "meta": {"source-epoch": 1_700_000_000},
        });
        // in a thread of its own, as a directory that it hides stays hidden from the thread
        let run = std::thread::scope(|scope| scope.spawn(|| (module.run)(document)).join());
        run.unwrap()?;
        let left: Vec<_> = std::fs::read_dir(output.path())?.collect();
        assert_eq!(left.len(), 1, "more than the one file is left");
        Ok(output)
    }

    /// Whether a tool that the test asks is not installed; says so.
    pub fn missing_tool(name: &str) -> bool {
        let missing = std::process::Command::new(name).arg("-V").output().is_err();
        if missing {
            println!("skipped: {name} is not installed");
        }
        missing
    }
}
