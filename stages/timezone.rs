//! Set the time zone.
//!
//! Makes `/etc/localtime` a link to the zone's file, as localtime(5) wants it. Debian's `/etc/timezone`, where the tree
//! has it, is told the same zone. A zone that neither the tree nor the build root knows is refused.

use std::path::Path;

use module::{Args, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const ZONES: &str = "usr/share/zoneinfo";

/// Options of `org.osbuild.timezone`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The zone, such as `Europe/Prague` or `UTC`.
    zone: String,
}

module::stage! { file: "timezone.rs", name: "org.osbuild.timezone", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let (tree, zone) = (&args.tree, &args.options.zone);
    tree.remove_all("etc/localtime")?;
    ensure!(
        is_name(zone),
        "`{zone}` is not the name of a time zone: it looks like Europe/Prague or UTC"
    );
    ensure!(
        is_known(tree, zone),
        "there is no time zone `{zone}`, neither in /{ZONES} of the tree nor in that of the build root: correct the \
         name or install a newer tzdata"
    );
    tree.mkdir_all("etc")?;
    tree.symlink(format!("../{ZONES}/{zone}"), "etc/localtime")?;
    if tree.is_file("etc/timezone") {
        tree.write("etc/timezone", format!("{zone}\n"))?;
    }
    Ok(())
}

/// Whether `zone` can be a zone's name: no path that leads elsewhere, no character that would need quoting.
fn is_name(zone: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_+".contains(&b))
    };
    zone.split('/').all(part)
}

/// Whether some zone database has `zone`; without any database there is nothing to say against it.
fn is_known(tree: &Tree, zone: &str) -> bool {
    let own = Path::new("/").join(ZONES);
    zone == "UTC"
        || tree.is_file(Path::new(ZONES).join(zone))
        || own.join(zone).is_file()
        || !own.join("Europe").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(dir: &Path, zone: &str) -> Result<()> {
        (MODULE.run)(serde_json::json!({"tree": dir, "options": {"zone": zone}}))
    }

    #[test]
    fn debian_is_told_twice() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc").unwrap();
        tree.write("etc/timezone", "Etc/UTC\n").unwrap();
        tree.mkdir_all("usr/share/zoneinfo/Europe").unwrap();
        tree.write("usr/share/zoneinfo/Europe/Prague", "TZif2").unwrap();
        set(dir.path(), "Europe/Prague").unwrap();
        assert_eq!(tree.read_text("etc/timezone").unwrap(), "Europe/Prague\n");
        assert_eq!(
            tree.read_link("etc/localtime").unwrap(),
            Path::new("../usr/share/zoneinfo/Europe/Prague")
        );
    }

    #[test]
    fn no_zone_leads_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        for zone in ["", "../x", "/etc/passwd", "Europe/", "a//b", "Europe/..", "x y"] {
            assert!(set(dir.path(), zone).is_err(), "{zone}");
        }
    }
}
