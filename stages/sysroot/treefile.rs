//! What rpm-ostree is told beside its arguments.

use std::io::Write;

use module::{Context, Result};
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

/// A treefile of rpm-ostree.
#[derive(Debug)]
pub struct Treefile(Map<String, Value>);

impl Default for Treefile {
    /// With the members that rpm-ostree always wants.
    fn default() -> Self {
        let mut map = Map::new();
        map.insert("ref".into(), "osbuild/devel".into());
        map.insert("repos".into(), json!(["osbuild"]));
        Self(map)
    }
}

impl Treefile {
    /// Adds a member, or replaces it.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Writes it to a file that goes with the result.
    pub fn file(self) -> Result<NamedTempFile> {
        let mut file = tempfile::Builder::new()
            .suffix(".json")
            .tempfile()
            .context("cannot make a treefile")?;
        file.write_all(Value::Object(self.0).to_string().as_bytes())
            .context("cannot write the treefile")?;
        Ok(file)
    }
}
