//! `qemu-img convert` as modules of the Python osbuild call it, done by our writers: `osbuild --stand-in qemu-img`.
//!
//! What is done here is exactly this, in any order of the options, of a raw disk:
//!
//! ```text
//! qemu-img convert [-f raw] -O qcow2 [-c] [-o compat=0.10|1.1] SOURCE TARGET
//! qemu-img convert [-f raw] -O vmdk [-c] [-o adapter_type=…,compat6,subformat=…] SOURCE TARGET
//! qemu-img convert [-f raw] -O vpc -o subformat=fixed|dynamic,force_size SOURCE TARGET
//! qemu-img convert [-f raw] -O vdi|vhdx SOURCE TARGET
//! ```
//!
//! Everything else (other commands, options and formats, a source that is no raw disk or no plain file) is for the build
//! root's own `qemu-img`, which then runs in this process with the same arguments.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use image::format::{self, Format, Identity};
use image::qcow2::{self, Compression};
use image::{SparseFile, vhd, vmdk};
use module::{Context, Result};
use serde_json::Value;
use uuid::Uuid;

/// What it is called as.
pub const NAME: &str = "qemu-img";

/// Where the executor puts what stands in for programs of the build root.
const TOOLS: &str = "/run/osbuild/tools";

/// Where programs are looked for if nothing says where.
const PATH: &str = "/usr/sbin:/usr/bin";

/// What the stage is told.
const ARGUMENTS: &str = "/run/osbuild/api/arguments";

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;

/// So much of a disk decides what it is taken for where nobody says.
const PROBED: usize = 512;

/// What files of other formats begin with, and what may begin a VMDK that is text.
const NOT_RAW: [&[u8]; 14] = [
    b"QFI\xfb",
    b"QED\0",
    b"COWD",
    b"KDMV",
    b"vhdxfile",
    b"conectix",
    b"LUKS",
    b"Witho",
    b"Bochs",
    b"#",
    b" ",
    b"\n",
    b"\r",
    b"version",
];

/// A VDI is told by this, behind a text.
const VDI: (usize, [u8; 4]) = (64, 0xbeda_107f_u32.to_le_bytes());

/// A call that is understood to the last word.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    format: String,
    compress: bool,
    /// Whether the source is said to be raw, so that nobody looks.
    is_raw: bool,
    /// The words of `-o`.
    options: Vec<String>,
    source: PathBuf,
    target: PathBuf,
}

/// Runs it with these arguments, of which the first is its name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.skip(1).collect();
    let Some((call, disk, format)) = ours(&args) else {
        return hand_on(&args);
    };
    match write(&call.target, &disk, &format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be done, where that is ours to do. Nothing was touched yet.
fn ours(args: &[OsString]) -> Option<(Call, SparseFile, Format)> {
    let call = Call::read(args)?;
    let file = File::open(&call.source).ok()?;
    if !file.metadata().ok()?.is_file() || !(call.is_raw || looks_raw(&call.source, &file)) {
        return None;
    }
    match std::fs::metadata(&call.target) {
        Ok(there) if !there.is_file() || is_same(&there, &file) => return None,
        _ => {}
    }
    let disk = SparseFile::open(file).ok()?;
    let format = call.format(disk.size())?;
    Some((call, disk, format))
}

impl Call {
    fn read(args: &[OsString]) -> Option<Self> {
        let mut words = args.iter();
        if words.next()? != "convert" {
            return None;
        }
        let (mut from, mut to, mut options, mut compress) = (None, None, None, false);
        let mut paths = Vec::new();
        let once = |place: &mut Option<String>, value: Option<&OsString>| {
            let value = value?.to_str()?.to_owned();
            place.replace(value).is_none().then_some(())
        };
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("-f") => once(&mut from, words.next())?,
                Some("-O") => once(&mut to, words.next())?,
                Some("-o") => once(&mut options, words.next())?,
                Some("-c") => compress = true,
                // anything else with a `-` is unknown, and what has no `/` in front may name a protocol
                _ => paths.push(Some(PathBuf::from(word)).filter(|path| path.is_absolute())?),
            }
        }
        let [source, target] = <[PathBuf; 2]>::try_from(paths).ok()?;
        Some(Self {
            format: to?,
            compress,
            is_raw: match from.as_deref() {
                None => false,
                Some("raw") => true,
                Some(_) => return None,
            },
            options: options.map_or_else(Vec::new, |text| text.split(',').map(str::to_owned).collect()),
            source,
            target,
        })
    }

    /// What becomes of a disk of this size.
    fn format(&self, size: u64) -> Option<Format> {
        // what is no multiple of it QEMU rounds up
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return None;
        }
        match (self.format.as_str(), self.compress) {
            ("qcow2", _) => self.qcow2(),
            ("vmdk", _) => self.vmdk(),
            // the others cannot be compressed: the real one says so
            ("vpc", false) if size.is_multiple_of(MIB) => self.vpc(),
            ("vdi", false) if self.options.is_empty() => Some(Format::Vdi),
            ("vhdx", false) if self.options.is_empty() => Some(Format::Vhdx),
            _ => None,
        }
    }

    fn qcow2(&self) -> Option<Format> {
        let version_2 = match self.options.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] | ["compat=1.1" | "compat=v3"] => false,
            ["compat=0.10" | "compat=v2"] => true,
            _ => return None,
        };
        Some(Format::Qcow2(qcow2::Options {
            compression: match self.compress {
                true => Compression::Zlib,
                false => Compression::None,
            },
            version_2,
            threads: 0,
        }))
    }

    fn vmdk(&self) -> Option<Format> {
        let (mut subformat, mut adapter, mut compat6) = (None, None, false);
        for word in &self.options {
            match word.split_once('=') {
                Some(("subformat", name)) if subformat.is_none() => {
                    use vmdk::Subformat::*;
                    let all = [
                        MonolithicSparse,
                        MonolithicFlat,
                        TwoGbMaxExtentSparse,
                        TwoGbMaxExtentFlat,
                        StreamOptimized,
                    ];
                    subformat = Some(all.into_iter().find(|one| one.name() == name)?);
                }
                Some(("adapter_type", name)) if adapter.is_none() => {
                    adapter = Some(match name {
                        "ide" => vmdk::Adapter::Ide,
                        "lsilogic" => vmdk::Adapter::LsiLogic,
                        "buslogic" => vmdk::Adapter::BusLogic,
                        "legacyESX" => vmdk::Adapter::LegacyEsx,
                        _ => return None,
                    });
                }
                None if word == "compat6" => compat6 = true,
                _ => return None,
            }
        }
        Some(Format::Vmdk {
            subformat: subformat.unwrap_or_default(),
            adapter: adapter.unwrap_or_default(),
            compat6,
        })
    }

    fn vpc(&self) -> Option<Format> {
        let kind = match self.options.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["subformat=fixed", "force_size"] => vhd::Kind::Fixed,
            ["subformat=dynamic", "force_size"] => vhd::Kind::Dynamic,
            _ => return None,
        };
        // of whole MiB already: the size stays as it is
        Some(Format::Vhd {
            kind,
            rounding: vhd::Rounding::Azure,
        })
    }
}

/// Whether nobody would take a disk for anything but a raw one.
fn looks_raw(path: &Path, file: &File) -> bool {
    let mut head = [0; PROBED];
    let Ok(length) = file.read_at(&mut head, 0) else {
        return false;
    };
    let head = &head[..length];
    let (at, vdi) = VDI;
    path.extension().is_none_or(|extension| extension != "dmg")
        && !NOT_RAW.iter().any(|start| head.starts_with(start))
        && head.get(at..at + vdi.len()) != Some(&vdi)
}

fn is_same(there: &std::fs::Metadata, file: &File) -> bool {
    let id = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().is_ok_and(|metadata| id(&metadata) == id(there))
}

fn write(target: &Path, disk: &SparseFile, format: &Format) -> Result<()> {
    let mut create = |name: &Path| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(name);
        file.map_err(|cause| image::Error::Io {
            operation: "create the image",
            cause,
        })
    };
    format::write(disk, target, format, identity(target), &mut create)
        .with_context(|| format!("cannot write {}", target.display()))
}

/// The same stage gives the same disk the same identity.
fn identity(target: &Path) -> Identity {
    let text = std::fs::read(ARGUMENTS).unwrap_or_default();
    let meta = serde_json::from_slice(&text).map_or(Value::Null, |mut all: Value| all["meta"].take());
    let stage = meta["id"].as_str().unwrap_or_default();
    let seed = format!("{stage} {}", target.display());
    Identity {
        uuid: Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()),
        time: meta["source-epoch"].as_i64(),
    }
}

/// Becomes the build root's program; returns only if there is none.
fn hand_on(args: &[OsString]) -> ExitCode {
    let path = std::env::var_os("PATH");
    let Some(program) = real(path.as_deref().unwrap_or(OsStr::new(PATH))) else {
        eprintln!(
            "{NAME}: the build root has none, and ours does not know: {}",
            said(args)
        );
        return ExitCode::from(127);
    };
    let error = Command::new(&program).arg0(NAME).args(args).exec();
    eprintln!("{NAME}: cannot run {}: {error}", program.display());
    ExitCode::from(126)
}

/// The first one that is not ours.
fn real(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|dir| dir != Path::new(TOOLS))
        .map(|dir| dir.join(NAME))
        .find(|program| program.is_file())
}

fn said(args: &[OsString]) -> String {
    let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Option<Call> {
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        Call::read(&words)
    }

    fn format(line: &str, size: u64) -> Option<String> {
        Some(format!("{:?}", call(line)?.format(size)?))
    }

    #[test]
    fn calls_of_the_python_osbuild_are_understood() {
        for (line, says) in [
            ("-O qcow2 -c", "Zlib"),
            ("-O qcow2", "None"),
            ("-c -f raw -O qcow2 -o compat=0.10", "version_2: true"),
            (
                "-O vmdk -c -o adapter_type=lsilogic,compat6,subformat=streamOptimized",
                "StreamOptimized",
            ),
            ("-O vmdk -c", "MonolithicSparse"),
            ("-O vpc -o subformat=fixed,force_size", "Fixed"),
            ("-O vdi", "Vdi"),
            ("-O vhdx", "Vhdx"),
        ] {
            let format = format(&format!("convert {line} /a /b"), 4 << 20);
            assert!(
                format.as_ref().is_some_and(|format| format.contains(says)),
                "{line}: {format:?}"
            );
        }
        let read = call("convert /a -O vdi /b").unwrap();
        assert_eq!((read.source, read.target), ("/a".into(), "/b".into()));
    }

    #[test]
    fn anything_else_is_the_real_ones() {
        for line in [
            "",
            "info /a",
            "--version",
            "convert /a /b",
            "convert -O qcow2 /a",
            "convert -O qcow2 /a /b /c",
            "convert -O qcow2 a /b",
            "convert -O qcow2 /a nbd:unix:/b",
            "convert -O qcow2 -m 8 /a /b",
            "convert -cO qcow2 /a /b",
            "convert -O qcow2 -p /a /b",
            "convert -f qcow2 -O qcow2 /a /b",
            "convert -O qcow2 -O vdi /a /b",
            "convert -O qcow2 -o compat=1.1,cluster_size=4096 /a /b",
            "convert -O qcow2 -o compression_type=zstd /a /b",
            "convert -O raw /a /b",
            "convert -O vdi -c /a /b",
            "convert -O vhdx -o subformat=fixed /a /b",
            "convert -O vmdk -o hwversion=7 /a /b",
            "convert -O vmdk -o subformat=other /a /b",
            "convert -O vpc -o subformat=fixed /a /b",
        ] {
            assert_eq!(format(line, 4 << 20), None, "{line}");
        }
        assert_eq!(format("convert -O qcow2 /a /b", 1000), None);
        let odd = MIB + SECTOR;
        assert_eq!(
            format("convert -O vpc -o subformat=fixed,force_size /a /b", odd),
            None
        );
    }

    #[test]
    fn what_may_be_of_another_format_is_not_taken_for_raw() {
        let dir = tempfile::tempdir().unwrap();
        let raw = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            looks_raw(&path, &File::open(&path).unwrap())
        };
        assert!(raw("a", &[0; 1024]));
        assert!(raw("a", b""));
        assert!(!raw("a", b"QFI\xfb\0\0\0\x03"));
        assert!(!raw("a", b"# Disk DescriptorFile\nversion=1\n"));
        assert!(!raw("a.dmg", &[0; 1024]));
        let mut vdi = [0; 1024];
        vdi[VDI.0..VDI.0 + 4].copy_from_slice(&VDI.1);
        assert!(!raw("a", &vdi));
    }

    #[test]
    fn the_real_one_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = std::env::join_paths([Path::new(TOOLS), dir.path()]).unwrap();
        assert_eq!(real(&path), None);
        std::fs::write(dir.path().join(NAME), "").unwrap();
        assert_eq!(real(&path), Some(dir.path().join(NAME)));
    }

    #[test]
    fn a_disk_is_converted_in_place_of_the_real_one() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let (raw, target) = (dir.path().join("raw"), dir.path().join("image"));
        std::fs::write(&raw, vec![7; 4 << 20]).unwrap();
        let words = ["qemu-img", "convert", "-O", "qcow2", "-c"].map(OsString::from);
        let all = || {
            words
                .clone()
                .into_iter()
                .chain([raw.clone().into(), target.clone().into()])
        };
        assert_eq!(main(all()), ExitCode::SUCCESS);
        let first = std::fs::read(&target).unwrap();
        assert!(first.starts_with(b"QFI\xfb") && first.len() < 1 << 20);
        assert_eq!(main(all()), ExitCode::SUCCESS, "what is there is overwritten");
        assert_eq!(std::fs::read(&target).unwrap(), first);
    }
}
