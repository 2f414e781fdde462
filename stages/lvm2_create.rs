//! Make a physical volume of LVM 2, a volume group on it and logical volumes.
//!
//! The metadata is written here, without LVM's tools and the device mapper: extents of 4 MiB from 1 MiB on, linear volumes one
//! behind the other. What LVM draws by lot, the ids and the group's name, is derived from the stage's id; the stage
//! `org.osbuild.lvm2.metadata` gives the group its name once the disk is done. `size` is rounded up to whole extents, its
//! unit is MiB if not said.

use image::lvm2::{self, Extents, Group, Id, Volume};
use module::{Args, Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};

/// Options of `org.osbuild.lvm2.create`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub struct Options {
    /// The logical volumes.
    #[schemars(length(min = 1))]
    volumes: Vec<Wanted>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["size"]}, {"required": ["extents"]}]))]
struct Wanted {
    /// Its name.
    #[schemars(regex(pattern = "[a-zA-Z09+_.][a-zA-Z0-9+_.-]*"))]
    name: String,
    /// How many extents it has: a number, or a part of the whole (`50%VG`, `50%PVS`) or of what is left (`100%FREE`).
    #[schemars(regex(pattern = "[1-9][0-9]*(%(VG|PVS|FREE|ORIGIN))?"))]
    extents: Option<String>,
    /// Its size: a number and a unit, one of `bskmgtpe`.
    #[schemars(regex(pattern = "[1-9][0-9]*[bBsSkKmMgGtTpPeE]?"))]
    size: Option<String>,
}

module::stage! {
    file: "lvm2_create.rs", name: "org.osbuild.lvm2.create", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let id = |what: &str| Id::of(&disk::derived(&args, what));
    let volumes = args.options.volumes.iter().map(|wanted| {
        Ok(Volume {
            name: plain_name(&wanted.name)?.to_owned(),
            id: id(&format!("logical volume {}", wanted.name)),
            size: wanted.extents()?,
        })
    });
    let group = Group {
        name: disk::derived(&args, "name of the volume group").to_string(),
        id: id("volume group"),
        pv_id: id("physical volume"),
        pv_size: target.size,
        volumes: volumes.collect::<Result<_>>()?,
        created: args.meta.source_epoch.unwrap_or(0),
        host: "osbuild".into(),
    };
    println!("the volume group is {}", group.name);
    let text = group.text()?;
    Ok(device(&target).create(&group.pv_id, &text)?)
}

/// The device as a physical volume.
pub(crate) fn device(target: &Target) -> lvm2::Device<'_> {
    lvm2::Device {
        image: &target.image,
        start: target.start,
        size: target.size,
    }
}

/// A name that LVM takes for a group or a volume.
pub(crate) fn plain_name(name: &str) -> Result<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    let good = !matches!(name, "" | "." | "..") && !name.starts_with('-');
    ensure!(
        good && name.len() < 128 && name.chars().all(is_plain),
        "LVM has no name such as `{name}`: letters, digits and `+_.-`"
    );
    Ok(name)
}

impl Wanted {
    fn extents(&self) -> Result<Extents> {
        let wrong = || format!("the logical volume {}", self.name);
        match (self.extents.as_deref(), self.size.as_deref()) {
            (Some(extents), None) => parse_extents(extents).with_context(wrong),
            (None, Some(size)) => Ok(Extents::Bytes(parse_size(size).with_context(wrong)?)),
            _ => bail!(
                "the logical volume {} needs `size` or `extents`, one of them",
                self.name
            ),
        }
    }
}

fn parse_extents(text: &str) -> Result<Extents> {
    let (number, of) = text.split_once('%').map_or((text, None), |(n, of)| (n, Some(of)));
    let number = number.parse().with_context(|| format!("`extents` is `{text}`"))?;
    Ok(match of {
        None => Extents::Count(number),
        Some("VG" | "PVS") => Extents::OfGroup(number),
        Some("FREE") => Extents::OfFree(number),
        Some("ORIGIN") => bail!("`{text}`: only a snapshot has an origin"),
        Some(_) => bail!("`extents` is `{text}`"),
    })
}

/// Bytes; units are powers of 1024, whatever their case (lvcreate(8)).
fn parse_size(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().with_context(|| format!("`size` is `{text}`"))?;
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "s" => 512,
        "k" => 1 << 10,
        "" | "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        "e" => 1 << 60,
        _ => bail!("`size` is `{text}`: a whole number and a unit, one of `bskmgtpe`"),
    };
    number
        .checked_mul(unit)
        .with_context(|| format!("`size` is `{text}`, more than any disk has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_extents_as_lvcreate_has_them() {
        assert_eq!(parse_size("10G").unwrap(), 10 << 30);
        assert_eq!(parse_size("7").unwrap(), 7 << 20);
        assert_eq!(parse_size("3s").unwrap(), 1536);
        for wrong in ["", "G", "1.5G", "1x", "99999999999E"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_extents("100%FREE").unwrap(), Extents::OfFree(100));
        assert_eq!(parse_extents("5%PVS").unwrap(), Extents::OfGroup(5));
        assert_eq!(parse_extents("12").unwrap(), Extents::Count(12));
        for wrong in ["5%ORIGIN", "5%", "x"] {
            assert!(parse_extents(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_lvms() {
        assert!(plain_name("root-1.a_b+").is_ok());
        for wrong in ["", ".", "-a", "a b", "a{", &"x".repeat(128)] {
            assert!(plain_name(wrong).is_err(), "{wrong}");
        }
    }
}
