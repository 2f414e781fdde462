//! One .deb file: its control file, and its content as a tar stream.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use archive::tar::{Kind, Reader};
use module::{Context, Result, bail, ensure};

use super::ar::{self, Member};
use super::control::Control;

/// A package file, looked into but not unpacked.
#[derive(Debug, Clone)]
pub struct Deb {
    /// Where the file lies.
    pub path: PathBuf,
    pub control: Control,
    /// When it was built, in seconds since 1970, as the file itself says.
    pub date: i64,
    control_archive: Member,
    data: Member,
}

/// A file of a package's control archive: a script, or a list for dpkg.
#[derive(Debug, Clone)]
pub struct ControlFile {
    pub name: String,
    /// The permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    pub content: Vec<u8>,
}

/// The compressed bytes of a member, uncompressed while they are read.
pub type Stream = Box<dyn Read + Send>;

/// A control file is a page of text; this is far more.
const MAX_CONTROL: u64 = 16 << 20;

impl Deb {
    /// Opens the package file `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let members = ar::members(&mut file)?;
        let first = members.first().context("the archive is empty")?;
        ensure!(
            first.name == "debian-binary" && version(&mut file, first)?.starts_with("2."),
            "not a .deb of format 2"
        );
        let find = |stem: &str| {
            let mut members = members.iter();
            members
                .find(|m| {
                    m.name
                        .strip_prefix(stem)
                        .is_some_and(|r| r.is_empty() || r.starts_with('.'))
                })
                .with_context(|| format!("the archive has no member {stem}"))
        };
        let control_archive = find("control.tar")?.clone();
        let control = uncompressed(path, &control_archive)?;
        Ok(Self {
            path: path.to_owned(),
            control: Control::parse(&control_file(control)?)?,
            date: first.mtime,
            control_archive,
            data: find("data.tar")?.clone(),
        })
    }

    /// The files of the package as a tar stream.
    pub fn data(&self) -> Result<Stream> {
        uncompressed(&self.path, &self.data)
    }

    /// All files of its control archive, in their order.
    pub fn control_files(&self) -> Result<Vec<ControlFile>> {
        let stream = uncompressed(&self.path, &self.control_archive)?;
        let mut reader = Reader::new(stream.take(MAX_CONTROL));
        let mut files = Vec::new();
        while let Some(entry) = reader.entry().context("its control archive is damaged")? {
            if entry.kind != Kind::File {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name);
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            ensure!(
                !name.is_empty() && name.chars().all(fits),
                "its control archive has a file `{name}`, which dpkg has no use for"
            );
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content)?;
            files.push(ControlFile {
                name: name.to_owned(),
                mode: entry.mode & 0o777,
                mtime: entry.mtime.0,
                content,
            });
        }
        Ok(files)
    }

    /// `NAME_VERSION_ARCH`, as the file would be called in an archive.
    pub fn label(&self) -> String {
        let control = &self.control;
        format!(
            "{}_{}_{}",
            control.package(),
            control.version(),
            control.architecture()
        )
    }
}

fn version(file: &mut File, member: &Member) -> Result<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(member.offset))?;
    file.take(member.size.min(16)).read_to_string(&mut text)?;
    Ok(text)
}

fn uncompressed(path: &Path, member: &Member) -> Result<Stream> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(member.offset))?;
    let bytes = BufReader::with_capacity(1 << 16, file.take(member.size));
    Ok(match member.name.rsplit_once(".tar") {
        Some((_, "")) => Box::new(bytes),
        Some((_, ".gz")) => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
        Some((_, ".xz")) => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(bytes)),
        Some((_, ".zst")) => Box::new(zstd::stream::read::Decoder::with_buffer(bytes)?),
        Some((_, ".bz2")) => Box::new(bzip2::bufread::MultiBzDecoder::new(bytes)),
        _ => bail!("the compression of its member `{}` is not known", member.name),
    })
}

/// The text of the file `control` in the control archive.
fn control_file(stream: Stream) -> Result<String> {
    let mut reader = Reader::new(stream.take(MAX_CONTROL));
    while let Some(entry) = reader.entry().context("its control archive is damaged")? {
        if matches!(entry.path.as_slice(), b"./control" | b"control") {
            let mut text = Vec::new();
            reader.content().read_to_end(&mut text)?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
    bail!("it has no control file")
}
