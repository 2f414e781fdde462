//! The files together: looking up, finding free ids, changing, saving.

use module::{Result, Tree, anyhow, bail};
use rustix::fs::OFlags;

use super::table::Table;
use super::{Defaults, subid};

const LOCK: &str = "etc/.pwd.lock";

/// The database as it was opened; what is changed lands in the tree with [`save`](Self::save).
///
/// One of these stands for one run of a tool: the backup files have what was there when it was opened.
#[derive(Debug)]
pub struct Database<'a> {
    tree: &'a Tree,
    passwd: Table,
    shadow: Table,
    group: Table,
    gshadow: Table,
}

/// A line of `passwd`: what [`password`](Self::password) says is for the one of `shadow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub description: String,
    pub home: String,
    pub shell: String,
}

/// A line of `group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub gid: u32,
}

impl<'a> Database<'a> {
    /// Reads the files. Which of them are there decides where passwords go.
    pub fn open(tree: &'a Tree) -> Result<Self> {
        Ok(Self {
            tree,
            passwd: Table::read(tree, "etc/passwd", 7)?,
            shadow: Table::read(tree, "etc/shadow", 9)?,
            group: Table::read(tree, "etc/group", 4)?,
            gshadow: Table::read(tree, "etc/gshadow", 4)?,
        })
    }

    /// Leaves the lock file that every tool leaves.
    pub fn lock(&self) -> Result<()> {
        self.tree.mkdir_all("etc")?;
        if !self.tree.exists(LOCK) {
            let flags = OFlags::WRONLY | OFlags::CREATE;
            self.tree.open_at(LOCK, flags, 0o600)?;
        }
        Ok(())
    }

    /// Writes what was changed.
    pub fn save(&self) -> Result<()> {
        for table in [&self.passwd, &self.shadow, &self.group, &self.gshadow] {
            table.save(self.tree)?;
        }
        Ok(())
    }

    /// The user `name`.
    pub fn user(&self, name: &str) -> Result<Option<User>> {
        let Some(entry) = self.passwd.entry(name) else {
            return Ok(None);
        };
        let id = |field: usize| {
            let text = &entry[field];
            text.parse()
                .map_err(|_| anyhow!("/etc/passwd: user `{name}`: `{text}` is not an id"))
        };
        Ok(Some(User {
            name: name.to_owned(),
            uid: id(2)?,
            gid: id(3)?,
            description: entry[4].clone(),
            home: entry[5].clone(),
            shell: entry[6].clone(),
        }))
    }

    /// Whether there is a group `name`.
    pub fn has_group(&self, name: &str) -> bool {
        self.group.entry(name).is_some()
    }

    /// Whether a group has the id `gid`.
    pub fn has_gid(&self, gid: u32) -> bool {
        ids(&self.group).any(|id| id == gid)
    }

    /// The id of the group `name`.
    pub fn gid_of(&self, name: &str) -> Option<u32> {
        self.group.entry(name)?[2].parse().ok()
    }

    /// An id that no user has.
    pub fn free_uid(&self, defaults: &Defaults) -> Result<u32> {
        free_id("user", ids(&self.passwd), defaults.id_range("UID"), None)
    }

    /// An id that no group has: `wanted` where it is free and one for ordinary groups.
    pub fn free_gid(&self, defaults: &Defaults, wanted: Option<u32>) -> Result<u32> {
        free_id("group", ids(&self.group), defaults.id_range("GID"), wanted)
    }

    /// Adds a group, or the lines that it lacks.
    pub fn add_group(&mut self, group: &Group) {
        let line = [&group.name, "x", &group.gid.to_string(), ""].map(str::to_owned);
        self.group.push(&line);
        if self.gshadow.present {
            self.gshadow.set(&[&group.name, "!", "", ""].map(str::to_owned));
        }
    }

    /// Writes the line of a user, new or not. The password of one that is there stays.
    pub fn set_user(&mut self, user: &User, password_if_new: &str) {
        let password = match self.passwd.entry(&user.name) {
            Some(old) => old[1].clone(),
            None if self.shadow.present => "x".to_owned(),
            None => password_if_new.to_owned(),
        };
        let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
        let fields = [
            &user.name,
            &password,
            &uid,
            &gid,
            &user.description,
            &user.home,
            &user.shell,
        ];
        self.passwd.set(&fields.map(String::clone));
    }

    /// Adds the line of `shadow` for a new user, where the tree has the file.
    pub fn add_shadow(&mut self, name: &str, password: &str, today: i64, rest: &[String; 6]) {
        if self.shadow.present {
            let head = [name.to_owned(), password.to_owned(), today.to_string()];
            self.shadow.set(&[&head[..], rest].concat());
        }
    }

    /// Changes fields of the user's line in `shadow`; `false` where there is none.
    pub fn change_shadow(&mut self, name: &str, change: impl FnOnce(&mut [String])) -> bool {
        let Some(mut entry) = self.shadow.entry(name) else {
            return false;
        };
        change(&mut entry);
        self.shadow.set(&entry);
        true
    }

    /// Sets the password of a user who is there.
    pub fn set_password(&mut self, name: &str, password: &str, today: i64, rest: &[String; 6]) {
        if !self.shadow.present {
            if let Some(mut entry) = self.passwd.entry(name) {
                entry[1] = password.to_owned();
                self.passwd.set(&entry);
            }
            return;
        }
        self.passwd.touch();
        let change = |entry: &mut [String]| {
            entry[1] = password.to_owned();
            entry[2] = today.to_string();
        };
        if !self.change_shadow(name, change) {
            self.add_shadow(name, password, today, rest);
        }
    }

    /// Refuses to make the user a member of groups that are not there.
    pub fn ensure_groups(&self, name: &str, groups: &[String]) -> Result<()> {
        if let Some(missing) = groups.iter().find(|group| !self.has_group(group)) {
            bail!("user `{name}`: there is no group `{missing}`: make it with org.osbuild.groups first");
        }
        Ok(())
    }

    /// Makes the user a member of `groups`; with `exactly`, of no others.
    pub fn set_groups(&mut self, name: &str, groups: &[String], exactly: bool) {
        for table in [&mut self.group, &mut self.gshadow] {
            let names: Vec<_> = table.entries().map(|entry| entry[0].to_owned()).collect();
            for group in names {
                let Some(mut entry) = table.entry(&group) else {
                    continue;
                };
                let mut members: Vec<_> = entry[3].split(',').filter(|m| !m.is_empty()).collect();
                let (is, shall) = (members.contains(&name), groups.contains(&group));
                match (is, shall) {
                    (false, true) => members.push(name),
                    (true, false) if exactly => members.retain(|member| *member != name),
                    _ => continue,
                }
                entry[3] = members.join(",");
                table.set(&entry);
            }
        }
    }

    /// Gives a new user ranges of subordinate ids, where the tree keeps such.
    pub fn add_subordinate_ids(&self, defaults: &Defaults, name: &str) -> Result<()> {
        subid::add_range(self.tree, defaults, "UID", name)?;
        subid::add_range(self.tree, defaults, "GID", name)
    }
}

/// The third fields of the entries.
fn ids(table: &Table) -> impl Iterator<Item = u32> {
    table.entries().filter_map(|entry| entry[2].parse().ok())
}

/// The id after the highest one in use; where that is the last one, the first free one.
fn free_id(
    what: &str,
    used: impl Iterator<Item = u32>,
    (min, max): (u32, u32),
    wanted: Option<u32>,
) -> Result<u32> {
    let used: std::collections::BTreeSet<u32> = used.filter(|id| (min..=max).contains(id)).collect();
    if let Some(wanted) = wanted
        && (min..=max).contains(&wanted)
        && !used.contains(&wanted)
    {
        return Ok(wanted);
    }
    let next = used.last().map_or(Some(min), |last| last.checked_add(1));
    next.filter(|next| *next <= max)
        .or_else(|| (min..=max).find(|id| !used.contains(id)))
        .ok_or_else(|| anyhow!("no {what} id is free from {min} to {max}: see /etc/login.defs of the tree"))
}
