//! Whether an executable needs a dynamic loader, and the host's loader and libraries for one that does.
//!
//! Installed modules are static. One from a plain `cargo build` is not, and a build root need not have the C library it
//! was linked with: then it runs with the loader and libraries that this very process runs with.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Whether the ELF file at `path` names an interpreter.
pub(crate) fn is_dynamic(path: &Path) -> bool {
    interpreter(path).is_some()
}

/// The interpreter that the ELF file at `path` names (program header `PT_INTERP`, 64-bit little-endian layout).
pub(crate) fn interpreter(path: &Path) -> Option<PathBuf> {
    const PT_INTERP: u32 = 3;
    /// The kernel takes no longer path (`PATH_MAX`).
    const LONGEST: u64 = 4096;
    let file = File::open(path).ok()?;
    let mut head = [0u8; 64];
    file.read_exact_at(&mut head, 0).ok()?;
    if head.get(..4)? != b"\x7fELF" {
        return None;
    }
    let word = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let table = u64::from_le_bytes(head.get(32..40)?.try_into().ok()?);
    let (size, count) = (u64::from(word(54)?), u64::from(word(56)?));
    for index in 0..count {
        // type, flags, then the place and so on, each of eight bytes: the place is the second, its size the fifth
        let mut header = [0u8; 56];
        file.read_exact_at(&mut header, table.checked_add(index * size)?)
            .ok()?;
        let long = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        if u32::from_le_bytes(header.get(..4)?.try_into().ok()?) == PT_INTERP {
            let mut name = vec![0; usize::try_from(long(32)?.min(LONGEST)).ok()?];
            file.read_exact_at(&mut name, long(8)?).ok()?;
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            return Some(PathBuf::from(OsStr::from_bytes(&name[..end])));
        }
    }
    None
}

/// The loader and the shared libraries of this process; the loader first.
pub(crate) fn own_libraries() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths: BTreeSet<&Path> = maps
        .lines()
        .filter_map(|line| Some(Path::new(&line[line.find('/')?..])))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().contains(".so"))
        })
        .collect();
    let mut all: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
    // the mathematics library is one of those the modules may need and this process does not
    if let Some(dir) = all.first().and_then(|path| path.parent()) {
        let extra = ["libm.so.6", "libgcc_s.so.1"].map(|name| dir.join(name));
        all.extend(extra.into_iter().filter(|path| path.exists()));
    }
    all.sort_by_key(|path| !is_loader(path));
    all.dedup();
    all
}

/// Whether this is a dynamic loader.
pub(crate) fn is_loader(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("ld-"))
}
