//! QEMU and its command line.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Process};
use crate::{Error, Result, guest};

/// The machine's memory, as the Python osbuild has it.
const MEMORY: &str = "3G";

/// More processors than this help no build, and make an emulated machine slower.
const MOST_PROCESSORS: usize = 8;

/// What runs the machine's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// The host's own, by KVM.
    Real,
    /// One that QEMU imitates: slower, and works everywhere.
    Emulated,
}

impl Processor {
    /// Whether the kernel offers its help with a real one. That it keeps its word is seen once a machine runs: on hosts
    /// that are machines themselves it may not.
    pub fn real_is_offered() -> bool {
        OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
    }
}

/// What differs between architectures.
struct Architecture {
    name: &'static str,
    machine: &'static str,
    /// The processor where it is emulated.
    emulated: &'static str,
    console: &'static str,
}

const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        name: "x86_64",
        machine: "q35",
        // all that x86-64-v3 asks for, and little that is not imitated
        emulated: "Haswell-noTSX",
        console: "ttyS0",
    },
    Architecture {
        name: "aarch64",
        machine: "virt",
        emulated: "cortex-a57",
        console: "ttyAMA0",
    },
];

/// What QEMU is given.
pub(crate) struct Parts<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    /// The file for what the guest prints on its console.
    pub(crate) console: &'a Path,
    /// The file for what QEMU says.
    pub(crate) said: &'a Path,
    /// The sockets of virtiofsd and of the channel.
    pub(crate) sockets: [OwnedFd; 2],
    pub(crate) processor: Processor,
}

/// Starts it.
///
/// # Errors
/// There is no QEMU for this architecture, or it cannot be started.
pub(crate) fn start(parts: &Parts<'_>) -> Result<Process> {
    let name = std::env::consts::ARCH;
    let architecture = ARCHITECTURES.iter().find(|one| one.name == name);
    let architecture = architecture.ok_or(Error::Architecture(name))?;
    let mut command = Command::new(program(architecture)?);
    command.args(arguments(architecture, parts));
    Process::start(command, &parts.sockets, parts.said)
}

fn program(architecture: &Architecture) -> Result<PathBuf> {
    let name = format!("qemu-system-{}", architecture.name);
    let found = process::find(&[&name, "qemu-kvm"], &["/usr/bin", "/usr/libexec"]);
    found.ok_or(Error::Missing {
        program: name,
        package: "QEMU (qemu-system-x86 or qemu-system-arm on Debian, qemu-kvm on Fedora)",
    })
}

fn arguments(architecture: &Architecture, parts: &Parts<'_>) -> Vec<String> {
    let processors = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_PROCESSORS);
    let mut args: Vec<String> = ["-nodefaults", "-no-user-config", "-no-reboot"]
        .map(str::to_owned)
        .to_vec();
    let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
    add("-display", "none".into());
    add("-machine", architecture.machine.into());
    let (accelerator, processor) = match parts.processor {
        Processor::Real => ("kvm", "host"),
        Processor::Emulated => ("tcg,thread=multi", architecture.emulated),
    };
    add("-accel", accelerator.into());
    add("-cpu", processor.into());
    add("-smp", processors.to_string());
    add("-m", MEMORY.into());
    // virtiofsd reads and writes the machine's memory
    add(
        "-object",
        format!("memory-backend-memfd,id=memory,size={MEMORY},share=on"),
    );
    add("-numa", "node,memdev=memory".into());
    add("-kernel", parts.kernel.display().to_string());
    add("-initrd", parts.initrd.display().to_string());
    // one that panics ends, and the host sees that
    let init = format!("rdinit=/{}", guest::NAME);
    add(
        "-append",
        format!("console={} quiet panic=-1 selinux=0 {init}", architecture.console),
    );
    let [share, channel] = parts.sockets.each_ref().map(AsRawFd::as_raw_fd);
    add("-chardev", format!("socket,id=share,fd={share}"));
    add(
        "-device",
        format!(
            "vhost-user-fs-pci,queue-size=1024,chardev=share,tag={}",
            guest::TAG
        ),
    );
    add("-chardev", format!("socket,id=channel,fd={channel}"));
    add("-device", "virtio-serial-pci".into());
    add("-device", "virtserialport,chardev=channel,name=osbuild".into());
    add("-device", "virtio-rng-pci".into());
    add(
        "-chardev",
        format!("file,id=console,path={}", value(parts.console)),
    );
    add("-serial", "chardev:console".into());
    args
}

/// A path as the value of an option, in which a comma is written twice.
fn value(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_hosts_or_an_emulated_one() {
        let open = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut parts = Parts {
            kernel: Path::new("/s/kernel"),
            initrd: Path::new("/s/initrd"),
            console: Path::new("/a,b/console"),
            said: Path::new("/s/said"),
            sockets: [open(), open()],
            processor: Processor::Emulated,
        };
        let line = arguments(&ARCHITECTURES[0], &parts).join(" ");
        assert!(
            line.contains("-accel tcg,thread=multi -cpu Haswell-noTSX"),
            "{line}"
        );
        assert!(line.contains("file,id=console,path=/a,,b/console"), "{line}");
        parts.processor = Processor::Real;
        let line = arguments(&ARCHITECTURES[1], &parts).join(" ");
        assert!(line.contains("-machine virt -accel kvm -cpu host"), "{line}");
        assert!(line.contains("console=ttyAMA0 quiet panic=-1"), "{line}");
    }
}
