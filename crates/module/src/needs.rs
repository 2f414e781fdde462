//! What a module may do in its box: files, and whatever else it says that it needs.

use serde_json::{Value, json};

/// Something that a module needs beyond [changing files](FILES). It gets just that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It gives files capabilities, as what copies trees does.
    FileCapabilities,
    /// It mounts, in the mount table of its box.
    Mounts,
    /// It runs tools of the build root, itself or by a library. Without this or more it cannot start any: that takes a pair of
    /// sockets.
    Tools,
    /// It runs programs of the tree, with the tree as their root and the box's `/proc`, `/sys` and `/dev` in it.
    Chroot,
    /// It runs tools of container images: they look for the capability to make device nodes, though a box can make none.
    ImageTools,
    /// It runs package managers, whose scripts may do anything, or tools whose needs are their own.
    Anything,
    /// It has the executor set SELinux labels in the tree.
    Labels,
    /// It has the executor make device nodes in the tree.
    DeviceNodes,
    /// It has the executor make loop devices, which it mounts: only the machine's root can run it.
    LoopDevices,
    /// The same where its option `bootloader.type` is `zipl`, and only there.
    LoopDevicesForZipl,
}

/// What every module may: change files of any owner. A mode keeps its set-id bits.
const FILES: [&str; 4] = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"];

impl Need {
    /// The capabilities it comes to, in the user namespace of the box.
    fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::FileCapabilities => &["CAP_SETFCAP"],
            Self::Mounts => &["CAP_SYS_ADMIN"],
            Self::ImageTools => &["CAP_MKNOD", "CAP_SETFCAP", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT"],
            Self::Chroot => &[
                "CAP_KILL",
                "CAP_SETFCAP",
                "CAP_SETGID",
                "CAP_SETUID",
                "CAP_SYS_ADMIN",
                "CAP_SYS_CHROOT",
            ],
            Self::Anything => &[
                "CAP_AUDIT_WRITE",
                "CAP_DAC_READ_SEARCH",
                "CAP_IPC_LOCK",
                "CAP_KILL",
                "CAP_LINUX_IMMUTABLE",
                "CAP_NET_BIND_SERVICE",
                "CAP_SETFCAP",
                "CAP_SETGID",
                "CAP_SETPCAP",
                "CAP_SETUID",
                "CAP_SYS_ADMIN",
                "CAP_SYS_CHROOT",
                "CAP_SYS_NICE",
                "CAP_SYS_RESOURCE",
            ],
            Self::Tools | Self::Labels | Self::DeviceNodes => &[],
            Self::LoopDevices => &["CAP_MKNOD", "CAP_SYS_ADMIN"],
            Self::LoopDevicesForZipl => &["CAP_SYS_ADMIN"],
        }
    }

    /// Whether programs run, which may make sockets, if only to talk to each other.
    fn sockets(self) -> bool {
        match self {
            Self::FileCapabilities | Self::Mounts | Self::Labels | Self::DeviceNodes => false,
            Self::Tools | Self::Chroot | Self::ImageTools | Self::Anything => true,
            Self::LoopDevices | Self::LoopDevicesForZipl => true,
        }
    }

    /// What for, in words.
    fn words(self) -> &'static str {
        match self {
            Self::FileCapabilities => "give files capabilities",
            Self::Mounts => "mount in its box",
            Self::Tools => "run tools of the build root",
            Self::Chroot => "run programs of the tree, with the tree as their root",
            Self::ImageTools => "run tools of container images",
            Self::Anything => "run scripts of packages, or tools whose needs are their own",
            Self::Labels => "have labels set",
            Self::DeviceNodes => "have device nodes made",
            Self::LoopDevices => "mount loop devices, as the machine's root",
            Self::LoopDevicesForZipl => "for zipl, mount loop devices, as the machine's root",
        }
    }
}

/// `needs` of a module's metadata: `capabilities`, all that it gets, sorted; `to`, what for, in words; whether the executor
/// lets `sockets` be made, sets `labels` and makes `device_nodes` and `loop_devices` for it, the last perhaps only where an option has a value.
pub(crate) fn describe(needs: &[Need], more: &[&'static str]) -> Value {
    let own = needs.iter().flat_map(|need| need.capabilities());
    let mut all: Vec<&str> = FILES.iter().chain(own).chain(more).copied().collect();
    all.sort_unstable();
    all.dedup();
    let words: Vec<&str> = std::iter::once("change files")
        .chain(needs.iter().map(|need| need.words()))
        .collect();
    let loop_devices = match needs.contains(&Need::LoopDevicesForZipl) {
        true => json!({"option": "/bootloader/type", "is": "zipl"}),
        false => needs.contains(&Need::LoopDevices).into(),
    };
    json!({
        "capabilities": all,
        "to": words,
        "sockets": needs.iter().any(|need| need.sockets()),
        "labels": needs.contains(&Need::Labels),
        "device_nodes": needs.contains(&Need::DeviceNodes),
        "loop_devices": loop_devices,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_gets_what_it_names_and_files() {
        assert_eq!(describe(&[], &[])["capabilities"], json!(FILES));
        let needs = describe(&[Need::Mounts, Need::Labels], &["CAP_MAC_ADMIN"]);
        let all = [&FILES[..], &["CAP_MAC_ADMIN", "CAP_SYS_ADMIN"]].concat();
        assert_eq!(needs["capabilities"], json!(all));
        assert_eq!(
            needs["to"],
            json!(["change files", "mount in its box", "have labels set"])
        );
        assert_eq!(
            (&needs["labels"], &needs["device_nodes"]),
            (&json!(true), &json!(false))
        );
    }
}
