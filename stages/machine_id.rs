//! Set what `/etc/machine-id` means at the first boot.
//!
//! An image must not carry the id of the machine it was built on. `first-boot` chooses what it carries instead, see
//! machine-id(5), "First Boot Semantics":
//!
//! * `yes`: the text `uninitialized`. The first boot makes an id and counts as one: units with
//!   `ConditionFirstBoot=yes` run.
//! * `no`: an empty file. The first boot makes an id but does not count as one.
//! * `preserve`: the file stays as it is, and it must be there.

use module::{Args, Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "etc/machine-id";

/// Options of `org.osbuild.machine-id`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What the first boot finds.
    #[serde(rename = "first-boot")]
    first_boot: FirstBoot,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FirstBoot {
    Yes,
    No,
    Preserve,
}

module::stage! { file: "machine_id.rs", name: "org.osbuild.machine-id", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    match args.options.first_boot {
        FirstBoot::Yes => args.tree.write(FILE, "uninitialized\n")?,
        FirstBoot::No => args.tree.write(FILE, "")?,
        FirstBoot::Preserve if args.tree.is_file(FILE) => {}
        FirstBoot::Preserve => bail!(
            "/{FILE} is not in the tree: `first-boot` can only be \"preserve\" where there is an id to preserve"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_into_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc").unwrap();
        tree.mkdir_all("var/id").unwrap();
        tree.symlink("/var/id/machine-id", FILE).unwrap();
        (MODULE.run)(serde_json::json!({"tree": dir.path(), "options": {"first-boot": "yes"}})).unwrap();
        assert_eq!(tree.read_text("var/id/machine-id").unwrap(), "uninitialized\n");
    }
}
