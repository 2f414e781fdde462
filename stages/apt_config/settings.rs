//! Settings of apt: a file of `apt.conf.d`.

use std::collections::BTreeMap;

use module::{Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::Keyed;

/// Settings by their full names, such as `APT::Install-Recommends`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Settings {
    #[schemars(with = "BTreeMap<String, Setting>")]
    settings: Keyed<Setting>,
}

/// A value, or the items of a list, which are added to those the list has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Setting {
    Switch(bool),
    Number(i64),
    Text(String),
    List(Vec<String>),
}

impl Settings {
    /// The text of the file.
    pub fn text(&self) -> Result<String> {
        let mut text = String::new();
        for (name, setting) in self.settings.iter() {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.:/+".contains(c);
            ensure!(
                !name.is_empty() && name.chars().all(is_name),
                "`{name}` is not the name of a setting: it looks like APT::Install-Recommends"
            );
            match setting {
                Setting::Switch(value) => text.push_str(&format!("{name} \"{value}\";\n")),
                Setting::Number(value) => text.push_str(&format!("{name} \"{value}\";\n")),
                Setting::Text(value) => text.push_str(&format!("{name} {};\n", quoted(name, value)?)),
                Setting::List(items) => {
                    for item in items {
                        text.push_str(&format!("{name}:: {};\n", quoted(name, item)?));
                    }
                }
            }
        }
        Ok(text)
    }
}

/// apt knows no way to write a quotation mark in a value.
fn quoted(name: &str, value: &str) -> Result<String> {
    ensure!(
        !value.contains(['"', '\n']),
        "{name}: a value has no quotation marks and is one line"
    );
    Ok(format!("\"{value}\""))
}
