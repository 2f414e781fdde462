//! Set the system's locale.
//!
//! Writes `LANG=…` to the file where the tree's distribution keeps it: `/etc/default/locale` in Debian and what is
//! derived from it, `/etc/locale.conf` elsewhere. The other settings of that file are dropped. The locale itself must
//! be brought by a package; that is not checked.

use module::{Args, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const STOCK: &str = "etc/locale.conf";
const DEBIAN: &str = "etc/default/locale";

/// Options of `org.osbuild.locale`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The locale, such as `en_US.UTF-8`.
    language: String,
}

module::stage! { file: "locale.rs", name: "org.osbuild.locale", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let (tree, language) = (&args.tree, &args.options.language);
    tree.remove_all(STOCK)?;
    ensure!(
        is_valid(language),
        "`{language}` is not the name of a locale: it looks like en_US.UTF-8 or C.UTF-8"
    );
    let file = if is_debian(tree)? { DEBIAN } else { STOCK };
    if let Some((dir, _)) = file.rsplit_once('/') {
        tree.mkdir_all(dir)?;
    }
    tree.write(file, format!("LANG={}\n", quoted(language)))?;
    Ok(())
}

/// Whether systemd would take the name (`locale_is_valid`): a file name without characters that change a shell's mind.
fn is_valid(language: &str) -> bool {
    !matches!(language, "" | "." | "..")
        && language.len() < 128
        && !language.chars().any(|c| c.is_control() || "/\"'\\".contains(c))
}

/// The value as an environment file has it: in quotes where a shell would not take it as one word.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.@+:,".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let escaped = value.replace('$', "\\$").replace('`', "\\`");
    format!("\"{escaped}\"")
}

/// Whether the tree is Debian's or of a distribution derived from it.
fn is_debian(tree: &Tree) -> Result<bool> {
    if tree.exists("etc/debian_version") {
        return Ok(true);
    }
    let release = ["etc/os-release", "usr/lib/os-release"]
        .into_iter()
        .find(|file| tree.is_file(file));
    let Some(release) = release else { return Ok(false) };
    let text = tree.read_text(release)?;
    let ids = text
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    Ok(ids
        .flat_map(|ids| ids.trim_matches(['"', '\'']).split_whitespace())
        .any(|id| id == "debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn odd_names_are_quoted_or_refused() {
        assert_eq!(quoted("ca_ES@valencia"), "ca_ES@valencia");
        assert_eq!(quoted("a $b"), "\"a \\$b\"");
        for name in ["", "..", "a/b", "x'y", "a\nb"] {
            assert!(!is_valid(name), "{name}");
        }
    }
}
