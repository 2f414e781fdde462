//! What an image can be.

use clap::ValueEnum;

/// The form of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImageType {
    /// A disk for virtual machines, compressed; boots by BIOS and by UEFI
    Qcow2,
    /// A disk as it is; boots by BIOS and by UEFI
    Raw,
    /// The root file system as an archive, without kernel
    Tar,
    /// The root file system, with kernel, as an OSTree commit
    OstreeCommit,
}

impl ImageType {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Tar => "tar",
            Self::OstreeCommit => "ostree-commit",
        }
    }

    /// The assembler that makes it.
    pub fn assembler(self) -> &'static str {
        match self {
            Self::Qcow2 => "org.osbuild.qcow2",
            Self::Raw => "org.osbuild.raw",
            Self::Tar => "org.osbuild.tar",
            Self::OstreeCommit => "org.osbuild.ostree.commit.assembler",
        }
    }

    /// What the result is called in the output directory.
    pub fn filename(self) -> &'static str {
        match self {
            Self::Qcow2 => "disk.qcow2",
            Self::Raw => "disk.raw",
            Self::Tar => "root.tar.xz",
            Self::OstreeCommit => "repo",
        }
    }

    /// Whether it has partitions and a boot loader.
    pub fn is_disk(self) -> bool {
        matches!(self, Self::Qcow2 | Self::Raw)
    }

    /// Whether it has a kernel and an init system.
    pub fn boots(self) -> bool {
        self != Self::Tar
    }
}
