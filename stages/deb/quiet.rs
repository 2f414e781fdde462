//! What keeps packages from starting services and from doing work that is thrown away.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use module::{Context, Result, Tree};
use rustix::fs::OFlags;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use tree::Kind;

use super::dpkg::WORK;

/// Asked by invoke-rc.d and deb-systemd-invoke before they do anything with a service.
const POLICY: &str = "usr/sbin/policy-rc.d";
/// Where the tree's own one waits.
const POLICY_SAVED: &str = "usr/sbin/policy-rc.d.osbuild";
/// 101: the action is forbidden.
const POLICY_TEXT: &str = "#!/bin/sh\n# while osbuild installs packages\nexit 101\n";

const NOTHING: &str = "#!/bin/sh\nexit 0\n";
/// Notes calls that make or update one: the initramfs is made once, at the end, with all packages in place. The program
/// itself answers everything else.
const NOTE_INITRAMFS: &str = "#!/bin/sh\nfor word; do case $word in -c*|-u*)\n\
    echo \"$@\" >>/run/osbuild-deb/initramfs\n\
    echo 'update-initramfs: noted, it runs once when all packages are configured'\n\
    exit;; esac; done\nexec /run/osbuild-deb/real-update-initramfs \"$@\"\n";

/// Host keys are taken out of the tree again, since every machine makes its own: what takes time is left out.
const NO_HOST_KEY: &str = "#!/bin/sh\nfile= action= before=\nfor word; do\n\
    case $before$word in -f/etc/ssh/ssh_host_*) file=$word;; esac\n\
    case $word in -t|-l) action=$word;; esac\n\
    before=$word\ndone\n\
    case $file$action in\n\
    ?*-t) echo 'the machine makes one of its own' | tee \"$file\" >\"$file.pub\"; exit;;\n\
    ?*-l) exit;;\nesac\nexec /run/osbuild-deb/real-ssh-keygen \"$@\"\n";

/// Where [`NOTE_INITRAMFS`] writes.
pub const INITRAMFS_CALLS: &str = "run/osbuild-deb/initramfs";

/// Programs that do something else while packages are configured.
const STAND_INS: [(&str, &str); 5] = [
    // starts what has only an init script
    ("usr/sbin/start-stop-daemon", NOTHING),
    // its index is never the same twice, and a timer makes it on the running system
    ("usr/bin/mandb", NOTHING),
    // otherwise scripts look for the disks and the swap of the machine that builds
    ("usr/bin/ischroot", NOTHING),
    ("usr/sbin/update-initramfs", NOTE_INITRAMFS),
    ("usr/bin/ssh-keygen", NO_HOST_KEY),
];

/// Forbids services to be started. To be called again after packages were unpacked: one may bring a policy.
pub fn hold_services(tree: &Tree) -> Result<()> {
    if tree.exists(POLICY) && tree.read(POLICY)? != POLICY_TEXT.as_bytes() {
        tree.rename(POLICY, POLICY_SAVED)?;
    }
    tree.mkdir_all("usr/sbin")?;
    tree.write(POLICY, POLICY_TEXT)?;
    Ok(tree.chmod(POLICY, 0o755)?)
}

/// Undoes [`hold_services`].
pub fn release_services(tree: &Tree) -> Result<()> {
    match tree.exists(POLICY_SAVED) {
        true => tree.rename(POLICY_SAVED, POLICY)?,
        false => tree.remove_file(POLICY)?,
    }
    Ok(())
}

/// Runs `action` while the stand-ins are mounted over the programs they stand for. They have to be away while packages
/// are unpacked: a mounted file cannot be replaced.
pub fn with_stand_ins(tree: &Tree, action: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut mounts = Vec::new();
    for (path, script) in STAND_INS {
        if tree.stat(path)?.is_some_and(|st| st.kind == Kind::File) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let source = format!("{WORK}/stand-in-{name}");
            tree.write(&source, script)?;
            tree.chmod(&source, 0o755)?;
            // the program itself stays within reach
            let real = format!("{WORK}/real-{name}");
            tree.write(&real, "")?;
            mounts.push((path.to_owned(), real));
            mounts.push((source, path.to_owned()));
        }
    }
    with_mounts(tree, &mounts, action)
}

/// Runs `action` while files of the tree are mounted over others: source and target, one after another.
pub fn with_mounts(
    tree: &Tree,
    mounts: &[(String, String)],
    action: impl FnOnce() -> Result<()>,
) -> Result<()> {
    for (source, target) in mounts {
        bind(tree, source, target)?;
    }
    let result = action();
    for (_, target) in mounts {
        // opened again: that leads to what is mounted there
        let top = open(tree, target)?;
        unmount(by_descriptor(&top), UnmountFlags::DETACH)
            .with_context(|| format!("cannot unmount the stand-in on /{target} of the tree"))?;
    }
    result
}

fn bind(tree: &Tree, source: &str, target: &str) -> Result<()> {
    mount_bind(
        by_descriptor(&open(tree, source)?),
        by_descriptor(&open(tree, target)?),
    )
    .with_context(|| format!("cannot mount /{source} on /{target} of the tree"))
}

fn open(tree: &Tree, path: &str) -> Result<OwnedFd> {
    Ok(tree.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, 0)?)
}

/// A path that leads to an open descriptor, whatever links lie in the tree.
fn by_descriptor(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}
