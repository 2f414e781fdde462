//! Boots an image in QEMU and talks to it over its first serial port.
//!
//! The processor is emulated (TCG): that works everywhere, and the same everywhere. The image stays as it is: what the
//! machine writes goes to a temporary file.

mod console;
mod firmware;
mod kernel;
mod machine;
mod plain;
mod slot;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

pub use console::Console;
pub use firmware::{Firmware, Ovmf};
pub use machine::{Answer, Machine};

/// From power on to the login prompt, on an emulated processor that others keep busy.
pub const LOGIN: Duration = Duration::from_secs(400);

/// What is booted, and how.
#[derive(Debug, Clone)]
pub struct Boot {
    pub image: PathBuf,
    /// `qcow2` or `raw`.
    pub format: String,
    pub firmware: Firmware,
    /// Raw images that are its further disks. They stay as they are, too.
    pub drives: Vec<PathBuf>,
    /// In MiB.
    pub memory: u32,
    pub cpus: u32,
    /// Ports of the host that lead to ports of the machine. Without any the machine has a network that leads nowhere.
    pub forward: Vec<(u16, u16)>,
    /// Print the console's lines as they come.
    pub echo: bool,
}

impl Boot {
    /// By BIOS, the format by the file's name.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        let image = image.into();
        let raw = (image.extension()).is_some_and(|ext| ext == "raw" || ext == "img" || ext == "iso");
        Self {
            image,
            format: if raw { "raw" } else { "qcow2" }.to_owned(),
            firmware: Firmware::Bios,
            drives: Vec::new(),
            memory: 1024,
            cpus: 2,
            forward: Vec::new(),
            echo: false,
        }
    }

    /// By UEFI.
    #[must_use]
    pub fn uefi(mut self) -> Self {
        self.firmware = Firmware::Uefi;
        self
    }

    /// The arguments of `qemu-system-x86_64`, but for the console.
    ///
    /// # Errors
    /// There is no firmware of that kind on this machine.
    pub fn arguments(&self) -> Result<Vec<String>> {
        let mut args: Vec<String> = Vec::new();
        let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
        add("-machine", "q35".into());
        add("-accel", "tcg,thread=multi".into());
        // what the distributions of today ask for (x86-64-v2), the same on every version of QEMU
        add("-cpu", "Nehalem".into());
        add("-smp", self.cpus.to_string());
        add("-m", self.memory.to_string());
        if self.firmware == Firmware::Uefi {
            let ovmf = Ovmf::find()?;
            let pflash = "if=pflash,format=raw,unit=";
            add(
                "-drive",
                format!("{pflash}0,readonly=on,file={}", value(&ovmf.code)),
            );
            add(
                "-drive",
                format!("{pflash}1,snapshot=on,file={}", value(&ovmf.variables)),
            );
        }
        let image = value(&self.image);
        add(
            "-drive",
            format!("if=virtio,format={},snapshot=on,file={image}", self.format),
        );
        for drive in &self.drives {
            let drive = value(drive);
            add("-drive", format!("if=virtio,format=raw,snapshot=on,file={drive}"));
        }
        let ports: String = self
            .forward
            .iter()
            .map(|(host, guest)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"))
            .collect();
        let reach = if ports.is_empty() { ",restrict=on" } else { "" };
        add("-netdev", format!("user,id=net{reach}{ports}"));
        // without a boot ROM, which is in a package of its own
        add("-device", "virtio-net-pci,netdev=net,romfile=".into());
        add("-device", "virtio-rng-pci".into());
        Ok(args)
    }

    /// The command with which a person runs the image.
    ///
    /// # Errors
    /// As for [`arguments`](Self::arguments).
    pub fn command_line(&self) -> Result<String> {
        let mut words = vec!["qemu-system-x86_64".to_owned(), "-nographic".to_owned()];
        words.extend(self.arguments()?.into_iter().map(|word| quoted(&word)));
        Ok(words.join(" "))
    }
}

/// A path as the value of a QEMU option, in which a comma is written twice.
fn value(path: &std::path::Path) -> String {
    path.display().to_string().replace(',', ",,")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,./:+".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let line = Boot::new("/a b/c,d.qcow2").command_line().unwrap();
        assert!(
            line.contains("'if=virtio,format=qcow2,snapshot=on,file=/a b/c,,d.qcow2'"),
            "{line}"
        );
        assert!(line.contains("user,id=net,restrict=on"));
        let mut boot = Boot::new("disk.raw");
        boot.forward = vec![(2222, 22)];
        let line = boot.command_line().unwrap();
        assert!(line.contains("format=raw") && line.contains("user,id=net,hostfwd=tcp:127.0.0.1:2222-:22"));
    }
}
