//! The packages of Debian and Ubuntu that the tasks need, and what for.

/// A package and the reason for it.
pub(crate) type Package = (&'static str, &'static str);

/// To build the executables.
const BUILD: [Package; 2] = [
    ("gcc", "links, and compiles the C in zstd, xz and ring"),
    ("libc6-dev", "what is linked to, also statically"),
];

/// To make the sample image and start it.
const DEMO: [Package; 4] = [
    ("apt", "resolves the packages of the image"),
    ("ca-certificates", "repositories that are reached by https"),
    ("ovmf", "starts the image by UEFI"),
    ("qemu-system-x86", "starts the image"),
];

/// What the tests ask for a second opinion, or make their input with.
const TEST: [Package; 37] = [
    (
        "apt-utils",
        "apt-ftparchive: repositories for the resolver to read",
    ),
    ("attr", "extended attributes of what was unpacked"),
    ("acl", "access control lists of what was unpacked"),
    ("bzip2", "old archives"),
    ("cpio", "cpio archives"),
    ("createrepo-c", "repositories of RPM packages"),
    ("cryptsetup-bin", "encrypted volumes; veritysetup: hash trees"),
    ("diffutils", "says in what two trees differ"),
    ("dnf", "resolves RPM packages"),
    ("dosfstools", "fsck.fat: the EFI system partition is sound"),
    ("dpkg-dev", "makes packages to be installed"),
    (
        "e2fsprogs",
        "writes ext4 file systems; e2fsck and debugfs read them",
    ),
    ("erofs-utils", "erofs file systems"),
    ("fdisk", "sfdisk: partition tables are sound"),
    ("gdisk", "sgdisk: and by a second opinion"),
    ("gpg", "signs repositories"),
    ("grub-common", "grub-script-check: boot menus can be read"),
    ("grub-pc-bin", "boot blocks for a BIOS"),
    ("isolinux", "boots CD images on a BIOS machine"),
    ("libcap2-bin", "file capabilities of what was unpacked"),
    ("mtools", "reads FAT file systems"),
    ("ostree", "ostree fsck: commits are sound"),
    ("parted", "partition tables as it makes them"),
    (
        "passwd",
        "useradd: what the stages for users and groups stand for",
    ),
    ("qemu-utils", "qemu-img: images are sound"),
    ("rpm", "makes and installs RPM packages"),
    ("skopeo", "images of containers"),
    ("squashfs-tools", "squashfs file systems"),
    ("syslinux-common", "modules of ISOLINUX on a live medium"),
    (
        "systemd",
        "systemctl --root and systemd-tmpfiles: what the stages stand for",
    ),
    ("uidmap", "ranges of user ids"),
    ("umoci", "unpacks images of containers"),
    ("unzip", "zip archives"),
    ("util-linux", "setpriv: a virtual machine ends with its test"),
    ("xorriso", "CD images"),
    ("xz-utils", "compressed archives"),
    ("zstd", "compressed archives"),
];

/// What `cargo xtask demo` needs.
pub(crate) fn demo() -> Vec<Package> {
    [&BUILD[..], &DEMO].concat()
}

/// What `cargo xtask test` needs: the tests boot images too.
pub(crate) fn test() -> Vec<Package> {
    [&BUILD[..], &DEMO, &TEST].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_once_with_a_reason() {
        assert!(TEST.iter().all(|(name, why)| !name.is_empty() && !why.is_empty()));
        let mut names: Vec<_> = test().iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), test().len());
    }
}
