//! Running the scripts of packages in the tree.

use std::collections::BTreeSet;

use module::{Chroot, Context, Result, Tree, anyhow};
use regex::Regex;

use super::database::Database;
use super::package::Package;

/// Where a script lies while it runs, as apk has it.
const DIR: &str = "lib/apk/exec";

/// Runs scripts.
#[derive(Debug)]
pub struct Scripts<'a> {
    tree: &'a Tree,
    chroot: &'a Chroot,
    epoch: Option<i64>,
    made: bool,
}

impl<'a> Scripts<'a> {
    pub fn new(tree: &'a Tree, chroot: &'a Chroot, epoch: Option<i64>) -> Self {
        Self {
            tree,
            chroot,
            epoch,
            made: false,
        }
    }

    /// Runs the script `name` of a package, if it has one.
    pub fn run(&mut self, package: &Package, name: &str) -> Result<()> {
        self.run_with(package, name, &[package.version().to_owned()])
    }

    fn run_with(&mut self, package: &Package, name: &str, arguments: &[String]) -> Result<()> {
        let Some(text) = package.script(name) else {
            return Ok(());
        };
        if !self.made && !self.tree.exists(DIR) {
            self.tree.mkdir_all(DIR)?;
            self.made = true;
        }
        let path = format!("{DIR}/{}-{}{name}", package.name(), package.version());
        self.tree.write(&path, text)?;
        self.tree.chmod(&path, 0o755)?;
        println!("Executing {}-{}{name}", package.name(), package.version());
        let mut tool = self.chroot.tool(&format!("/{path}")).args(arguments).dir("/");
        if let Some(epoch) = self.epoch {
            tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
        }
        let result = tool.run();
        self.tree.remove_all(&path)?;
        result.with_context(|| format!("its script {name}"))
    }

    /// Runs the triggers of the new packages for all directories they name, as far as packages have them.
    pub fn run_triggers(
        &mut self,
        packages: &[Package],
        changed: &BTreeSet<String>,
        all: &Database,
    ) -> Result<()> {
        let known: BTreeSet<String> = all.directories().chain(changed.iter().cloned()).collect();
        for package in packages
            .iter()
            .filter(|package| package.script(".trigger").is_some())
        {
            let patterns = package
                .values("triggers")
                .map(pattern)
                .collect::<Result<Vec<_>>>()?;
            let fits = |path: &&String| patterns.iter().any(|pattern| pattern.is_match(path));
            let found: Vec<String> = known.iter().filter(fits).cloned().collect();
            if !found.is_empty() {
                let result = self.run_with(package, ".trigger", &found);
                result.with_context(|| format!("package {}", package.name()))?;
            }
        }
        Ok(())
    }

    /// Takes away what only scripts needed.
    pub fn finish(self) -> Result<()> {
        if self.made {
            self.tree.remove_all(DIR)?;
        }
        Ok(())
    }
}

/// A pattern of a shell, for absolute paths.
fn pattern(text: &str) -> Result<Regex> {
    let mut expression = String::from("^");
    for letter in text.trim_start_matches('+').chars() {
        match letter {
            '*' => expression += "[^/]*",
            '?' => expression += "[^/]",
            letter => expression += &regex::escape(letter.encode_utf8(&mut [0; 4])),
        }
    }
    Regex::new(&(expression + "$")).map_err(|error| anyhow!("the trigger {text}: {error}"))
}
