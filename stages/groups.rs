//! Make groups.
//!
//! As groupadd(8) would, but by itself: neither the build root nor the tree needs the tool. A group without `gid` gets
//! the id after the highest one in use, within the bounds of the tree's `/etc/login.defs`. A group that is there
//! already is an error, unless `force` is set.

use std::collections::BTreeMap;

use module::{Args, Result, Tree, bail};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::accounts::{self, Database, Defaults};
use crate::common::{self, Keyed, Whole, keys};

/// The longest name that groupadd(8) takes.
const LONGEST: usize = 32;

/// Options of `org.osbuild.groups`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name → group, made in this order.
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<String, Group>",
        transform = keys("^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}$")
    )]
    groups: Keyed<Group>,
    /// Take a group that is there already, and another id where the wanted one is in use.
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Group {
    /// The group's id.
    #[serde(default)]
    #[schemars(with = "Whole")]
    gid: Option<Whole>,
}

module::stage! {
    file: "groups.rs", name: "org.osbuild.groups", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    libraries: [common::SOURCE, accounts::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    for (name, group) in args.options.groups.iter() {
        add(&args.tree, name, group.gid.map(|gid| gid.0), args.options.force)?;
    }
    Ok(())
}

fn add(tree: &Tree, name: &str, gid: Option<u32>, force: bool) -> Result<()> {
    let defaults = Defaults::read(tree)?;
    let mut database = Database::open(tree)?;
    if name.len() > LONGEST {
        bail!("group `{name}`: a name has at most {LONGEST} characters");
    }
    if database.has_group(name) {
        if force {
            return Ok(());
        }
        bail!("group `{name}` is there already: leave it out or set `force`");
    }
    let gid = match gid {
        Some(gid) if !database.has_gid(gid) => gid,
        Some(gid) if !force => {
            bail!("group `{name}`: another group has the id {gid}: choose another id or set `force`")
        }
        _ => database.free_gid(&defaults, None)?,
    };
    database.lock()?;
    database.add_group(&accounts::Group {
        name: name.to_owned(),
        gid,
    });
    database.save()
}
