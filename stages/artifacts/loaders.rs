//! UEFI boot loaders of the build root, as installation media and boot images have them.

use std::ffi::OsString;
use std::path::Path;

use module::{Context, Result, Tree, bail, ensure};

use super::copy_file;

/// Copies the shim, its key manager and GRUB of a vendor, a directory of `/boot/efi/EFI` of the build root, for each of the
/// architectures into the directory `dir` of the tree, and GRUB's font.
pub fn loaders(
    build_root: &Tree,
    vendor: &str,
    architectures: &[String],
    tree: &Tree,
    dir: &Path,
) -> Result<()> {
    let from = Path::new("boot/efi/EFI").join(vendor.trim_start_matches('/'));
    for architecture in architectures {
        let architecture = architecture.to_lowercase();
        let shim = format!("BOOT{}.EFI", architecture.to_uppercase());
        for (name, to) in [
            (format!("shim{architecture}.efi"), shim),
            (format!("mm{architecture}.efi"), format!("mm{architecture}.efi")),
            (
                format!("gcd{architecture}.efi"),
                format!("grub{architecture}.efi"),
            ),
        ] {
            copy_file(build_root, &from.join(name), tree, &dir.join(to))
                .context("a boot loader's package is missing in the build pipeline")?;
        }
    }
    tree.mkdir_all(dir.join("fonts"))?;
    let font = Path::new("usr/share/grub/unicode.pf2");
    copy_file(build_root, font, tree, &dir.join("fonts/unicode.pf2"))
        .context("GRUB's font is missing in the build pipeline")
}

/// Copies all boot loaders of `from` into the directory `EFI/BOOT` of the empty tree `to`, as removable media have them:
/// without what makes boot entries, and with shim under the name that firmware looks for alone.
pub fn removable(from: &Tree, to: &Tree) -> Result<()> {
    to.mkdir_all("EFI")?;
    for dir in sources(from)? {
        copy_all(from, &dir, to, Path::new("EFI"))?;
    }
    let vendor = Path::new("EFI").join(only_vendor(to, Path::new("EFI"))?);
    let boot = Path::new("EFI/BOOT");
    for (dir, first, last) in [
        (boot, "fb", ".efi"),
        (&vendor, "BOOT", ".CSV"),
        (&vendor, "shim", ".efi"),
    ] {
        let mut removed = 0;
        for name in to.list(dir)? {
            let text = name.to_string_lossy();
            if text.starts_with(first) && text.ends_with(last) {
                to.remove_file(dir.join(&name))?;
                removed += 1;
            }
        }
        ensure!(
            removed > 0,
            "there is no {first}*{last} in {} of the boot loaders",
            dir.display()
        );
    }
    // the shim looks for GRUB beside itself
    for name in to.list(&vendor)? {
        to.rename(vendor.join(&name), boot.join(&name))?;
    }
    Ok(to.remove_all(&vendor)?)
}

/// Whose boot loaders a tree has: the directory beside `BOOT`.
pub fn vendor(tree: &Tree) -> Result<OsString> {
    match &sources(tree)?[..] {
        [first, ..] => only_vendor(tree, first),
        [] => bail!("there are no UEFI boot loaders"),
    }
}

fn only_vendor(tree: &Tree, dir: &Path) -> Result<OsString> {
    let mut vendors = tree.list(dir)?;
    vendors.retain(|name| name != "BOOT");
    match &vendors[..] {
        [vendor] => Ok(vendor.clone()),
        _ => bail!("the boot loaders are not those of one vendor: {vendors:?}"),
    }
}

/// The directories with boot loaders: those of the packages of shim and GRUB, or what bootupd or an older system has.
fn sources(tree: &Tree) -> Result<Vec<std::path::PathBuf>> {
    let below = |dir: &Path| -> Result<Vec<_>> {
        let names = if tree.is_dir(dir) {
            tree.list(dir)?
        } else {
            Vec::new()
        };
        Ok(names.into_iter().map(|name| dir.join(name)).collect())
    };
    let mut found = Vec::new();
    for package in below(Path::new("usr/lib/efi"))? {
        for version in below(&package)? {
            found.extend(Some(version.join("EFI")).filter(|dir| tree.is_dir(dir)));
        }
    }
    match found.len() {
        0 => {}
        2 => return Ok(found),
        _ => bail!("/usr/lib/efi has not one version of shim and one of GRUB: {found:?}"),
    }
    for dir in ["usr/lib/bootupd/updates/EFI", "boot/efi/EFI"] {
        if tree.is_dir(dir) {
            return Ok(vec![dir.into()]);
        }
    }
    bail!("there are no UEFI boot loaders: add the packages of shim and GRUB to the build pipeline")
}

/// Merges a directory into another, links as what they lead to.
fn copy_all(from: &Tree, dir: &Path, to: &Tree, target: &Path) -> Result<()> {
    to.mkdir_all(target)?;
    for name in from.list(dir)? {
        let (path, target) = (dir.join(&name), target.join(&name));
        match from.is_dir(&path) {
            true => copy_all(from, &path, to, &target)?,
            false => to.write(&target, from.read(&path)?)?,
        }
    }
    Ok(())
}
