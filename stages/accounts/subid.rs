//! Subordinate ids: the ranges that a user may map in containers, subuid(5) and subgid(5).

use module::{Result, Tree, bail};

use super::Defaults;
use super::table::Table;

/// Gives `name` a free range in `etc/subuid` (`what` is `UID`) or `etc/subgid` (`GID`), where the tree has the file.
pub fn add_range(tree: &Tree, defaults: &Defaults, what: &str, name: &str) -> Result<()> {
    let path = if what == "UID" { "etc/subuid" } else { "etc/subgid" };
    let number = |key: &str, default: u64| {
        defaults
            .number(&format!("SUB_{what}_{key}"))
            .map_or(default, |number| number.max(0) as u64)
    };
    let (min, max, count) = (
        number("MIN", 100_000),
        number("MAX", 600_100_000),
        number("COUNT", 65536),
    );
    let mut table = Table::read(tree, path, 3)?;
    if !table.present || count == 0 || table.entry(name).is_some() {
        return Ok(());
    }
    let mut start = min;
    let mut ranges: Vec<(u64, u64)> = table
        .entries()
        .filter_map(|entry| Some((entry[1].parse().ok()?, entry[2].parse().ok()?)))
        .collect();
    ranges.sort_unstable();
    for (first, length) in ranges {
        if first >= start.saturating_add(count) {
            break;
        }
        start = start.max(first.saturating_add(length));
    }
    if start.saturating_add(count - 1) > max {
        bail!("user `{name}`: no {count} free ids are left in /{path} below {max}");
    }
    table.sort_by_number(1);
    table.push(&[name.to_owned(), start.to_string(), count.to_string()]);
    table.save(tree)
}
