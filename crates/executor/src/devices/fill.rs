//! A file system made again, with the files that lie beside the disk: a second run of the stage that made it.

use sandbox::{Layers, Mount};
use serde_json::{Value, json};

use super::loopback;
use super::setup::CONTENT;
use super::sides::Side;

/// What the stage is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill<'a> {
    pub(crate) side: &'a Side,
}

impl Fill<'_> {
    fn content(&self) -> String {
        format!("{CONTENT}/{}", self.side.device)
    }

    /// What brings the files and the disk into the box.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let content = Mount::Tree {
            layers: Layers {
                lower: self.side.tree.layers(),
                changes: None,
                ..Layers::default()
            },
            target: self.content().into(),
        };
        let link = Mount::Symlink {
            target: format!("/dev/{}", self.side.device).into(),
            text: format!("/run/osbuild/tree/{}", self.side.range.file).into(),
        };
        vec![content, link]
    }

    /// The stage's only device.
    pub(crate) fn devices(&self) -> Value {
        let data = loopback::argument(&self.side.range, Some(&self.content()), true);
        json!({&self.side.device: {"path": format!("/dev/{}", self.side.device), "data": data}})
    }
}
