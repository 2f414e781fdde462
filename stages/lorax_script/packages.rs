//! The packages of the tree, by its RPM database and the build root's `rpm`.

use std::collections::BTreeSet;

use module::{Result, Tool, Tree};

use super::pattern;

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("packages.rs");

/// The names of all packages, asked for once.
#[derive(Debug, Default)]
pub struct Packages {
    names: Option<Vec<String>>,
}

impl Packages {
    /// The paths that packages with matching names have brought, without directories.
    pub fn files(&mut self, tree: &Tree, wanted: &str) -> Result<BTreeSet<String>> {
        let mut files = BTreeSet::new();
        for name in self
            .names(tree)?
            .iter()
            .filter(|name| pattern::matches(wanted, name))
        {
            let list = query(tree, &["-ql", name])?;
            files.extend(list.lines().filter(|path| !tree.is_dir(path)).map(str::to_owned));
        }
        Ok(files)
    }

    fn names(&mut self, tree: &Tree) -> Result<&[String]> {
        if self.names.is_none() {
            let list = query(tree, &["-qa", "--qf=%{name}\\n"])?;
            self.names = Some(list.lines().map(str::to_owned).collect());
        }
        Ok(self.names.as_deref().unwrap_or_default())
    }
}

fn query(tree: &Tree, arguments: &[&str]) -> Result<String> {
    let output = Tool::new("rpm")
        .arg("--root")
        .arg(tree.path())
        .args(arguments)
        .output()?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}
