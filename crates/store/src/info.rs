//! The file `info` of an object.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tree::index::Markers;

/// What is known of an object beside its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Info {
    version: u32,
    /// Bytes that the layer takes on disk.
    pub size: u64,
    /// Which overlay mounts understand the layer: `trusted` or `user`.
    markers: String,
    /// The boot in which it was written, until it is known to be on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

impl Info {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            version: 1,
            size,
            markers: own_markers().into(),
            boot: Some(boot_id()),
        }
    }

    /// `None`: not there, damaged, or of a store that we do not understand.
    pub(crate) fn read(object: &Path) -> Option<Self> {
        let text = fault::step!(std::fs::read(object.join("info"))).ok()?;
        let info: Self = serde_json::from_slice(&text).ok()?;
        (info.version == 1).then_some(info)
    }

    /// Whether the overlay mounts of this process understand the layer.
    pub(crate) fn is_readable(&self) -> bool {
        self.markers == own_markers()
    }

    /// Whether it was written before the machine was last started, and it is not known whether all of it reached the
    /// disk.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.boot.as_ref().is_some_and(|boot| *boot != boot_id())
    }

    /// The same once it is known to be on disk.
    pub(crate) fn unmarked(self) -> Self {
        Self { boot: None, ..self }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // a struct of plain fields always serialises
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn own_markers() -> &'static str {
    match Markers::of_this_process() {
        Markers::Trusted => "trusted",
        Markers::User => "user",
    }
}

/// Another one after each start of the machine.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().into())
}
