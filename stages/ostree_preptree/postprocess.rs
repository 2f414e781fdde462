//! What `rpm-ostree compose postprocess` does to a tree that is to be committed, for build roots without it, such as
//! Debian's.
//!
//! ```text
//! /boot/vmlinuz-VERSION                        -> /usr/lib/modules/VERSION/vmlinuz
//! /boot/initrd.img-VERSION, initramfs-VERSION.img -> /usr/lib/modules/VERSION/initramfs.img
//! /boot/config-VERSION, System.map-VERSION     -> /usr/lib/modules/VERSION/config, System.map
//! /var/lib/dpkg                                -> /usr/lib/sysimage/dpkg, and a link to it
//! /var/...     directories and links           -> lines of /usr/lib/tmpfiles.d: a commit has nothing below /var
//! /usr/local                                   -> a link to /var/usrlocal
//! ```

use std::path::Path;

use module::{Result, Tree, ensure};
use tree::Kind;

const MODULES: &str = "usr/lib/modules";
/// ostree(1): names of a kernel's files beside its modules.
const NAMES: [(&str, &str, &str); 5] = [
    ("vmlinuz-", "", "vmlinuz"),
    ("initrd.img-", "", "initramfs.img"),
    ("initramfs-", ".img", "initramfs.img"),
    ("config-", "", "config"),
    ("System.map-", "", "System.map"),
];
const PACKAGES: &str = "usr/lib/sysimage/dpkg";
const TMPFILES: &str = "usr/lib/tmpfiles.d";

/// What the links in the root lead to, and the directories that Debian has in `/usr/local`.
const PLACES: &str = "\
d /var/home 0755 root root -
d /var/mnt 0755 root root -
d /var/opt 0755 root root -
d /var/roothome 0700 root root -
d /var/srv 0755 root root -
d /var/usrlocal 0755 root root -
d /var/usrlocal/bin 0755 root root -
d /var/usrlocal/etc 0755 root root -
d /var/usrlocal/lib 0755 root root -
d /var/usrlocal/sbin 0755 root root -
d /var/usrlocal/share 0755 root root -
d /run/media 0755 root root -
";

/// Does it, on a tree that has its new root already.
pub fn run(tree: &Tree) -> Result<()> {
    kernels(tree)?;
    local(tree)?;
    if tree.exists("usr/etc/machine-id") {
        // each machine gets one of its own
        tree.write("usr/etc/machine-id", "")?;
    }
    tree.mkdir_all(TMPFILES)?;
    tree.write(format!("{TMPFILES}/ostree-0-places.conf"), PLACES)?;
    let lines = var(tree)?;
    Ok(tree.write(format!("{TMPFILES}/ostree-1-var.conf"), lines)?)
}

/// Moves each kernel to its modules, and empties `/boot`.
fn kernels(tree: &Tree) -> Result<()> {
    let names = match tree.is_dir("boot") {
        true => tree.list("boot")?,
        false => Vec::new(),
    };
    for name in names.iter().filter_map(|name| name.to_str()) {
        let of_kernel = NAMES.iter().find_map(|(before, after, new)| {
            let version = name.strip_prefix(before)?.strip_suffix(after)?;
            Some((version, new))
        });
        let Some((version, new)) = of_kernel else { continue };
        let modules = format!("{MODULES}/{version}");
        ensure!(
            tree.is_dir(&modules),
            "/boot/{name}: the kernel's modules are not in /{modules}"
        );
        println!("/boot/{name} becomes /{modules}/{new}");
        tree.rename(format!("boot/{name}"), format!("{modules}/{new}"))?;
    }
    tree.remove_all("boot")?;
    Ok(tree.mkdir("boot", 0o755)?)
}

fn local(tree: &Tree) -> Result<()> {
    tree.remove_all("usr/local")?;
    Ok(tree.symlink("../var/usrlocal", "usr/local")?)
}

/// Empties `/var`: the lines that make its directories and links again.
fn var(tree: &Tree) -> Result<String> {
    let mut lines = String::new();
    if tree.is_dir("var/lib/dpkg") {
        tree.mkdir_all("usr/lib/sysimage")?;
        tree.rename("var/lib/dpkg", PACKAGES)?;
        tree.symlink(format!("../../{PACKAGES}"), "var/lib/dpkg")?;
    }
    let mut files = 0;
    below(tree, Path::new("var"), &mut lines, &mut files)?;
    if files > 0 {
        println!("{files} files below /var are left out");
    }
    tree.remove_all("var")?;
    tree.mkdir("var", 0o755)?;
    Ok(lines)
}

fn below(tree: &Tree, dir: &Path, lines: &mut String, files: &mut u32) -> Result<()> {
    let mut names = tree.list(dir)?;
    names.sort();
    for name in names {
        let path = dir.join(name);
        let Some(stat) = tree.stat(&path)? else { continue };
        // what is no text, or a specifier of tmpfiles.d(5), would need quotes
        let shown = path.display().to_string();
        let plain = !shown.contains(|c: char| c.is_whitespace() || "%\"'\\".contains(c));
        match stat.kind {
            Kind::Directory if plain => {
                *lines += &format!("d /{shown} {:04o} {} {} -\n", stat.mode, stat.uid, stat.gid);
                below(tree, &path, lines, files)?;
            }
            Kind::Symlink if plain => {
                let target = tree.read_link(&path)?;
                *lines += &format!("L /{shown} - - - - {}\n", target.display());
            }
            _ => *files += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_and_state_move_into_usr() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in [
            "boot/grub",
            "usr/lib/modules/6.1.0-1",
            "usr/etc",
            "usr/local/bin",
            "var/lib/dpkg",
            "var/log",
        ] {
            tree.mkdir_all(path).unwrap();
        }
        for (path, text) in [
            ("boot/vmlinuz-6.1.0-1", "kernel"),
            ("boot/initrd.img-6.1.0-1", "initrd"),
            ("usr/etc/machine-id", "0123\n"),
            ("var/lib/dpkg/status", "Package: x\n"),
            ("var/log/lost", "text"),
        ] {
            tree.write(path, text).unwrap();
        }
        tree.chmod("var/log", 0o2775).unwrap();
        tree.symlink("/run", "var/run").unwrap();
        run(&tree).unwrap();
        let modules = "usr/lib/modules/6.1.0-1";
        assert_eq!(tree.read_text(format!("{modules}/vmlinuz")).unwrap(), "kernel");
        assert_eq!(
            tree.read_text(format!("{modules}/initramfs.img")).unwrap(),
            "initrd"
        );
        assert!(tree.list("boot").unwrap().is_empty() && tree.list("var").unwrap().is_empty());
        assert_eq!(tree.read_text("usr/etc/machine-id").unwrap(), "");
        assert!(tree.is_file("usr/lib/sysimage/dpkg/status"));
        let owner = tree.stat("usr/lib/sysimage").unwrap().unwrap();
        let lines = tree.read_text("usr/lib/tmpfiles.d/ostree-1-var.conf").unwrap();
        let (uid, gid) = (owner.uid, owner.gid);
        assert_eq!(
            lines,
            format!(
                "d /var/lib 0755 {uid} {gid} -\nL /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg\n\
                 d /var/log 2775 {uid} {gid} -\nL /var/run - - - - /run\n"
            )
        );
    }

    #[test]
    fn a_kernel_without_modules_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("boot").unwrap();
        tree.write("boot/vmlinuz-1", "").unwrap();
        let error = kernels(&tree).unwrap_err().to_string();
        assert!(error.contains("not in /usr/lib/modules/1"), "{error}");
    }
}
