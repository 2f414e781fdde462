//! Keep packages at their versions, with dnf 4's plugin versionlock.
//!
//! Adds entries to `/etc/dnf/plugins/versionlock.list`, whose directory the tree must have, as the plugin does: a comment
//! with the time, which `source-epoch` sets, before each.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// 1 January 1970 was the first of these.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Options of `org.osbuild.dnf4.versionlock`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The entries, such as `nginx-0:1.20.1-14.el9.*`.
    add: Vec<String>,
}

module::stage! {
    file: "dnf4_versionlock.rs", name: "org.osbuild.dnf4.versionlock", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let time = ctime(common::now(&args.meta));
    let entry = |item: &String| format!("\n# Added lock on {time}\n{item}\n");
    let text: String = args.options.add.iter().map(entry).collect();
    Ok(args.tree.append("etc/dnf/plugins/versionlock.list", text)?)
}

/// A time in seconds since 1970 as ctime(3) writes it, UTC.
fn ctime(seconds: i64) -> String {
    let [year, month, day, hour, minute] = common::civil(seconds);
    let day_of_week = DAYS[seconds.div_euclid(86400).rem_euclid(7) as usize];
    let month = MONTHS[(month - 1) as usize];
    let second = seconds.rem_euclid(60);
    format!("{day_of_week} {month} {day:>2} {hour:02}:{minute:02}:{second:02} {year}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_written_as_by_ctime() {
        assert_eq!(ctime(1_700_000_000), "Tue Nov 14 22:13:20 2023");
        assert_eq!(ctime(0), "Thu Jan  1 00:00:00 1970");
    }

    #[test]
    fn entries_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/dnf/plugins").unwrap();
        tree.write("etc/dnf/plugins/versionlock.list", "old\n").unwrap();
        let document =
            json!({"tree": dir.path(), "options": {"add": ["a", "b"]}, "meta": {"source-epoch": 0}});
        (MODULE.run)(document).unwrap();
        assert_eq!(
            tree.read_text("etc/dnf/plugins/versionlock.list").unwrap(),
            "old\n\n# Added lock on Thu Jan  1 00:00:00 1970\na\n\n# Added lock on Thu Jan  1 00:00:00 1970\nb\n"
        );
    }
}
