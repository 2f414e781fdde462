//! Downloads: files named by their checksum.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::Digest;

use crate::Result;
use crate::list::names;

/// A download.
#[derive(Debug)]
pub(crate) struct Download {
    /// `ALGORITHM:DIGITS`.
    pub name: String,
    pub path: PathBuf,
}

/// The files in `sources` that are named by their checksums.
pub(crate) fn list(sources: &Path) -> Result<Vec<Download>> {
    let dir = sources.join("org.osbuild.files");
    let mut all: Vec<Download> = names(&dir)?
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .map(|name| Download {
            path: dir.join(&name),
            name,
        })
        .filter(|download| download.name.contains(':') && download.path.is_file())
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Whether a file's content is that of its name; `None` where the algorithm is not known.
pub(crate) fn is_intact(name: &str, path: &Path) -> std::io::Result<Option<bool>> {
    let Some((algorithm, digits)) = name.split_once(':') else {
        return Ok(None);
    };
    let file = File::open(path)?;
    let found = match algorithm {
        "md5" => hash::<md5::Md5>(file),
        "sha1" => hash::<sha1::Sha1>(file),
        "sha256" => hash::<sha2::Sha256>(file),
        "sha384" => hash::<sha2::Sha384>(file),
        "sha512" => hash::<sha2::Sha512>(file),
        _ => return Ok(None),
    }?;
    Ok(Some(found.eq_ignore_ascii_case(digits)))
}

fn hash<D: Digest>(mut file: File) -> std::io::Result<String> {
    let mut hash = D::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}
