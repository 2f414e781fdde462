//! Removing what an installation leaves behind that differs from one to the next, and that nobody needs.

use std::path::Path;

use module::{Result, Tree};

/// Files and directories. A `*` in the last name stands for any text.
const LEFTOVERS: [&str; 19] = [
    "etc/.pwd.lock",
    "root/.rnd",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    // holds time stamps of files; the first program to use fonts makes it
    "var/cache/fontconfig/*.cache-*",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/available",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    // rotated copies of the lists ucf keeps
    "var/lib/ucf/hashfile.*",
    "var/lib/ucf/registry.*",
    "var/log/alternatives.log",
    "var/log/apt/*.log",
    "var/log/apt/eipp.log.xz",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/log/fontconfig.log",
    "var/log/fsck/*",
];

/// Removes the left-overs, and moves dates of password changes that lie after `epoch` (seconds since 1970) to it.
pub fn tidy(tree: &Tree, epoch: i64) -> Result<()> {
    for pattern in LEFTOVERS {
        remove(tree, pattern)?;
    }
    for path in ["etc/shadow", "etc/shadow-"] {
        if tree.is_file(path) {
            let old = tree.read_text(path)?;
            let new = clamp_days(&old, epoch / 86400);
            if new != old {
                tree.write(path, new)?;
            }
        }
    }
    Ok(())
}

fn remove(tree: &Tree, pattern: &str) -> Result<()> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    if !name.contains('*') {
        return Ok(tree.remove_all(pattern)?);
    }
    if !tree.is_dir(folder) {
        return Ok(());
    }
    for found in tree.list(folder)? {
        if found.to_str().is_some_and(|found| matches(name, found)) {
            tree.remove_all(Path::new(folder).join(found))?;
        }
    }
    Ok(())
}

/// Whether `name` fits `pattern`, in which a `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            let mut starts = tail.char_indices().map(|(i, _)| i).chain([tail.len()]);
            starts.any(|i| matches(rest, &tail[i..]))
        }),
    }
}

/// Lines of shadow(5) whose third field, the day of the last change, is not later than `day`.
fn clamp_days(text: &str, day: i64) -> String {
    let clamp = |line: &str| {
        let mut fields: Vec<&str> = line.split(':').collect();
        let limit = day.to_string();
        if fields
            .get(2)
            .and_then(|f| f.parse::<i64>().ok())
            .is_some_and(|d| d > day)
        {
            fields[2] = &limit;
        }
        fields.join(":")
    };
    let mut lines: Vec<_> = text.lines().map(clamp).collect();
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_overs_go_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("var/cache/debconf").unwrap();
        tree.mkdir_all("etc").unwrap();
        for name in ["config.dat", "config.dat-old"] {
            tree.write(format!("var/cache/debconf/{name}"), "").unwrap();
        }
        tree.write(
            "etc/shadow",
            "root:*:20000:0:99999:7:::\nnew:!::0:::::\nold:!:5:0:::::\n",
        )
        .unwrap();
        tidy(&tree, 86400 * 100).unwrap();
        assert_eq!(tree.list("var/cache/debconf").unwrap(), ["config.dat"]);
        assert_eq!(
            tree.read_text("etc/shadow").unwrap(),
            "root:*:100:0:99999:7:::\nnew:!::0:::::\nold:!:5:0:::::\n"
        );
    }

    #[test]
    fn stars_stand_for_any_text() {
        assert!(matches("*.cache-*", "ab-le64.cache-8"));
        assert!(!matches("*.cache-*", "CACHEDIR.TAG"));
        assert!(matches("*-old", "status-old"));
    }
}
