//! The list of a policy that says which file has which label: selinux(8), file_contexts(5), selabel_file(5).
//!
//! ```text
//! REGULAR EXPRESSION   [-TYPE]   LABEL | <<none>>
//! ```
//!
//! A path takes the last line that matches; lines without any operator of regular expressions go before all others.
//! Beside the file may be FILE.homedirs and FILE.local, read after it, and FILE.subs and FILE.subs_dist with lines
//! `PATH PATH`: what is below the first is looked up below the second.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use module::{Context, Result, Tree, anyhow, bail};
use regex::bytes::{Regex, RegexBuilder};
use tree::Kind;

/// The characters that make a path a regular expression.
const OPERATORS: &[u8] = b".^$?*+|[({";

/// A policy's file contexts.
#[derive(Debug)]
pub struct FileContexts {
    /// Expressions, then plain paths, each in their order.
    lines: Vec<Line>,
    /// Substitutions: the administrator's, then the distribution's.
    substitutes: [Vec<(Vec<u8>, Vec<u8>)>; 2],
}

#[derive(Debug)]
struct Line {
    /// File and number, for messages.
    place: String,
    expression: String,
    /// What every path that matches begins with; without operators, the whole path.
    prefix: Vec<u8>,
    plain: bool,
    kind: Option<Kind>,
    /// `None`: no label at all.
    label: Option<String>,
    regex: OnceCell<Regex>,
}

impl FileContexts {
    /// Reads the file `path` of `tree` and those beside it.
    pub fn read(tree: &Tree, path: &str) -> Result<Self> {
        let mut lines = parse(
            &text(tree, path)?.with_context(|| format!("{path} is not there"))?,
            path,
        )?;
        for end in ["homedirs", "local"] {
            let path = format!("{path}.{end}");
            lines.extend(parse(&text(tree, &path)?.unwrap_or_default(), &path)?);
        }
        lines.sort_by_key(|line| line.plain);
        let pairs = |end: &str| {
            Ok::<_, anyhow::Error>(pairs(&text(tree, &format!("{path}.{end}"))?.unwrap_or_default()))
        };
        Ok(Self {
            lines,
            substitutes: [pairs("subs")?, pairs("subs_dist")?],
        })
    }

    /// The label of an entry, by its path from the root and what it is.
    pub fn label(&self, path: &[u8], kind: Kind) -> Result<Option<&str>> {
        let path = self.substituted(path);
        for line in self.lines.iter().rev() {
            if line.kind.is_none_or(|wanted| wanted == kind) && line.matches(&path)? {
                return Ok(line.label.as_deref());
            }
        }
        Ok(None)
    }

    fn substituted<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        let mut path = Cow::Borrowed(path);
        for list in &self.substitutes {
            let rest = |from: &[u8]| {
                let rest = path.strip_prefix(from)?;
                (rest.is_empty() || rest[0] == b'/').then(|| rest.to_vec())
            };
            // the last line counts
            let found = list.iter().rev().find_map(|(from, to)| Some((rest(from)?, to)));
            if let Some((rest, to)) = found {
                // below the root there is no second slash
                let to: &[u8] = if to == b"/" && !rest.is_empty() { b"" } else { to };
                path = Cow::Owned([to, &rest].concat());
            }
        }
        path
    }
}

impl Line {
    fn matches(&self, path: &[u8]) -> Result<bool> {
        if self.plain {
            return Ok(path == self.prefix);
        }
        if !path.starts_with(&self.prefix) {
            return Ok(false);
        }
        if self.regex.get().is_none() {
            // paths are bytes, and a dot is any of them
            let regex = RegexBuilder::new(&format!("^(?:{})$", self.expression))
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
                .map_err(|error| anyhow!("{}: {error}", self.place))?;
            let _ = self.regex.set(regex);
        }
        Ok(self.regex.get().is_some_and(|regex| regex.is_match(path)))
    }
}

fn text(tree: &Tree, path: &str) -> Result<Option<String>> {
    match tree.stat_followed(path)? {
        Some(_) => Ok(Some(tree.read_text(path)?)),
        None => Ok(None),
    }
}

fn pairs(text: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let words = |line: &str| {
        let mut words = line
            .split_whitespace()
            .filter(|_| !line.trim_start().starts_with('#'));
        Some((
            words.next()?.as_bytes().to_vec(),
            words.next()?.as_bytes().to_vec(),
        ))
    };
    text.lines().filter_map(words).collect()
}

fn parse(text: &str, path: &str) -> Result<Vec<Line>> {
    let name = Path::new(path).file_name().map(PathBuf::from).unwrap_or_default();
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{} line {}", name.display(), number + 1);
        lines.push(parse_line(line, place)?);
    }
    Ok(lines)
}

fn parse_line(line: &str, place: String) -> Result<Line> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (expression, kind, label) = match words[..] {
        [expression, label] => (expression, None, label),
        [expression, kind, label] => (
            expression,
            Some(kind_of(kind).with_context(|| format!("{place}: {kind} is no type of files"))?),
            label,
        ),
        _ => bail!("{place} has {} words, not two or three", words.len()),
    };
    let (prefix, plain) = prefix(expression.as_bytes());
    Ok(Line {
        place,
        expression: expression.to_owned(),
        prefix,
        plain,
        kind,
        label: (label != "<<none>>").then(|| label.to_owned()),
        regex: OnceCell::new(),
    })
}

fn kind_of(word: &str) -> Option<Kind> {
    Some(match word {
        "--" => Kind::File,
        "-d" => Kind::Directory,
        "-l" => Kind::Symlink,
        "-c" => Kind::CharDevice,
        "-b" => Kind::BlockDevice,
        "-p" => Kind::Fifo,
        "-s" => Kind::Socket,
        _ => return None,
    })
}

/// What all that matches `expression` begins with, and whether that is all of it.
fn prefix(expression: &[u8]) -> (Vec<u8>, bool) {
    let (mut prefix, mut at) = (Vec::new(), 0);
    while let Some(byte) = expression.get(at) {
        match byte {
            b'\\' => match expression.get(at + 1) {
                // an escaped letter is a class
                Some(next) if !next.is_ascii_alphanumeric() => {
                    prefix.push(*next);
                    at += 1;
                }
                _ => return (prefix, false),
            },
            operator if OPERATORS.contains(operator) => {
                // the one before it may be missing
                if b"?*{".contains(operator) {
                    prefix.pop();
                }
                // of alternatives only those in brackets have the beginning in common
                let outside = has_alternatives(&expression[at..]);
                return (if outside { Vec::new() } else { prefix }, false);
            }
            byte => prefix.push(*byte),
        }
        at += 1;
    }
    (prefix, true)
}

/// Whether there is a `|` outside of all brackets.
fn has_alternatives(expression: &[u8]) -> bool {
    let (mut depth, mut escaped) = (0usize, false);
    for byte in expression {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const LIST: &str = "\
# a policy\n\
/\t\t-d\tsystem_u:object_r:root_t:s0\n\
/.*\t\tsystem_u:object_r:default_t:s0\n\
/[^/]+\t--\tsystem_u:object_r:etc_runtime_t:s0\n\
/usr(/.*)?\tsystem_u:object_r:usr_t:s0\n\
/usr/bin/bash\t--\tsystem_u:object_r:shell_exec_t:s0\n\
/usr/(.*/)?bin(/.*)?\tsystem_u:object_r:bin_t:s0\n\
/usr/lib/.*\\.so(\\.[^/]*)*\t--\tsystem_u:object_r:lib_t:s0\n\
/etc/shadow[-\\+]?\t--\tsystem_u:object_r:shadow_t:s0\n\
/etc/ssh(d)?_x\\.d\t-d\tsystem_u:object_r:ssh_t:s0\n\
/proc/.*\t<<none>>\n\
/dev/log\t-s\tsystem_u:object_r:devlog_t:s0\n\
/var/(log|spool)/x\tsystem_u:object_r:log_t:s0\n\
/home/[^/]+/\\.ssh(/.*)?\tunconfined_u:object_r:ssh_home_t:s0\n";

    fn contexts(dir: &Path) -> FileContexts {
        std::fs::write(dir.join("fc"), LIST).unwrap();
        std::fs::write(dir.join("fc.local"), "/srv/x y_t\n").unwrap();
        std::fs::write(dir.join("fc.subs_dist"), "/usr/local /usr\n/lib /usr/lib\n").unwrap();
        FileContexts::read(&Tree::open(dir).unwrap(), "fc").unwrap()
    }

    const PATHS: [(&str, Kind, &str); 15] = [
        ("/", Kind::Directory, "root_t"),
        ("/usr", Kind::Directory, "usr_t"),
        ("/usr/bin/bash", Kind::File, "shell_exec_t"),
        ("/usr/bin/bash", Kind::Symlink, "bin_t"),
        ("/usr/x/bin/y", Kind::File, "bin_t"),
        ("/usr/lib/a/libx.so.1.2", Kind::File, "lib_t"),
        ("/lib/libx.so", Kind::File, "lib_t"),
        ("/usr/local/bin", Kind::Directory, "bin_t"),
        ("/etc/shadow-", Kind::File, "shadow_t"),
        ("/etc/sshd_x.d", Kind::Directory, "ssh_t"),
        ("/etc/ssh_xyd", Kind::Directory, "default_t"),
        ("/dev/log", Kind::Socket, "devlog_t"),
        ("/var/spool/x", Kind::File, "log_t"),
        ("/home/ada/.ssh/id", Kind::File, "ssh_home_t"),
        ("/file", Kind::File, "etc_runtime_t"),
    ];

    #[test]
    fn paths_get_the_label_of_the_last_line_that_matches() {
        let dir = tempfile::tempdir().unwrap();
        let contexts = contexts(dir.path());
        for (path, kind, wanted) in PATHS {
            let label = contexts.label(path.as_bytes(), kind).unwrap().unwrap_or("none");
            assert_eq!(label.split(':').nth(2), Some(wanted), "{path}");
        }
        assert_eq!(contexts.label(b"/proc/1", Kind::File).unwrap(), None);
        assert_eq!(contexts.label(b"/srv/x", Kind::File).unwrap(), Some("y_t"));
    }

    /// libselinux itself, by its tool.
    #[test]
    fn matchpathcon_says_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let contexts = contexts(dir.path());
        let list = dir.path().join("fc");
        let letter = |kind| match kind {
            Kind::Directory => "d",
            Kind::Symlink => "l",
            Kind::Socket => "s",
            _ => "f",
        };
        let ask = |path: &str, kind| {
            let mut tool = Command::new("matchpathcon");
            tool.args(["-n", "-m", letter(kind), "-f"])
                .arg(&list)
                .arg(path)
                .output()
        };
        if ask("/", Kind::Directory).is_err() {
            return println!("skipped: there is no matchpathcon");
        }
        for (path, kind, _) in PATHS {
            let theirs = ask(path, kind).unwrap();
            let theirs = String::from_utf8_lossy(&theirs.stdout).trim().to_owned();
            assert_eq!(
                contexts
                    .label(path.as_bytes(), kind)
                    .unwrap()
                    .unwrap_or("<<none>>"),
                theirs,
                "{path}"
            );
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let place = |line: &str| format!("{:#}", parse(line, "/x/file_contexts").unwrap_err());
        assert!(place("/a -q l").contains("file_contexts line 1: -q is no type"));
        assert!(place("\n/a").contains("file_contexts line 2 has 1 words"));
        let lines = parse("/a(?!b).* l", "fc").unwrap();
        let error = lines[0].matches(b"/ac").unwrap_err();
        assert!(error.to_string().starts_with("fc line 1: "), "{error}");
    }
}
