//! The three forms of manifests, told apart by their top level.

use serde_json::Value;

use crate::model::Version;

/// How a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `name`, `base`, `build`, `stages`, `assembler`, `sources` at the top.
    Oldest,
    /// `pipeline`, `sources`.
    One,
    /// `version`, `pipelines`, `sources`, `metadata`.
    Two,
}

impl Form {
    /// The form of a manifest of a known version.
    pub(crate) fn of(manifest: &Value, version: Version) -> Self {
        let has = |key| manifest.get(key).is_some();
        let oldest = ["stages", "assembler", "build", "base", "name"];
        match version {
            Version::Two => Self::Two,
            Version::One if !has("pipeline") && oldest.into_iter().any(has) => Self::Oldest,
            Version::One => Self::One,
        }
    }

    pub(crate) fn version(self) -> Version {
        match self {
            Self::Oldest | Self::One => Version::One,
            Self::Two => Version::Two,
        }
    }

    /// The text of our own schema.
    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Oldest => include_str!("schemas/oldest.json"),
            Self::One => include_str!("schemas/format1.json"),
            Self::Two => include_str!("schemas/format2.json"),
        }
    }
}

/// The newer name of a kind of source.
pub(crate) fn source_kind(name: &str) -> &str {
    match name {
        "org.osbuild.files" => "org.osbuild.curl",
        other => other,
    }
}
