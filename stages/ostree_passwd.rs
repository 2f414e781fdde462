//! Take users and groups of an OSTree commit over into the tree.
//!
//! `/etc/passwd` and `/etc/group` get the entries of the commit's `/usr/etc`, and those of `/usr/lib` that are not among
//! them; `/etc/subuid` and `/etc/subgid` those of `/usr/etc`. Packages that are then installed into the tree find the
//! numbers of the commit. The input `commits` is one of the type `org.osbuild.ostree.checkout`.

use module::{Args, Context, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// `org.osbuild.ostree.passwd` has no options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "ostree_passwd.rs", name: "org.osbuild.ostree.passwd", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["commits"],
            "properties": {"commits": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let input = args.input("commits")?;
    let (_, refs) = sysroot::commits(input)?;
    ensure!(
        refs.len() == 1,
        "the input must have one commit, not {}",
        refs.len()
    );
    let (commit, options) = refs.iter().next().context("the input has no commit")?;
    let commit = input
        .tree()?
        .subtree(options["path"].as_str().unwrap_or(commit))?;
    args.tree.mkdir_all("etc")?;
    for name in ["passwd", "group"] {
        args.tree.write(format!("etc/{name}"), merged(&commit, name)?)?;
    }
    for name in ["subuid", "subgid"] {
        let path = format!("usr/etc/{name}");
        if commit.is_file(&path) {
            let entries = ranges(&commit.read_text(&path)?);
            if !entries.is_empty() {
                args.tree.write(format!("etc/{name}"), entries)?;
            }
        }
    }
    Ok(())
}

/// The lines of `/usr/etc/NAME`, then those of `/usr/lib/NAME` whose first field is not among them.
fn merged(commit: &Tree, name: &str) -> Result<String> {
    let own = format!("usr/etc/{name}");
    let first = match commit.is_file(&own) {
        true => commit.read_text(&own)?,
        false => String::new(),
    };
    let second = commit.read_text(format!("usr/lib/{name}"))?;
    let mut lines: Vec<&str> = Vec::new();
    let key = |line: &str| line.split(':').next().map(str::to_owned);
    for line in first.lines() {
        // of two with one name the last counts, in the place of the first
        match lines.iter_mut().find(|known| key(known) == key(line)) {
            Some(known) => *known = line,
            None => lines.push(line),
        }
    }
    for line in second.lines() {
        if !lines.iter().any(|known| key(known) == key(line)) {
            lines.push(line);
        }
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// The entries of a file such as `/etc/subuid`: user, first number, how many.
fn ranges(text: &str) -> String {
    let mut entries: Vec<(&str, &str)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.split(':').count() != 3 {
            println!("left out the line `{line}`");
            continue;
        }
        let name = line.split(':').next().unwrap_or_default();
        match entries.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = line,
            None => entries.push((name, line)),
        }
    }
    entries.iter().map(|(_, line)| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_etc_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path().join("")).unwrap();
        for path in ["in/c/usr/etc", "in/c/usr/lib", "out"] {
            tree.mkdir_all(path).unwrap();
        }
        tree.write("in/c/usr/etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:7:7:::\n")
            .unwrap();
        tree.write("in/c/usr/lib/passwd", "root:x:1:1:::\nbin:x:2:2:::\n")
            .unwrap();
        tree.write("in/c/usr/lib/group", "root:x:0:").unwrap();
        tree.write(
            "in/c/usr/etc/subuid",
            "# none\nada:100000:65536\nbroken\nada:1:2\n",
        )
        .unwrap();
        (MODULE.run)(serde_json::json!({
            "tree": dir.path().join("out"),
            "inputs": {"commits": {"path": dir.path().join("in"), "data": {"refs": {"c": {"path": "c"}}}}},
        }))
        .unwrap();
        let read = |name: &str| tree.read_text(format!("out/etc/{name}")).unwrap();
        assert_eq!(
            read("passwd"),
            "root:x:0:0::/root:/bin/sh\nada:x:7:7:::\nbin:x:2:2:::\n"
        );
        assert_eq!(read("group"), "root:x:0:\n");
        assert_eq!(read("subuid"), "ada:1:2\n");
        assert!(!tree.exists("out/etc/subgid"));
    }
}
