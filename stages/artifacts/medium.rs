//! What the menus of an installation medium say, as the options of the stages that write one.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is installed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    pub name: String,
    pub version: String,
}

/// The kernel that the medium boots.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Kernel {
    /// The directory of `vmlinuz` and `initrd.img`.
    pub dir: String,
    /// Kernel parameters.
    #[serde(default)]
    pub opts: Vec<String>,
}

/// What GRUB does by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// After how many seconds.
    pub timeout: u64,
    /// The entry, counted from 0.
    pub default: Option<i64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: 60,
            default: None,
        }
    }
}
