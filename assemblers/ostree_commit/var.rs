//! `/var`: committed empty, filled at the first boot.
//!
//! A deployment shares `/var` with those before and after it, so a commit holds none. `systemd-tmpfiles` makes what is
//! missing: directories and links by a line each, files as copies of those below `/usr/share/factory/var`.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use module::Result;
use ostree::{Meta, Node};

const FACTORY: &str = "usr/share/factory/var";
const LINES: &str = "usr/lib/tmpfiles.d/ostree-var.conf";

/// What programs make anew: not worth a place in the commit.
const VOLATILE: &[&str] = &["cache", "lib/apt/lists", "lock", "log", "run", "tmp"];

/// The content of `/var`.
#[derive(Debug)]
pub struct Var {
    root: Node,
}

impl Var {
    /// `/var` as the tree has it.
    pub fn new(var: Option<Node>) -> Self {
        let root = match var {
            Some(directory @ Node::Directory { .. }) => directory,
            _ => Node::directory(0o755),
        };
        Self { root }
    }

    /// Puts a directory that has been elsewhere at `path`.
    pub fn adopt(&mut self, path: &str, directory: Node) -> Result<()> {
        // what is there already would be hidden by the link that leads here
        Ok(self.root.put(path, directory)?)
    }

    /// Takes the entry `path` out.
    pub fn take(&mut self, path: &str) -> Option<Node> {
        self.root.take(path)
    }

    /// Makes `path` a link to `target`, a path of the deployment.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let up = "../".repeat(path.split('/').count());
        Ok(self.root.put(path, Node::symlink(format!("{up}{target}")))?)
    }

    /// Leaves in `root` what fills `/var` at boot.
    pub fn commit(mut self, root: &mut Node) -> Result<()> {
        let mut lines = String::new();
        let mut files = Vec::new();
        list(Path::new(""), &self.root, &mut lines, &mut files);
        for path in files {
            if let Some(file) = self.root.take(&path) {
                root.put(Path::new(FACTORY).join(path), file)?;
            }
        }
        if !lines.is_empty() {
            let text = format!("# What the tree had in /var when it was committed.\n{lines}");
            root.put(LINES, Node::file(0o644, text))?;
        }
        Ok(())
    }
}

/// The lines for all below `directory`, and the paths of its files.
fn list(path: &Path, directory: &Node, lines: &mut String, files: &mut Vec<PathBuf>) {
    for (name, node) in directory.children() {
        let path = path.join(name);
        let full = quote(Path::new("/var").join(&path).as_os_str());
        match node {
            Node::Directory { meta, .. } => {
                line(lines, 'd', &full, Some(meta), "");
                if !VOLATILE.iter().any(|volatile| path == Path::new(volatile)) {
                    list(&path, node, lines, files);
                }
            }
            Node::Symlink { target, .. } => line(lines, 'L', &full, None, &quote(target.as_os_str())),
            Node::File { .. } => {
                line(lines, 'C', &full, None, "");
                files.push(path);
            }
            Node::Special => println!("left out: /var/{} is no file", path.display()),
        }
    }
}

/// One line; owners as numbers, so that it needs no user database. (tmpfiles.d(5))
fn line(lines: &mut String, kind: char, path: &str, meta: Option<&Meta>, argument: &str) {
    let owner = match meta {
        Some(meta) => format!("{:04o} {} {}", meta.mode & 0o7777, meta.uid, meta.gid),
        None => "- - -".to_owned(),
    };
    // writing to a string cannot fail
    writeln!(
        lines,
        "{}",
        format!("{kind} {path} {owner} - {argument}").trim_end()
    )
    .ok();
}

/// A path as tmpfiles.d reads it: quoted where it needs to be, `%` being the start of a specifier.
fn quote(text: &OsStr) -> String {
    let mut quoted = String::new();
    let mut plain = true;
    for byte in text.as_bytes() {
        match byte {
            b'%' => quoted += "%%",
            b'"' | b'\\' => {
                plain = false;
                quoted.push('\\');
                quoted.push(char::from(*byte));
            }
            b'\'' | b' ' => {
                plain = false;
                quoted.push(char::from(*byte));
            }
            0x21..=0x7e => quoted.push(char::from(*byte)),
            _ => {
                plain = false;
                // writing to a string cannot fail
                write!(quoted, "\\x{byte:02x}").ok();
            }
        }
    }
    if plain { quoted } else { format!("\"{quoted}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_need_it() {
        for (name, quoted) in [
            ("/var/lib/x-1", "/var/lib/x-1"),
            ("/var/100%", "/var/100%%"),
            ("/var/a b", "\"/var/a b\""),
            ("/var/ä", "\"/var/\\xc3\\xa4\""),
        ] {
            assert_eq!(quote(OsStr::new(name)), quoted);
        }
    }
}
