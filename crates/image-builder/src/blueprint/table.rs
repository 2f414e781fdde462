//! The parts of a blueprint are keys with values. What serde derives would take the values alone, too: a list.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::{
    Blueprint, Customizations, Directory, File, Filesystem, Group, Kernel, Locale, Package, PackageGroup,
    Services, SshKey, Timezone, User,
};

macro_rules! tables {
    ($($table:ident: $what:literal,)*) => { $(
        impl<'de> Deserialize<'de> for $table {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Keys;

                impl<'de> Visitor<'de> for Keys {
                    type Value = $table;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$table, A::Error> {
                        // the derived one
                        $table::deserialize(MapAccessDeserializer::new(map))
                    }
                }

                from.deserialize_map(Keys)
            }
        }
    )* };
}

tables! {
    Blueprint: "a blueprint, with keys such as `packages`",
    Package: "a package, with the key `name`",
    PackageGroup: "a group of packages, with the key `name`",
    Customizations: "customizations, with keys such as `hostname`",
    Kernel: "a kernel, with keys such as `append`",
    User: "a user, with the key `name`",
    Group: "a group, with the key `name`",
    SshKey: "an SSH key, with the keys `user` and `key`",
    Timezone: "a time zone, with keys such as `timezone`",
    Locale: "a locale, with keys such as `languages`",
    Services: "services, with keys such as `enabled`",
    Filesystem: "a file system, with the key `mountpoint`",
    File: "a file, with the key `path`",
    Directory: "a directory, with the key `path`",
}
