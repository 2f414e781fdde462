//! What the stages that write unit files have in common in their options.

use module::{Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::InOrder;

/// The longest file name of Linux.
pub const LONGEST_NAME: usize = 255;

/// Below which directory a unit lies: the distribution's or the machine's.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnitPath {
    #[default]
    Usr,
    Etc,
}

/// The section `Unit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)] // all members are written in the manifest's order
pub struct Unit {
    /// What it is, for people.
    description: Option<String>,
    /// Units that are started with it, whatever becomes of them.
    wants: Option<Vec<String>>,
    /// Units that are started before it.
    after: Option<Vec<String>>,
    /// Units that are started after it.
    before: Option<Vec<String>>,
    /// Units that it cannot do without.
    requires: Option<Vec<String>>,
    /// Paths that must be there.
    condition_path_exists: Option<Vec<String>>,
    /// Directories that must be there.
    condition_path_is_directory: Option<Vec<String>>,
    /// Whether it has the dependencies that most units have.
    default_dependencies: Option<bool>,
}

/// An environment variable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub struct Variable {
    /// Its name.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*"))]
    key: Option<String>,
    /// Its value.
    value: Option<String>,
}

/// The section `Install`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
pub struct Install {
    /// Units that want it once it is enabled.
    wanted_by: Option<Vec<String>>,
    /// Units that require it once it is enabled.
    required_by: Option<Vec<String>>,
}

/// Checks that a unit's name is no longer than a file's, and that `config` has the section that belongs to its ending.
pub fn check_name<T>(name: &str, config: &InOrder<T>, sections: &[(&str, &str)]) -> Result<()> {
    ensure!(
        name.len() <= LONGEST_NAME,
        "{name}: a file name has at most {LONGEST_NAME} bytes"
    );
    for (ending, section) in sections {
        let fits = !name.ends_with(ending) || config.get(section).is_some();
        ensure!(fits, "{name}: a unit of this type needs a section `{section}`");
    }
    Ok(())
}
