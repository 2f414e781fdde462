//! Make users, and change those that are there.
//!
//! As useradd(8) and usermod(8) would, but by itself: neither the build root nor the tree needs the tools. The tree's
//! `/etc/login.defs`, `/etc/default/useradd` and `/etc/skel` are heeded: id ranges, a group of the user's own, the
//! mode of the home directory, subordinate ids, a mailbox. The day of the last password change is that of the
//! pipeline's source epoch.
//!
//! A user who is there gets the options that are given; `groups` then are all of their groups. A home directory that
//! is missing is made, except for `"home": ""`, or, without `home` and keys, where `login.defs` says `CREATE_HOME no`.
//!
//! `password` is a hash as in crypt(5), never the password itself; without one nobody can log in with a password.

use std::collections::BTreeMap;

use module::{Args, Meta, Result, Tree, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::accounts::{self, Database, Defaults, check_field};
use crate::common::{self, Keyed, Whole, keys};

/// Options of `org.osbuild.users`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name → user, made in this order.
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<String, User>",
        transform = keys("^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,255}$")
    )]
    users: Keyed<User>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
struct User {
    /// The user's id; two users may have the same.
    #[serde(default)]
    #[schemars(with = "Whole")]
    uid: Option<Whole>,
    /// The id of the primary group, which must be there; by default a group of the user's own is made.
    #[serde(default)]
    #[schemars(with = "Whole")]
    gid: Option<Whole>,
    /// Names of further groups, which must be there.
    groups: Option<Vec<String>>,
    /// The full name or whatever describes the user.
    description: Option<String>,
    /// The home directory; empty: the usual one, which is not made.
    home: Option<String>,
    /// The login shell.
    shell: Option<String>,
    /// The hash of the password.
    password: Option<String>,
    /// An ssh key that may log in.
    key: Option<String>,
    /// Further ssh keys.
    keys: Option<Vec<String>>,
    /// The day on which the account ends, in days since 1970; -1: never.
    expiredate: Option<i64>,
    /// Whether the password must be changed at the first login.
    #[serde(default)]
    #[schemars(with = "bool")]
    force_password_reset: bool,
}

module::stage! {
    file: "users.rs", name: "org.osbuild.users", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    libraries: [common::SOURCE, accounts::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let tree = &args.tree;
    for (name, options) in args.options.users.iter() {
        check(name, options)?;
        let defaults = Defaults::read(tree)?;
        let user = match Database::open(tree)?.user(name)? {
            Some(user) => change(tree, &defaults, &args.meta, user, options)?,
            None => add(tree, &defaults, &args.meta, name, options)?,
        };
        if options.force_password_reset {
            expire_password(tree, name)?;
        }
        let mut keys = options
            .keys
            .iter()
            .flatten()
            .chain(&options.key)
            .map(String::as_str)
            .peekable();
        if keys.peek().is_some() {
            accounts::add_keys(tree, &user, keys)?;
        }
    }
    Ok(())
}

fn check(name: &str, options: &User) -> Result<()> {
    ensure!(
        !matches!(name, "." | ".."),
        "`{name}` cannot be the name of a user"
    );
    let fields = [
        ("description", &options.description),
        ("home", &options.home),
        ("shell", &options.shell),
        ("password", &options.password),
    ];
    for (option, value) in fields {
        let value = value.as_deref().unwrap_or_default();
        check_field(name, option, value)?;
        let is_path = matches!(option, "home" | "shell");
        ensure!(
            !is_path || value.is_empty() || value.starts_with('/'),
            "user `{name}`: `{option}` must be an absolute path, it is `{value}`"
        );
    }
    let password = options.password.as_deref().unwrap_or_default();
    if !(password.is_empty() || password.starts_with(['$', '!', '*', '_']) || password.len() == 13) {
        println!(
            "warning: user `{name}`: `password` does not look like a hash of crypt(5), as openssl passwd -6 makes"
        );
    }
    Ok(())
}

/// What useradd(8) does.
fn add(tree: &Tree, defaults: &Defaults, meta: &Meta, name: &str, options: &User) -> Result<accounts::User> {
    let mut database = Database::open(tree)?;
    let given_uid = options.uid.map(|uid| uid.0);
    let own_group = options.gid.is_none() && defaults.switch("USERGROUPS_ENAB") == Some(true);
    ensure!(
        !(own_group && database.has_group(name)),
        "user `{name}`: a group of that name is there: to make it the primary one, give its id as `gid`"
    );
    if let Some(gid) = options.gid {
        ensure_gid(&database, name, gid.0)?;
    }
    let groups = options.groups.as_deref().unwrap_or_default();
    database.lock()?;
    database.ensure_groups(name, groups)?;
    let uid = given_uid.map_or_else(|| database.free_uid(defaults), Ok)?;
    let gid = match options.gid {
        Some(gid) => gid.0,
        None if own_group => database.free_gid(defaults, Some(uid))?,
        None => shared_gid(&database, defaults),
    };
    let given_home = options.home.as_deref().filter(|home| !home.is_empty());
    let usual_home = || format!("{}/{name}", defaults.useradd_setting("HOME", "/home"));
    let shell = options.shell.as_deref();
    let user = accounts::User {
        name: name.to_owned(),
        uid,
        gid,
        description: options.description.clone().unwrap_or_default(),
        home: given_home.map_or_else(usual_home, str::to_owned),
        shell: shell
            .unwrap_or_else(|| defaults.useradd_setting("SHELL", "/bin/bash"))
            .to_owned(),
    };
    let password = options.password.as_deref().unwrap_or("!");
    database.set_user(&user, password);
    database.add_shadow(
        name,
        password,
        accounts::today(meta),
        &shadow_rest(defaults, options),
    );
    database.set_groups(name, groups, false);
    if own_group {
        database.add_group(&accounts::Group {
            name: name.to_owned(),
            gid,
        });
    }
    let (first, last) = defaults.id_range("UID");
    if given_uid.is_none_or(|uid| uid == 0 || (first..=last).contains(&uid)) {
        database.add_subordinate_ids(defaults, name)?;
    }
    database.save()?;
    let wants_home = match &options.home {
        Some(home) => !home.is_empty(),
        None => has_keys(options) || defaults.switch("CREATE_HOME") != Some(false),
    };
    if wants_home || has_keys(options) {
        accounts::make_home(tree, defaults, &user)?;
    }
    accounts::make_mail_spool(tree, defaults, &user, database.gid_of("mail"))?;
    Ok(user)
}

/// What usermod(8) does.
fn change(
    tree: &Tree,
    defaults: &Defaults,
    meta: &Meta,
    old: accounts::User,
    options: &User,
) -> Result<accounts::User> {
    let mut database = Database::open(tree)?;
    let name = &old.name;
    if let Some(uid) = options.uid {
        ensure!(
            uid.0 == old.uid,
            "user `{name}` is there with the id {}, not {uid}: leave `uid` out",
            old.uid
        );
    }
    let mut user = old.clone();
    if let Some(gid) = options.gid {
        ensure_gid(&database, name, gid.0)?;
        user.gid = gid.0;
    }
    let given_home = options.home.as_ref().filter(|home| !home.is_empty());
    let given = [
        (&mut user.description, options.description.as_ref()),
        (&mut user.home, given_home),
    ];
    for (field, value) in given
        .into_iter()
        .chain([(&mut user.shell, options.shell.as_ref())])
    {
        if let Some(value) = value {
            field.clone_from(value);
        }
    }
    database.ensure_groups(name, options.groups.as_deref().unwrap_or_default())?;
    let says_more = options.groups.is_some() || options.password.is_some() || options.expiredate.is_some();
    if user != old || says_more {
        database.lock()?;
    }
    if user != old {
        database.set_user(&user, "");
    }
    if let Some(password) = &options.password {
        database.set_password(
            name,
            password,
            accounts::today(meta),
            &shadow_rest(defaults, options),
        );
    }
    if let Some(day) = options.expiredate {
        database.change_shadow(name, |entry| entry[7] = expiry(day));
    }
    if let Some(groups) = &options.groups {
        database.set_groups(name, groups, true);
    }
    database.save()?;
    if user.gid != old.gid {
        accounts::change_group(tree, &user.home, old.gid, user.gid)?;
    }
    if options.home.as_deref() != Some("") && tree.stat_followed(&user.home)?.is_none() {
        accounts::make_home(tree, defaults, &user)?;
    }
    Ok(user)
}

/// What `passwd --expire` does.
fn expire_password(tree: &Tree, name: &str) -> Result<()> {
    let mut database = Database::open(tree)?;
    database.lock()?;
    if !database.change_shadow(name, |entry| entry[2] = "0".into()) {
        println!("warning: user `{name}` has no line in /etc/shadow: there is no password to be changed");
    }
    database.save()
}

fn has_keys(options: &User) -> bool {
    options.key.is_some() || options.keys.as_ref().is_some_and(|keys| !keys.is_empty())
}

fn ensure_gid(database: &Database<'_>, name: &str, gid: u32) -> Result<()> {
    if !database.has_gid(gid) {
        bail!("user `{name}`: no group has the id {gid}: make it with org.osbuild.groups first");
    }
    Ok(())
}

/// The group of users who have none of their own.
fn shared_gid(database: &Database<'_>, defaults: &Defaults) -> u32 {
    let group = defaults.useradd_setting("GROUP", "100");
    group
        .parse()
        .ok()
        .or_else(|| database.gid_of(group))
        .unwrap_or(100)
}

fn shadow_rest(defaults: &Defaults, options: &User) -> [String; 6] {
    let mut rest = defaults.shadow_fields();
    if let Some(day) = options.expiredate {
        rest[4] = expiry(day);
    }
    rest
}

fn expiry(day: i64) -> String {
    if day < 0 { String::new() } else { day.to_string() }
}

#[cfg(test)]
mod tests;
