//! Set the system's locale.
//!
//! Writes `LANG=…` to the file where the tree's distribution keeps it: `/etc/default/locale` in Debian and what is
//! derived from it, `/etc/locale.conf` elsewhere. The other settings of that file are dropped. The locale itself must
//! be brought by a package; that is not checked.

use module::{Args, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

const STOCK: &str = "etc/locale.conf";
const DEBIAN: &str = "etc/default/locale";

/// Options of `org.osbuild.locale`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The locale, such as `en_US.UTF-8`.
    language: String,
}

module::stage! {
    file: "locale.rs", name: "org.osbuild.locale", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, language) = (&args.tree, &args.options.language);
    tree.remove_all(STOCK)?;
    ensure!(
        common::is_plain_name(language),
        "`{language}` is not the name of a locale: it looks like en_US.UTF-8 or C.UTF-8"
    );
    let file = if common::is_debian(tree)? { DEBIAN } else { STOCK };
    if let Some((dir, _)) = file.rsplit_once('/') {
        tree.mkdir_all(dir)?;
    }
    tree.write(file, format!("LANG={}\n", common::env_value(language)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use module::Tree;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc").unwrap();
        (dir, tree)
    }

    fn set(tree: &Tree, language: &str) -> Result<()> {
        (MODULE.run)(serde_json::json!({"tree": tree.path(), "options": {"language": language}}))
    }

    #[test]
    fn the_file_is_the_distributions() {
        let (_dir, tree) = tree();
        tree.write("etc/os-release", "NAME=x\nID=fedora\n").unwrap();
        set(&tree, "en_US.UTF-8").unwrap();
        assert_eq!(tree.read_text(STOCK).unwrap(), "LANG=en_US.UTF-8\n");
        tree.write("etc/os-release", "ID=mint\nID_LIKE=\"ubuntu debian\"\n")
            .unwrap();
        set(&tree, "C.UTF-8").unwrap();
        assert_eq!(tree.read_text(DEBIAN).unwrap(), "LANG=C.UTF-8\n");
        assert!(!tree.exists(STOCK));
    }

    #[test]
    fn where_debian_links_one_to_the_other_both_are_right() {
        let (_dir, tree) = tree();
        tree.write("etc/debian_version", "13\n").unwrap();
        tree.mkdir_all("etc/default").unwrap();
        tree.symlink("../locale.conf", DEBIAN).unwrap();
        set(&tree, "de_DE.UTF-8").unwrap();
        assert_eq!(tree.read_text(STOCK).unwrap(), "LANG=de_DE.UTF-8\n");
    }
}
