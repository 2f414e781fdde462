//! Set the host name.
//!
//! Writes `/etc/hostname`. The name must be one that systemd takes: at most 64 characters, labels of letters, digits
//! and hyphens separated by dots, no label empty or with a hyphen at an end.

use module::{Args, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "etc/hostname";
/// `HOST_NAME_MAX` of Linux.
const LONGEST: usize = 64;

/// Options of `org.osbuild.hostname`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The name, with or without a domain.
    hostname: String,
}

module::stage! { file: "hostname.rs", name: "org.osbuild.hostname", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    // removed first: what lies there may be a link to a file that others share
    args.tree.remove_all(FILE)?;
    let name = &args.options.hostname;
    ensure!(
        is_valid(name),
        "`{name}` is not a host name: use letters, digits and hyphens (not at an end), labels separated by dots, \
         at most {LONGEST} characters"
    );
    args.tree.mkdir_all("etc")?;
    args.tree.write(FILE, format!("{name}\n"))?;
    Ok(())
}

fn is_valid(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= LONGEST && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use module::Tree;

    #[test]
    fn names_are_checked_as_systemd_does() {
        let longest = "x".repeat(LONGEST);
        for name in ["a", "A.B", "1", "web-1.example.org", &longest] {
            assert!(is_valid(name), "{name}");
        }
        let longer = "x".repeat(LONGEST + 1);
        for name in [
            "", ".", "a.", "-a", "a-", "a-.b", "a..b", "a b", "a_b", "ä", &longer,
        ] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn a_link_out_of_the_tree_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let outside = tempfile::tempdir().unwrap();
        tree.symlink(outside.path(), "etc").unwrap();
        let result = (MODULE.run)(serde_json::json!({"tree": dir.path(), "options": {"hostname": "h"}}));
        assert!(result.is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
