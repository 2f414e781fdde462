//! The top of an empty tree: `/bin`, `/lib` and the like are links into `/usr` (merged /usr).

use archive::tar::{Kind, Reader};
use module::{Context, Result, Tree};

use super::archive::Deb;

/// The links every architecture has.
const LINKS: [&str; 3] = ["bin", "lib", "sbin"];

/// Makes the links that the package base-files does not bring itself (from Debian 13 and Ubuntu 24.04 on it does; then
/// it must be unpacked first). Links, or directories, that are there stay.
pub fn merge_usr(tree: &Tree, base_files: Option<&Deb>) -> Result<()> {
    if base_files.map(brings_links).transpose()? == Some(true) {
        return Ok(());
    }
    let architecture = base_files.map_or("", |deb| deb.control.architecture());
    for name in LINKS.iter().chain(libraries_of(architecture)) {
        if !tree.exists(name) {
            tree.mkdir_all(format!("usr/{name}"))?;
            tree.symlink(format!("usr/{name}"), name)?;
        }
    }
    Ok(())
}

/// The library directories of an architecture beside `/lib`: where its dynamic linker and its siblings' are found.
fn libraries_of(architecture: &str) -> &'static [&'static str] {
    match architecture {
        "amd64" => &["lib32", "lib64", "libx32"],
        "i386" => &["lib64", "libx32"],
        "mips64el" => &["lib32", "lib64", "libo32"],
        "ppc64el" => &["lib64"],
        "loong64" => &["lib64"],
        "s390x" => &["lib32"],
        _ => &[],
    }
}

fn brings_links(base_files: &Deb) -> Result<bool> {
    let mut reader = Reader::new(base_files.data()?);
    while let Some(entry) = reader
        .entry()
        .context("the data archive of base-files is damaged")?
    {
        let path = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
        if entry.kind == Kind::Symlink && path == b"bin" {
            return Ok(true);
        }
    }
    Ok(false)
}
