//! Blueprints, as composer has them: what an image shall have, in TOML or JSON.
//!
//! `remote = "Self"` makes what serde derives a plain function, which `table` calls.

mod read;
mod table;
mod value;

use std::collections::BTreeMap;

use serde::Deserialize;

#[cfg(test)]
pub use read::parse;
pub use read::read;
pub use value::{Bytes, Id, Mode, Owner};

/// A blueprint. Every key but these is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct Blueprint {
    pub name: String,
    pub description: String,
    pub version: String,
    /// The distribution, where the command line names none.
    pub distro: Option<String>,
    pub packages: Vec<Package>,
    /// The same as `packages`: composer's word for them in old blueprints.
    pub modules: Vec<Package>,
    pub groups: Vec<PackageGroup>,
    pub customizations: Customizations,
}

/// A package to install.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Package {
    pub name: String,
    /// A version, possibly with `*` in it; any without one.
    #[serde(default)]
    pub version: String,
}

/// A group of packages: a task of the distribution.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct PackageGroup {
    pub name: String,
}

/// What is changed after the packages are installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct Customizations {
    #[serde(deserialize_with = "value::hostname")]
    pub hostname: Option<String>,
    pub kernel: Kernel,
    pub user: Vec<User>,
    pub group: Vec<Group>,
    pub sshkey: Vec<SshKey>,
    pub timezone: Timezone,
    pub locale: Locale,
    pub services: Services,
    pub filesystem: Vec<Filesystem>,
    pub files: Vec<File>,
    pub directories: Vec<Directory>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct Kernel {
    /// The kernel package, in the place of the usual one.
    pub name: Option<String>,
    /// Words for the kernel's command line.
    pub append: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct User {
    pub name: String,
    #[serde(deserialize_with = "value::description")]
    pub description: Option<String>,
    /// A crypt hash, or a plain password, which is hashed.
    pub password: Option<String>,
    /// Public SSH keys, one a line.
    pub key: Option<String>,
    #[serde(deserialize_with = "value::home")]
    pub home: Option<String>,
    #[serde(deserialize_with = "value::shell")]
    pub shell: Option<String>,
    pub groups: Vec<String>,
    pub uid: Option<Id>,
    pub gid: Option<Id>,
    /// Days since 1970 after which the account is closed.
    pub expiredate: Option<i64>,
    pub force_password_reset: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Group {
    pub name: String,
    #[serde(default)]
    pub gid: Option<Id>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct SshKey {
    pub user: String,
    pub key: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct Timezone {
    pub timezone: Option<String>,
    pub ntpservers: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct Locale {
    /// The first is the system's language, the others are generated too.
    pub languages: Vec<String>,
    pub keyboard: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct Services {
    pub enabled: Vec<String>,
    pub disabled: Vec<String>,
    pub masked: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Filesystem {
    pub mountpoint: String,
    #[serde(default, alias = "size")]
    pub minsize: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct File {
    pub path: String,
    #[serde(default)]
    pub mode: Option<Mode>,
    #[serde(default)]
    pub user: Option<Owner>,
    #[serde(default)]
    pub group: Option<Owner>,
    #[serde(default)]
    pub data: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Directory {
    pub path: String,
    #[serde(default)]
    pub mode: Option<Mode>,
    #[serde(default)]
    pub user: Option<Owner>,
    #[serde(default)]
    pub group: Option<Owner>,
    #[serde(default)]
    pub ensure_parents: bool,
}

impl Blueprint {
    /// The packages that are asked for by name.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().chain(&self.modules)
    }

    /// The SSH keys of each user: those in `user`, then those in `sshkey`, each once.
    pub fn keys(&self) -> BTreeMap<&str, Vec<&str>> {
        let users = self.customizations.user.iter();
        let of_users = users.filter_map(|user| Some((user.name.as_str(), user.key.as_deref()?)));
        let more = self.customizations.sshkey.iter();
        let more = more.map(|entry| (entry.user.as_str(), entry.key.as_str()));
        let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (user, text) in of_users.chain(more) {
            let list = keys.entry(user).or_default();
            for key in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                if !list.contains(&key) {
                    list.push(key);
                }
            }
        }
        keys
    }
}
