//! What the assemblers of disks share: how options are read and where the disk is composed.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use archive::compress::{self, Settings};
use image::SparseFile;
use image::disk::{self, compose};
use image::file_system::Kind;
use image::format::{self, Format, Identity};
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

/// Reads the UUID of a file system; that of a FAT file system may be its volume id, such as `7B77-95E7`.
pub fn file_system_uuid(kind: Kind, text: &str) -> Result<Uuid> {
    let digits = text.replace('-', "");
    if kind == Kind::Fat && digits.len() <= 8 {
        let id = u32::from_str_radix(&digits, 16).with_context(|| format!("`{text}` is no volume id"))?;
        return Ok(Uuid::from_fields(id, 0, 0, &[0; 8]));
    }
    Uuid::parse_str(text).with_context(|| format!("`{text}` is not a UUID"))
}

/// Makes the file `name`, which must be a plain name, in the output directory, to be read and written.
pub fn create(output: &Tree, name: &str) -> Result<File> {
    use rustix::fs::OFlags;
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    ensure!(plain, "filename: `{name}` is not a plain file name");
    let fd = output.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o644)?;
    Ok(fd.into())
}

/// What becomes of a composed disk.
#[derive(Debug, Clone)]
pub enum Form {
    /// The disk as it is, which may be compressed.
    Raw(Settings),
    In(Format),
}

/// Makes the file `name` in this form of the disk that `compose` makes in an empty file.
pub fn make(
    output: &Tree,
    name: &str,
    form: &Form,
    identity: Identity,
    compose: impl FnOnce(File) -> Result<SparseFile>,
) -> Result<()> {
    match form {
        Form::Raw(Settings {
            compression: None, ..
        }) => compose(create(output, name)?).map(drop),
        Form::Raw(settings) => {
            let result = create(output, name)?;
            let disk = compose(scratch(output)?)?;
            compress::write(result, *settings, |out| copy(&disk, out)).context("cannot compress the image")
        }
        Form::In(format) => {
            let mut first = Some(create(output, name)?);
            let disk = compose(scratch(output)?)?;
            let mut create = |path: &Path| match first.take() {
                Some(file) if path == Path::new(name) => Ok(file),
                _ => Ok(output.create_file(path)?),
            };
            Ok(format::write(
                &disk,
                Path::new(name),
                format,
                identity,
                &mut create,
            )?)
        }
    }
}

fn copy(disk: &SparseFile, to: &mut dyn Write) -> Result<()> {
    // in longer pieces the page cache takes memory that was not in use, which costs more
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    while at < disk.size() {
        let length = (disk.size() - at).min(buffer.len() as u64) as usize;
        disk.read(&mut buffer[..length], at)?;
        to.write_all(&buffer[..length])?;
        at += length as u64;
    }
    Ok(())
}

/// A file without a name on the disk that holds the output: it vanishes however this process ends.
pub fn scratch(output: &Tree) -> Result<File> {
    let name = ".scratch";
    let file = create(output, name)?;
    output.remove_file(name)?;
    Ok(file)
}

/// What the assemblers of disks that boot by BIOS and by UEFI are told.
#[derive(Debug)]
pub struct Bootable<'a> {
    pub filename: &'a str,
    pub root_fs_uuid: &'a str,
    pub ptuuid: Option<&'a str>,
    pub size: Option<&'a Size>,
}

impl Bootable<'_> {
    /// Makes the disk in this form.
    pub fn make<O>(&self, args: &Args<O>, form: &Form) -> Result<()> {
        make(args.output()?, self.filename, form, Identity::default(), |file| {
            let root_uuid = uuid(self.root_fs_uuid, "root_fs_uuid")?;
            let options = disk::Options {
                size: self.size.map(Size::bytes).transpose().context("size")?,
                disk_guid: match self.ptuuid {
                    Some(text) => uuid(text, "ptuuid")?,
                    None => Uuid::new_v5(&root_uuid, b"partition table"),
                },
                root_uuid,
                epoch: epoch(args)?,
            };
            Ok(compose(file, &args.tree, &options)?)
        })
    }
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
