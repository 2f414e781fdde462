//! The firmware of the machine.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// What starts the boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS, which comes with QEMU.
    Bios,
    /// OVMF.
    Uefi,
}

/// The files of OVMF: the program, and its variables as they are at first.
#[derive(Debug, Clone)]
pub struct Ovmf {
    pub code: PathBuf,
    pub variables: PathBuf,
}

/// Where Debian and Ubuntu (new and old), Fedora and Arch have them.
const PLACES: [(&str, &str); 5] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
    ),
];

impl Ovmf {
    /// Finds it on this machine.
    ///
    /// # Errors
    /// It is nowhere.
    pub fn find() -> Result<Self> {
        let pairs = PLACES.map(|(code, variables)| Self {
            code: code.into(),
            variables: variables.into(),
        });
        pairs
            .into_iter()
            .find(|pair| pair.code.exists() && pair.variables.exists())
            .context("there is no UEFI firmware on this machine: install the package ovmf")
    }
}
