//! The ids that `/etc/subuid` and `/etc/subgid` give to a user: lines `USER:START:COUNT` (subuid(5)).

use std::path::Path;
use std::process::Command;

use crate::rootless::user_name;

/// Ids that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// A user as the files name one: by name or by number.
#[derive(Debug)]
pub(crate) struct User {
    name: Option<String>,
    uid: u32,
}

/// Who runs us.
pub(crate) fn caller() -> User {
    let uid = rustix::process::getuid().as_raw();
    User {
        name: user_name(uid),
        uid,
    }
}

/// What a file gives to a user; where there is nothing, what other databases do.
pub(crate) fn of(user: &User, file: &str) -> Vec<Range> {
    let found = listed(user, &std::fs::read_to_string(file).unwrap_or_default());
    if found.is_empty() {
        return elsewhere(user, file.ends_with("gid"));
    }
    found
}

fn listed(user: &User, text: &str) -> Vec<Range> {
    let ranges = text.lines().filter_map(|line| {
        let (owner, range) = line.trim().split_once(':')?;
        let own = user.name.as_deref() == Some(owner) || owner.parse() == Ok(user.uid);
        range_of(range).filter(|_| own)
    });
    ranges.collect()
}

fn range_of(text: &str) -> Option<Range> {
    let (start, count) = text.split_once(':')?;
    Some(Range {
        start: start.trim().parse().ok()?,
        count: count.trim().parse().ok()?,
    })
}

/// What `getsubids` says, which asks where nsswitch.conf says: lines `INDEX: USER START COUNT`.
fn elsewhere(user: &User, groups: bool) -> Vec<Range> {
    let Some(name) = &user.name else { return Vec::new() };
    let args: &[&str] = if groups { &["-g", name] } else { &[name] };
    let Ok(output) = Command::new("getsubids").args(args).output() else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ranges = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(2);
        let (start, count) = (words.next()?, words.next()?);
        range_of(&format!("{start}:{count}"))
    });
    ranges.collect()
}

/// The first `wanted` ids of some ranges; `None`: there are not so many.
pub(crate) fn first(ranges: &[Range], wanted: u32) -> Option<Vec<Range>> {
    let mut left = wanted;
    let mut taken = Vec::new();
    for range in ranges {
        let count = range.count.min(left);
        if count > 0 {
            taken.push(Range { count, ..*range });
        }
        left -= count;
    }
    (left == 0).then_some(taken)
}

/// What to say to a user with too few: a message and a hint.
pub(crate) fn advice(user: &User, users: &[Range], groups: &[Range], wanted: u32) -> (String, String) {
    let uid = user.uid.to_string();
    let name = user.name.as_ref().unwrap_or(&uid);
    let count = |ranges: &[Range]| ranges.iter().map(|range| u64::from(range.count)).sum::<u64>();
    let (file, has) = match count(users) < u64::from(wanted) {
        true => ("/etc/subuid", count(users)),
        false => ("/etc/subgid", count(groups)),
    };
    let message = match has {
        0 => format!("the user {name} has no sub-ids in {file}, and an image needs {wanted} of them"),
        has => format!("the user {name} has {has} sub-ids in {file}, and an image needs {wanted} of them"),
    };
    let free = ["/etc/subuid", "/etc/subgid"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(Path::new(file)).ok())
        .map(|text| free(&text))
        .max()
        .unwrap_or(START);
    let last = free + wanted - 1;
    let hint = format!(
        "as root: `usermod --add-subuids {free}-{last} --add-subgids {free}-{last} {name}` (the line \
         `{name}:{free}:{wanted}` in /etc/subuid and /etc/subgid), or build as root"
    );
    (message, hint)
}

/// Where useradd begins to give ids away (`SUB_UID_MIN` of login.defs(5)).
const START: u32 = 100_000;

/// The first id behind all that are given away.
fn free(text: &str) -> u32 {
    let ranges = text
        .lines()
        .filter_map(|line| range_of(line.trim().split_once(':')?.1));
    let ends = ranges.map(|range| range.start.saturating_add(range.count));
    ends.max().map_or(START, |end| end.max(START))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, count: u32) -> Range {
        Range { start, count }
    }

    fn ada() -> User {
        User {
            name: Some("ada".into()),
            uid: 1000,
        }
    }

    #[test]
    fn a_user_is_listed_by_name_and_by_number() {
        let text = "bob:1:2\nada:100000:65536\n\n1000:300000:10\nada:broken\nadam:5:5\n";
        assert_eq!(listed(&ada(), text), [range(100_000, 65_536), range(300_000, 10)]);
    }

    #[test]
    fn ranges_are_put_together_until_they_suffice() {
        let ranges = [range(10, 3), range(100, 5), range(1000, 7)];
        assert_eq!(first(&ranges, 6), Some(vec![range(10, 3), range(100, 3)]));
        assert_eq!(first(&ranges, 15), Some(ranges.to_vec()));
        assert_eq!(first(&ranges, 16), None);
    }

    #[test]
    fn the_advice_names_a_range_that_is_free() {
        assert_eq!(free(""), 100_000);
        assert_eq!(free("a:5:5\nb:100000:65536\nc:165536:65536\n"), 231_072);
        let (message, hint) = advice(&ada(), &[range(1, 7)], &[], 65_536);
        assert!(message.contains("ada has 7 sub-ids in /etc/subuid"), "{message}");
        assert!(hint.contains("usermod --add-subuids "), "{hint}");
        let (message, _) = advice(&ada(), &[range(1, 65_536)], &[], 65_536);
        assert!(message.contains("no sub-ids in /etc/subgid"), "{message}");
    }
}
