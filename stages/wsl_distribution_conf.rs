//! Configure a distribution for the Windows Subsystem for Linux.
//!
//! Edits `/etc/wsl-distribution.conf`, which is made where it is not there: what happens at the first start, and the
//! shortcut in Windows' menu.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, IniFile};

const FILE: &str = "etc/wsl-distribution.conf";

/// Options of `org.osbuild.wsl-distribution.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The first start.
    oobe: Option<Oobe>,
    /// The shortcut.
    shortcut: Option<Shortcut>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
struct Oobe {
    /// Id of the user that is made.
    #[schemars(extend("default" = 1000))]
    default_uid: Option<i64>,
    /// Name that the distribution is installed as.
    default_name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shortcut {
    /// Whether there is one.
    enabled: Option<bool>,
    /// Path of its icon.
    icon: Option<String>,
}

module::stage! {
    file: "wsl_distribution_conf.rs", name: "org.osbuild.wsl-distribution.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (oobe, shortcut) = (args.options.oobe.as_ref(), args.options.shortcut.as_ref());
    let settings = [
        (
            "oobe",
            "defaultUid",
            oobe.and_then(|o| o.default_uid).map(|uid| uid.to_string()),
        ),
        ("oobe", "defaultName", oobe.and_then(|o| o.default_name.clone())),
        (
            "shortcut",
            "enabled",
            shortcut.and_then(|s| s.enabled).map(|is| is.to_string()),
        ),
        ("shortcut", "icon", shortcut.and_then(|s| s.icon.clone())),
    ];
    if settings.iter().all(|(.., value)| value.is_none()) {
        return Ok(());
    }
    let mut file = IniFile::read(&args.tree, FILE)?.unwrap_or_default();
    for (section, key, value) in settings {
        if let Some(value) = value {
            file.set(section, key, &value);
        }
    }
    Ok(args.tree.write(FILE, file.text())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_sections_are_made_and_nothing_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc").unwrap();
        let set = |options| (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        set(json!({"shortcut": {}}));
        assert!(!tree.exists(FILE));
        set(json!({"oobe": {"default_uid": 1000, "default_name": "x"}, "shortcut": {"enabled": true}}));
        assert_eq!(
            tree.read_text(FILE).unwrap(),
            "[oobe]\ndefaultUid = 1000\ndefaultName = x\n\n[shortcut]\nenabled = true"
        );
    }
}
