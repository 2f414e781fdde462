//! Set SELinux's state and policy.
//!
//! Edits `SELINUX` and `SELINUXTYPE` in `/etc/selinux/config`, which the tree must have; what is not asked for stays as
//! it is. A line that is missing is added at the end.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "etc/selinux/config";

/// Options of `org.osbuild.selinux.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whether the policy is enforced.
    #[schemars(extend("enum" = ["enforcing", "permissive", "disabled"]))]
    state: Option<String>,
    /// The policy.
    #[schemars(extend("enum" = ["targeted", "minimum", "mls"]))]
    r#type: Option<String>,
}

module::stage! { file: "selinux_config.rs", name: "org.osbuild.selinux.config", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let mut text = args.tree.read_text(FILE)?;
    let settings = [
        ("SELINUX", &args.options.state),
        ("SELINUXTYPE", &args.options.r#type),
    ];
    for (key, value) in settings {
        if let Some(value) = value {
            text = set(&text, key, value);
        }
    }
    Ok(args.tree.write(FILE, text)?)
}

/// Gives every line of `key` the value, or adds one.
fn set(text: &str, key: &str, value: &str) -> String {
    let mut found = false;
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        let is_it = line.trim().split_once('=').is_some_and(|(name, _)| name == key);
        found |= is_it;
        lines.push_str(&if is_it {
            format!("{key}={value}")
        } else {
            line.to_owned()
        });
        lines.push('\n');
    }
    if !found {
        lines.push_str(&format!("{key}={value}\n"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edit(text: &str, options: serde_json::Value) -> String {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/selinux").unwrap();
        tree.write(FILE, text).unwrap();
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        tree.read_text(FILE).unwrap()
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let text = "#SELINUX=x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n";
        assert_eq!(
            edit(text, json!({"type": "mls"})),
            "#SELINUX=x\nSELINUX=enforcing\nSELINUXTYPE=mls\n"
        );
        assert_eq!(edit(text, json!({})), text);
    }

    #[test]
    fn a_missing_line_is_added() {
        assert_eq!(
            edit("# c", json!({"state": "disabled"})),
            "# c\nSELINUX=disabled\n"
        );
    }
}
