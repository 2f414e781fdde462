//! Map the owners of everything below a path to other ids.
//!
//! As the owners of a container's files look outside its user namespace. The map is a list of `[u:|g:|b:]INSIDE:OUTSIDE:SIZE`
//! – an owner from OUTSIDE on becomes the one as far from INSIDE – or the first range of a user and a group in the tree's
//! `/etc/subuid` and `/etc/subgid`, mapped from 0 on. An entry with neither owner nor group in the map is given to nobody,
//! 65534. Hard links are mapped once, links themselves and not what they lead to; modes and file capabilities stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use module::{Args, Context, Result, Tree, anyhow, bail, ensure};
use rustix::fs::{AtFlags, Gid, Mode, Uid, XattrFlags, chmodat, chownat};
use schemars::JsonSchema;
use serde::Deserialize;
use tree::walk::{Entry, walk};
use tree::{Kind, Stat};

use crate::common::{self, Keyed, keys};

const NOBODY: u32 = 65534;
const CAPABILITY: &[u8] = b"security.capability";

/// Options of `org.osbuild.idmap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Maps, by the paths they are for.
    #[serde(default)]
    #[schemars(
        with = "Option<BTreeMap<String, Map>>",
        transform = keys(r"^\/(?!\.\.)((?!\/\.\.\/).)+$")
    )]
    items: Keyed<Map>,
}

/// Ranges, or the names whose ranges are taken.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Map {
    Ranges(
        #[schemars(
            length(min = 1),
            inner(regex(pattern = "^(?:(?:u|g|b):)?[0-9]+:[0-9]+:[1-9][0-9]*$"))
        )]
        Vec<String>,
    ),
    Names(Names),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Names {
    /// The user in `/etc/subuid`.
    #[schemars(length(min = 1))]
    user: String,
    /// The group in `/etc/subgid`.
    #[schemars(length(min = 1))]
    group: String,
}

/// Ids from `outside` on become those from `inside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u64,
    outside: u64,
    size: u64,
}

/// The ranges of users and of groups.
#[derive(Debug, Default)]
struct Ranges {
    users: Vec<Range>,
    groups: Vec<Range>,
}

module::stage! {
    file: "idmap.rs", name: "org.osbuild.idmap", options: Options, run: run,
    needs: [FileCapabilities],
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    for (path, map) in args.options.items.iter() {
        let at = || format!("options: items: {path}");
        let ranges = match map {
            Map::Ranges(list) => Ranges::parse(list).with_context(at)?,
            Map::Names(names) => Ranges::subordinate(&args.tree, names).with_context(at)?,
        };
        map_all(&args.tree, path, &ranges)?;
    }
    Ok(())
}

fn map_all(tree: &Tree, path: &str, ranges: &Ranges) -> Result<()> {
    match tree.stat(path)?.map(|stat| stat.kind) {
        Some(Kind::Directory) => {}
        Some(_) => bail!("{path} is not a directory"),
        None => bail!("{path} is not in the tree"),
    }
    let mut seen = BTreeSet::new();
    let mut failure = None;
    let walked = walk(&tree.subtree(path)?, &mut |entry| {
        let stat = entry.stat;
        if stat.kind != Kind::Directory && !seen.insert((stat.dev, stat.ino)) {
            return Ok(());
        }
        if let Err(error) = change(entry, ranges.map(&stat)) {
            failure = Some(error.context(format!("cannot map {path}/{}", entry.path.display())));
            // ends the walk; what went wrong is told above
            return Err(tree::Error::errno("map", entry.path, rustix::io::Errno::CANCELED));
        }
        Ok(())
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(walked?),
    }
}

fn change(entry: &Entry<'_>, (uid, gid): (u32, u32)) -> Result<()> {
    let stat = entry.stat;
    if (stat.uid, stat.gid) == (uid, gid) {
        return Ok(());
    }
    let capability = match stat.kind {
        Kind::File => entry.attributes()?.into_iter().find(|(key, _)| key == CAPABILITY),
        _ => None,
    };
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(entry.dir, entry.name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("cannot give it to {uid}:{gid}"))?;
    if stat.kind != Kind::Symlink {
        // the kernel takes the set-id bits and the capabilities away with the owner
        chmodat(
            entry.dir,
            entry.name,
            Mode::from_raw_mode(stat.mode),
            AtFlags::empty(),
        )?;
    }
    if let Some((_, value)) = capability {
        let file = entry.open()?;
        rustix::fs::fsetxattr(&file, c"security.capability", &value, XattrFlags::empty())
            .context("cannot give it back its capabilities")?;
    }
    Ok(())
}

impl Ranges {
    fn parse(list: &[String]) -> Result<Self> {
        let mut ranges = Self::default();
        for text in list {
            let (kind, range) = parse(text).ok_or_else(|| {
                anyhow!("`{text}` is not a range: it looks like 100000:0:65536, with u: or g: before it where it is for users or groups alone")
            })?;
            if kind != "g" {
                ranges.users.push(range);
            }
            if kind != "u" {
                ranges.groups.push(range);
            }
        }
        Ok(ranges)
    }

    fn subordinate(tree: &Tree, names: &Names) -> Result<Self> {
        let first = |file: &str, name: &str| -> Result<Vec<Range>> {
            Ok(first_range(tree, file, name)?.into_iter().collect())
        };
        let ranges = Self {
            users: first("etc/subuid", &names.user)?,
            groups: first("etc/subgid", &names.group)?,
        };
        Ok(ranges)
    }

    /// Owner and group that the owner and group of `stat` become.
    fn map(&self, stat: &Stat) -> (u32, u32) {
        let user = find(&self.users, stat.uid);
        let group = find(&self.groups, stat.gid);
        match (user, group) {
            (None, None) => (NOBODY, NOBODY),
            (user, group) => (user.unwrap_or(stat.uid), group.unwrap_or(stat.gid)),
        }
    }
}

fn find(ranges: &[Range], id: u32) -> Option<u32> {
    let id = u64::from(id);
    let range = ranges
        .iter()
        .find(|range| (range.outside..range.outside + range.size).contains(&id))?;
    u32::try_from(id - range.outside + range.inside).ok()
}

/// Reads `[u:|g:|b:]INSIDE:OUTSIDE:SIZE`.
fn parse(text: &str) -> Option<(&str, Range)> {
    let parts: Vec<&str> = text.split(':').collect();
    let (kind, numbers) = match &parts[..] {
        [kind @ ("u" | "g" | "b"), numbers @ ..] => (*kind, numbers),
        numbers => ("b", numbers),
    };
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|part| part.parse::<u32>().ok().map(u64::from))
        .collect::<Option<_>>()?;
    let &[inside, outside, size] = &numbers[..] else {
        return None;
    };
    (size > 0).then_some((
        kind,
        Range {
            inside,
            outside,
            size,
        },
    ))
}

/// The first range of `name` in a file of lines `NAME:START:COUNT`.
fn first_range(tree: &Tree, file: &str, name: &str) -> Result<Option<Range>> {
    if !tree.is_file(Path::new(file)) {
        return Ok(None);
    }
    let text = tree.read_text(file)?;
    let mut lines = text
        .lines()
        .map(|line| line.trim().split(':').collect::<Vec<_>>());
    let Some(fields) = lines.find(|fields| fields.first() == Some(&name)) else {
        return Ok(None);
    };
    ensure!(
        fields.len() == 3,
        "/{file}: the line of {name} is not NAME:START:COUNT"
    );
    let number = |text: &str| text.parse::<u32>().map(u64::from);
    let range = Range {
        inside: number(fields[1]).with_context(|| format!("/{file}: {name}"))?,
        outside: 0,
        size: number(fields[2]).with_context(|| format!("/{file}: {name}"))?,
    };
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |inside, outside, size| Range {
            inside,
            outside,
            size,
        };
        assert_eq!(parse("1:2:3"), Some(("b", range(1, 2, 3))));
        assert_eq!(parse("u:1:0:65536"), Some(("u", range(1, 0, 65536))));
        for bad in [
            "",
            "1:2",
            "x:1:2:3",
            "1:2:0",
            "1:2:3:4",
            "1:-2:3",
            "1:2:4294967296",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_first_range_that_fits_counts() {
        let ranges = Ranges::parse(&["u:1000:0:1".into(), "2000:0:10".into()]).unwrap();
        assert_eq!(find(&ranges.users, 0), Some(1000));
        assert_eq!(find(&ranges.users, 9), Some(2009));
        assert_eq!(find(&ranges.groups, 0), Some(2000));
        assert_eq!(find(&ranges.groups, 10), None);
    }
}
