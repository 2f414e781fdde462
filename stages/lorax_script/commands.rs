//! The commands of a template.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use module::{Context, Result, Tool, Tree, bail, ensure};

use super::packages::Packages;
use super::{pattern, python};
use crate::units::{self, Name};

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("commands.rs");

/// What later steps need to know which files belong to packages: never removed.
const KEPT: [&str; 4] = [
    "/usr/lib/sysimage/rpm/",
    "/var/lib/rpm/",
    "/var/lib/yum",
    "/var/lib/dnf",
];

/// The tree that is changed, and the root directory that files are installed from.
#[derive(Debug)]
pub struct Script<'a> {
    tree: &'a Tree,
    build_root: &'a Path,
    packages: Packages,
}

impl<'a> Script<'a> {
    pub fn new(tree: &'a Tree, build_root: &'a Path) -> Self {
        Self {
            tree,
            build_root,
            packages: Packages::default(),
        }
    }

    /// Carries out one command. With a `-` before its name it may fail.
    pub fn run(&mut self, words: &[String]) -> Result<()> {
        println!("{}", words.join(" "));
        let Some((command, arguments)) = words.split_first() else {
            return Ok(());
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match command.strip_prefix('-') {
            None => self.command(command, &arguments),
            Some(command) => {
                ensure!(KNOWN.contains(&command), "there is no command `{command}`");
                if let Err(error) = self.command(command, &arguments) {
                    println!("ignored: {error:#}");
                }
                Ok(())
            }
        }
    }

    fn command(&mut self, command: &str, arguments: &[&str]) -> Result<()> {
        match (command, arguments) {
            ("append", [path, text]) => self.append(path, text),
            ("install", [from, to]) => self.install(from, to),
            ("mkdir", dirs) => dirs.iter().try_for_each(|dir| Ok(self.tree.mkdir_all(dir)?)),
            ("move", [from, to]) => self.rename(from, to),
            ("remove", patterns) => patterns.iter().try_for_each(|pattern| self.remove(pattern)),
            ("removefrom", [package, patterns @ ..]) if !patterns.is_empty() => {
                self.remove_from(package, patterns)
            }
            ("removekmod", patterns) => self.remove_kernel_modules(patterns),
            ("removepkg", packages) => packages
                .iter()
                .try_for_each(|package| self.remove_package(package)),
            ("replace", [pattern, replacement, files @ ..]) => self.replace(pattern, replacement, files),
            ("runcmd", [program, arguments @ ..]) => self.run_program(program, arguments),
            ("symlink", [target, path]) => self.symlink(target, path),
            ("systemctl", [verb, units @ ..]) => self.systemctl(verb, units),
            (known, _) if KNOWN.contains(&known) => {
                bail!("`{known}` does not take {} arguments", arguments.len())
            }
            (other, _) => bail!("there is no command `{other}`"),
        }
    }

    fn append(&self, path: &str, text: &str) -> Result<()> {
        if let Some(dir) = Path::new(path).parent() {
            self.tree.mkdir_all(dir)?;
        }
        Ok(self.tree.append(path, format!("{}\n", unescaped(text)))?)
    }

    /// Copies files of the build root: content, mode and times.
    fn install(&self, from: &str, to: &str) -> Result<()> {
        let root = Tree::open(self.build_root)?;
        let found = pattern::glob(&root, from)?;
        ensure!(!found.is_empty(), "{from} is not in the build root");
        for path in found {
            let name = path.rsplit('/').next().unwrap_or_default();
            let place = if self.tree.is_dir(to) {
                format!("{to}/{name}")
            } else {
                to.to_owned()
            };
            ensure!(root.is_file(&path), "{path} of the build root is not a file");
            let mut source = root.open_file(&path)?;
            let stat = source.metadata()?;
            let mut target = self.tree.create_file(&place)?;
            std::io::copy(&mut source, &mut target).with_context(|| format!("cannot write {place}"))?;
            self.tree.chmod(&place, stat.mode() & 0o7777)?;
            target.set_modified(stat.modified()?)?;
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let place = if self.tree.is_dir(to) {
            format!("{to}/{name}")
        } else {
            to.to_owned()
        };
        Ok(self.tree.rename(from, place)?)
    }

    fn remove(&self, wanted: &str) -> Result<()> {
        if KEPT.iter().any(|kept| wanted.starts_with(kept)) {
            println!("{wanted} stays: it says which files belong to packages");
            return Ok(());
        }
        for path in pattern::glob(self.tree, wanted)? {
            self.tree.remove_all(path)?;
        }
        Ok(())
    }

    fn remove_package(&mut self, package: &str) -> Result<()> {
        let files = self.packages.files(self.tree, package)?;
        self.remove_files(&files)
    }

    /// Removes the files of packages that match, or with `--allbut` those that do not.
    fn remove_from(&mut self, package: &str, patterns: &[&str]) -> Result<()> {
        let files = self.packages.files(self.tree, package)?;
        let (all_but, patterns) = match patterns {
            ["--allbut", patterns @ ..] => (true, patterns),
            patterns => (false, patterns),
        };
        let matches = |path: &String| patterns.iter().any(|pattern| pattern::matches(pattern, path));
        let files = files
            .into_iter()
            .filter(|path| matches(path) != all_but)
            .collect();
        self.remove_files(&files)
    }

    fn remove_files(&self, files: &BTreeSet<String>) -> Result<()> {
        let goes = |path: &&String| !KEPT.iter().any(|kept| path.starts_with(kept));
        for path in files.iter().filter(goes) {
            self.tree.remove_all(path)?;
        }
        Ok(())
    }

    /// Removes files below the kernel's directories of modules, but for those that match a pattern behind `--allbut`.
    fn remove_kernel_modules(&self, patterns: &[&str]) -> Result<()> {
        let at = patterns.iter().position(|word| *word == "--allbut");
        let (wanted, kept) = match at {
            Some(at) => (&patterns[..at], &patterns[at + 1..]),
            None => (patterns, &[][..]),
        };
        ensure!(
            !wanted.is_empty(),
            "`removekmod` needs a pattern before `--allbut`"
        );
        ensure!(
            at.is_none() || !kept.is_empty(),
            "`removekmod` needs a pattern behind `--allbut`"
        );
        let kept: Vec<String> = kept.iter().map(|pattern| format!("*{pattern}*")).collect();
        for wanted in wanted {
            for top in pattern::glob(self.tree, &format!("/lib/modules/*/kernel/{wanted}"))? {
                self.remove_below(&top, &kept)?;
            }
        }
        Ok(())
    }

    /// Removes the files below a directory that match no pattern; directories stay.
    fn remove_below(&self, dir: &str, kept: &[String]) -> Result<()> {
        if self
            .tree
            .stat(dir)?
            .is_none_or(|stat| stat.kind != tree::Kind::Directory)
        {
            return Ok(());
        }
        for name in self.tree.list(dir)? {
            let path = format!("{dir}/{}", name.to_string_lossy());
            let kind = self.tree.stat(&path)?.map(|stat| stat.kind);
            if kind == Some(tree::Kind::Directory) {
                self.remove_below(&path, kept)?;
            } else if !kept.iter().any(|pattern| pattern::matches(pattern, &path)) {
                self.tree.remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn replace(&self, expression: &str, replacement: &str, files: &[&str]) -> Result<()> {
        let mut found = false;
        for wanted in files {
            for path in pattern::glob(self.tree, wanted)? {
                found = true;
                let text = self.tree.read_text(&path)?;
                self.tree
                    .write(&path, python::replace(expression, replacement, &text)?)?;
            }
        }
        ensure!(found, "no file matches {}", files.join(" "));
        Ok(())
    }

    fn run_program(&self, program: &str, arguments: &[&str]) -> Result<()> {
        // later stages make the medium of what is in /boot
        if arguments.iter().any(|argument| argument.contains("/boot")) || program.contains("/boot") {
            println!("not run: it would change /boot");
            return Ok(());
        }
        Tool::new(program).args(arguments).dir(self.tree.path()).run()
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        if self.tree.exists(path) {
            self.tree.remove_all(path)?;
        }
        Ok(self.tree.symlink(target, path)?)
    }

    /// Units that are not there are no failure.
    fn systemctl(&self, verb: &str, names: &[&str]) -> Result<()> {
        let act = match verb {
            "enable" => units::enable,
            "disable" => units::disable,
            "mask" => units::mask,
            _ => bail!("`systemctl` takes enable, disable and mask"),
        };
        self.tree.mkdir_all("run/systemd/system")?;
        for name in names {
            let done = Name::complete(name, "service").and_then(|unit| act(self.tree, &unit));
            if let Err(error) = done {
                println!("ignored: {error:#}");
            }
        }
        Ok(())
    }
}

const KNOWN: [&str; 12] = [
    "append",
    "install",
    "mkdir",
    "move",
    "remove",
    "removefrom",
    "removekmod",
    "removepkg",
    "replace",
    "runcmd",
    "symlink",
    "systemctl",
];

/// The escapes `\n`, `\t`, `\\`, `\"` and `\'` resolved, as templates use them; others stay.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => plain.push(c),
            _ => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some(c @ ('\\' | '"' | '\'')) => plain.push(c),
                Some(other) => plain.extend(['\\', other]),
                None => plain.push('\\'),
            },
        }
    }
    plain
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
