//! What a user has outside the database: a home directory, ssh keys, a mailbox.

use std::path::{Path, PathBuf};

use module::{Result, Tree};
use rustix::fs::OFlags;
use tree::Kind;

use super::{Defaults, User};

const OPEN_NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL);

/// Makes the home directory from the skeleton, unless it is there.
pub fn make_home(tree: &Tree, defaults: &Defaults, user: &User) -> Result<()> {
    let home = Path::new(&user.home);
    if tree.stat_followed(home)?.is_some() {
        println!("{} is there already: it stays as it is", user.home);
        return Ok(());
    }
    if let Some(parent) = home.parent() {
        tree.mkdir_all(parent)?;
    }
    tree.mkdir(home, 0o700)?;
    tree.chown(home, Some(user.uid), Some(user.gid))?;
    let skeleton = defaults.useradd_setting("SKEL", "/etc/skel");
    let sources = [defaults.useradd_setting("USRSKEL", "/usr/etc/skel"), skeleton];
    for source in sources {
        if tree.is_dir(source) {
            copy(tree, Path::new(source), home, user, &[(source, &user.home)])?;
        }
    }
    Ok(tree.chmod(home, defaults.home_mode())?)
}

/// Copies the entries of a directory, all of them for `user`; modes and times stay.
fn copy(tree: &Tree, from: &Path, to: &Path, user: &User, moved: &[(&str, &str)]) -> Result<()> {
    for name in tree.list(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        let Some(stat) = tree.stat(&source)? else { continue };
        if tree.exists(&target) && stat.kind != Kind::Directory {
            tree.remove_all(&target)?;
        }
        match stat.kind {
            Kind::Directory => {
                if !tree.is_dir(&target) {
                    tree.mkdir(&target, 0o700)?;
                }
                copy(tree, &source, &target, user, moved)?;
            }
            Kind::Symlink => tree.symlink(relocated(tree.read_link(&source)?, moved), &target)?,
            Kind::File => {
                let mut file = std::fs::File::from(tree.open_at(&target, OPEN_NEW, 0o600)?);
                std::io::copy(&mut tree.open_file(&source)?, &mut file)?;
            }
            _ => continue,
        }
        tree.chown(&target, Some(user.uid), Some(user.gid))?;
        if stat.kind != Kind::Symlink {
            tree.chmod(&target, stat.mode)?;
        }
        tree.set_mtime(&target, stat.mtime.0, stat.mtime.1)?;
    }
    Ok(())
}

/// A link into the skeleton leads into the home directory instead.
fn relocated(link: PathBuf, moved: &[(&str, &str)]) -> PathBuf {
    let below = |(from, to): &(&str, &str)| Some(Path::new(to).join(link.strip_prefix(from).ok()?));
    moved.iter().find_map(below).unwrap_or(link)
}

/// Adds lines to the user's `.ssh/authorized_keys`.
pub fn add_keys<'k>(tree: &Tree, user: &User, keys: impl Iterator<Item = &'k str>) -> Result<()> {
    let dir = Path::new(&user.home).join(".ssh");
    let file = dir.join("authorized_keys");
    if !tree.exists(&dir) {
        tree.mkdir(&dir, 0o700)?;
        tree.chown(&dir, Some(user.uid), Some(user.gid))?;
    }
    let mut text = if tree.is_file(&file) {
        tree.read(&file)?
    } else {
        Vec::new()
    };
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    for key in keys {
        text.extend_from_slice(key.as_bytes());
        text.push(b'\n');
    }
    if !tree.exists(&file) {
        tree.open_at(&file, OPEN_NEW, 0o600)?;
    }
    tree.write(&file, text)?;
    // sshd takes no keys from a file that others can write
    tree.chown(&file, Some(user.uid), Some(user.gid))?;
    Ok(tree.chmod(&file, 0o600)?)
}

/// Makes an empty mailbox where the tree's settings want one and there is a place for it.
pub fn make_mail_spool(tree: &Tree, defaults: &Defaults, user: &User, mail: Option<u32>) -> Result<()> {
    let wanted = defaults.useradd_setting("CREATE_MAIL_SPOOL", "no");
    let dir = Path::new(defaults.mail_dir());
    let file = dir.join(&user.name);
    if !wanted.eq_ignore_ascii_case("yes") || !tree.is_dir(dir) || tree.exists(&file) {
        return Ok(());
    }
    tree.open_at(&file, OPEN_NEW, 0o600)?;
    tree.chown(&file, Some(user.uid), Some(mail.unwrap_or(user.gid)))?;
    Ok(tree.chmod(&file, if mail.is_some() { 0o660 } else { 0o600 })?)
}

/// Gives what the old group had below `path` to the new one.
pub fn change_group(tree: &Tree, path: &str, old: u32, new: u32) -> Result<()> {
    let Some(stat) = tree.stat(path)? else {
        return Ok(());
    };
    if stat.kind == Kind::Directory {
        for name in tree.list(path)? {
            change_group(tree, &format!("{path}/{}", name.to_string_lossy()), old, new)?;
        }
    }
    if stat.gid == old {
        tree.chown(path, None, Some(new))?;
    }
    Ok(())
}
