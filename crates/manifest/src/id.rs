//! Ids, and the recipe they are made by: SHA-256 over JSON texts (`python_json`), one after the other.
//!
//! | id of | hashed in this order |
//! |---|---|
//! | stage | name; build id or `null`; base id or `null`; options; if set the source epoch; if any `{input name: input id}`; if any `[mount id]` |
//! | pipeline | it is the id of its last stage |
//! | input | type; origin; references; options |
//! | device | type; if any the parent's id; options |
//! | mount | type; if any the device's id; the partition unless 0; the target unless empty; options |
//! | source | type; items |

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::model::{Device, Input, Mount, Stage};
use crate::python_json::{python_json, python_json_map};

/// A text that is no id: 64 lower-case hexadecimal digits make one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no id: an id has 64 lower-case hexadecimal digits")]
pub struct NoId(String);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// Shown, read and serialised as 64 lower-case hexadecimal digits.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The first twelve digits, for people.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..6])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = NoId;

            fn from_str(text: &str) -> Result<Self, NoId> {
                read(text).map(Self).ok_or_else(|| NoId(text.to_owned()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// The id of a stage, and of the tree it makes.
    StageId;
    /// The id of an input.
    InputId;
    /// The id of a device.
    DeviceId;
    /// The id of a mount.
    MountId;
    /// The id of a source.
    SourceId;
}

fn read(text: &str) -> Option<[u8; 32]> {
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    hex::decode(text).ok().filter(|_| lower)?.try_into().ok()
}

/// What an id is hashed from.
struct Recipe(Sha256);

impl Recipe {
    fn new(name: &str) -> Self {
        Self(Sha256::new()).text(name)
    }

    fn json(mut self, value: &Value) -> Self {
        self.0.update(python_json(value));
        self
    }

    fn text(self, text: &str) -> Self {
        self.json(&Value::from(text))
    }

    fn map(mut self, map: &Map<String, Value>) -> Self {
        self.0.update(python_json_map(map));
        self
    }

    fn id_or_null<T: fmt::Display>(self, id: Option<T>) -> Self {
        self.json(&id.map_or(Value::Null, |id| Value::from(id.to_string())))
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The id of a stage, by all its other members.
pub(crate) fn stage(stage: &Stage) -> StageId {
    let mut recipe = Recipe::new(&stage.name)
        .id_or_null(stage.build)
        .id_or_null(stage.base)
        .map(&stage.options);
    if let Some(epoch) = stage.source_epoch {
        recipe = recipe.json(&Value::from(epoch));
    }
    if !stage.inputs.is_empty() {
        let ids = stage
            .inputs
            .iter()
            .map(|i| (i.name.clone(), Value::from(i.id.to_string())));
        recipe = recipe.map(&ids.collect());
    }
    if !stage.mounts.is_empty() {
        let ids = stage.mounts.iter().map(|mount| Value::from(mount.id.to_string()));
        recipe = recipe.json(&ids.collect());
    }
    StageId(recipe.finish())
}

/// The id of an input, by all its other members.
pub(crate) fn input(input: &Input) -> InputId {
    let recipe = Recipe::new(&input.kind)
        .text(input.origin.name())
        .map(&input.references.iter().cloned().collect())
        .map(&input.options);
    InputId(recipe.finish())
}

/// The id of a device, by all its other members.
pub(crate) fn device(device: &Device, parent: Option<&Device>) -> DeviceId {
    let mut recipe = Recipe::new(&device.kind);
    if let Some(parent) = parent {
        recipe = recipe.text(&parent.id.to_string());
    }
    DeviceId(recipe.map(&device.options).finish())
}

/// The id of a mount, by all its other members.
pub(crate) fn mount(mount: &Mount, device: Option<&Device>) -> MountId {
    let mut recipe = Recipe::new(&mount.kind);
    if let Some(device) = device {
        recipe = recipe.text(&device.id.to_string());
    }
    if let Some(partition) = mount.partition.filter(|n| *n != 0) {
        recipe = recipe.json(&Value::from(partition));
    }
    if let Some(target) = mount.target.as_deref().filter(|text| !text.is_empty()) {
        recipe = recipe.text(target);
    }
    MountId(recipe.map(&mount.options).finish())
}

/// The id of a source.
pub(crate) fn source(kind: &str, items: &[(String, Value)]) -> SourceId {
    SourceId(Recipe::new(kind).map(&items.iter().cloned().collect()).finish())
}

/// Stands for an id until it is computed.
pub(crate) mod unset {
    use super::*;

    pub(crate) const STAGE: StageId = StageId([0; 32]);
    pub(crate) const INPUT: InputId = InputId([0; 32]);
    pub(crate) const DEVICE: DeviceId = DeviceId([0; 32]);
    pub(crate) const MOUNT: MountId = MountId([0; 32]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_strictly() {
        let text = "beda46704765a47e6d4f44aff22168ae36866c9c0e6e11552b775b77776b2969";
        let id: StageId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.short(), "beda46704765");
        assert_eq!(serde_json::to_value(id).unwrap(), Value::from(text));
        assert_eq!(serde_json::from_value::<StageId>(Value::from(text)).unwrap(), id);
        for bad in [
            "",
            "beda",
            &text.to_uppercase(),
            &format!("{text}00"),
            &"g".repeat(64),
        ] {
            assert!(bad.parse::<StageId>().is_err(), "{bad}");
        }
    }
}
