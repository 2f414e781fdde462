//! The distributions images are made of, and which of them this machine is.

use std::path::Path;

use crate::error::{Failure, Result, did_you_mean, nearest};

/// A release that can be built.
#[derive(Debug, PartialEq, Eq)]
pub struct Distro {
    /// As on the command line: `debian-12`.
    pub id: &'static str,
    /// For people: `Debian 12 (bookworm)`.
    pub title: &'static str,
    pub family: Family,
    /// The suite in its archive.
    pub codename: &'static str,
    /// The kernel for virtual machines.
    pub kernel: &'static str,
}

/// Releases that share an archive, a keyring and their habits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Debian,
    Ubuntu,
}

/// Every distribution, oldest first.
pub static DISTROS: &[Distro] = &[
    Distro {
        id: "debian-12",
        title: "Debian 12 (bookworm)",
        family: Family::Debian,
        codename: "bookworm",
        kernel: "linux-image-cloud-amd64",
    },
    Distro {
        id: "debian-13",
        title: "Debian 13 (trixie)",
        family: Family::Debian,
        codename: "trixie",
        kernel: "linux-image-cloud-amd64",
    },
    Distro {
        id: "ubuntu-24.04",
        title: "Ubuntu 24.04 (noble)",
        family: Family::Ubuntu,
        codename: "noble",
        kernel: "linux-image-virtual",
    },
];

impl Family {
    /// `ID` in os-release, and the id of its main repository in a manifest.
    pub fn id(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
        }
    }

    /// `Origin` in the Release files of its archive.
    pub fn origin(self) -> &'static str {
        match self {
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
        }
    }

    /// The parts its archive is divided into.
    pub fn components(self) -> &'static [&'static str] {
        match self {
            Self::Debian => &["main", "contrib", "non-free", "non-free-firmware"],
            Self::Ubuntu => &["main", "restricted", "universe", "multiverse"],
        }
    }

    /// The package with the keys of its archive.
    pub fn keyring_package(self) -> &'static str {
        match self {
            Self::Debian => "debian-archive-keyring",
            Self::Ubuntu => "ubuntu-keyring",
        }
    }

    /// Where that package puts the keys.
    pub fn keyring(self) -> &'static str {
        match self {
            Self::Debian => "/usr/share/keyrings/debian-archive-keyring.gpg",
            Self::Ubuntu => "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
        }
    }

    /// The id of a repository in manifests; the security updates may well come from elsewhere.
    pub fn repository_id(self, suite: &str) -> String {
        let security = suite.ends_with("-security");
        format!("{}{}", self.id(), if security { "-security" } else { "" })
    }
}

impl Distro {
    /// The distribution called `id`.
    pub fn find(id: &str) -> Result<&'static Self> {
        DISTROS.iter().find(|distro| distro.id == id).ok_or_else(|| {
            let ids: Vec<&str> = DISTROS.iter().map(|distro| distro.id).collect();
            Failure::input(format!("there is no distribution `{id}`")).hint(
                did_you_mean(&nearest(id, ids.iter().copied()))
                    .unwrap_or_else(|| format!("it is one of {}", ids.join(", "))),
            )
        })
    }

    /// The distribution of this machine.
    pub fn of_machine(machine: &Machine) -> Result<&'static Self> {
        let id = format!("{}-{}", machine.id, machine.version);
        DISTROS.iter().find(|distro| distro.id == id).ok_or_else(|| {
            Failure::input(format!(
                "this machine runs {}, which is none of the known distributions",
                if machine.id.is_empty() {
                    "something unknown"
                } else {
                    &id
                }
            ))
            .hint("say which one with `--distro`; `image-builder list` shows them")
        })
    }
}

/// What os-release says of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// `debian`
    pub id: String,
    /// `12`
    pub version: String,
    /// `bookworm`
    pub codename: String,
}

impl Machine {
    /// Reads `/etc/os-release` (or `/usr/lib/os-release`) below `root`; nothing is known where there is none.
    pub fn read(root: &Path) -> Self {
        let files = ["etc/os-release", "usr/lib/os-release"];
        let text = files
            .iter()
            .find_map(|file| std::fs::read_to_string(root.join(file)).ok());
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        Self {
            id: value("ID"),
            version: value("VERSION_ID"),
            codename: value("VERSION_CODENAME"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read() {
        let machine = Machine::parse("ID=ubuntu\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n");
        assert_eq!(Distro::of_machine(&machine).unwrap().id, "ubuntu-24.04");
        let other = Machine::parse("ID=fedora\nVERSION_ID=43\n");
        let failure = Distro::of_machine(&other).unwrap_err();
        assert!(failure.message.contains("fedora-43"), "{failure}");
    }

    #[test]
    fn a_misspelt_distribution_is_guessed() {
        let failure = Distro::find("debain-12").unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("did you mean `debian-12`?"));
        assert_eq!(failure.exit_code(), 2);
    }

    #[test]
    fn security_updates_have_an_id_of_their_own() {
        assert_eq!(Family::Debian.repository_id("trixie-updates"), "debian");
        assert_eq!(Family::Ubuntu.repository_id("noble-security"), "ubuntu-security");
    }
}
