//! The boot loaders' configurations: their kernel parameters, and where `coreos-installer` changes them on a medium.

use std::path::Path;

use module::{Context, Result, Tree, ensure};
use serde_json::{Map, Value, json};
use tree::Kind;

/// Where configurations want the kernel parameters.
const ARGUMENTS: &str = "@@KERNEL-ARGS@@";
/// What ends the room for further ones; a row of `#` fills it.
const AREA_END: &str = "# COREOS_KARG_EMBED_AREA\n";
/// The tree's own text on them, for developers.
const README: &str = "README-devel.md";
const LIVE: &str = "usr/share/coreos-assembler/live";

/// Parameters that a live system has otherwise: GRUB's own variable, the serial console, the platform, the deployment.
const NOT_LIVE: [&str; 4] = ["$ignition_firstboot", "console", "ignition.platform.id", "ostree"];

/// What becomes `kargs.json`.
#[derive(Debug, Default)]
pub struct Configuration {
    arguments: String,
    areas: Vec<Area>,
    /// Bytes of each area.
    size: Option<u64>,
    /// What the areas say now.
    default: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Area {
    path: String,
    offset: u64,
    pad: &'static str,
    end: &'static str,
}

impl Configuration {
    /// Of a medium with this label, from an installed system's kernel parameters.
    pub fn of(label: &str, arguments: &[String]) -> Self {
        let live = |argument: &&String| {
            let name = argument.split('=').next().unwrap_or_default();
            !NOT_LIVE.contains(&name)
        };
        let kept = arguments.iter().filter(live).map(String::as_str);
        let medium = format!("coreos.liveiso={label}");
        let arguments = kept.chain([medium.as_str()]).collect::<Vec<_>>().join(" ");
        Self {
            arguments,
            ..Self::default()
        }
    }

    /// Copies the configurations of the deployed tree, filled in.
    pub fn copy(&mut self, deployed: &Tree, iso: &Tree) -> Result<()> {
        self.copy_dir(deployed, Path::new(LIVE), iso, Path::new(""))?;
        if let (Some(size), Some(default)) = (self.size, &self.default) {
            ensure!(
                size > default.len() as u64,
                "the configurations have no room for kernel parameters"
            );
        }
        Ok(())
    }

    fn copy_dir(&mut self, from: &Tree, dir: &Path, iso: &Tree, target: &Path) -> Result<()> {
        for name in from.list(dir)? {
            let (path, target) = (dir.join(&name), target.join(&name));
            let stat = from.stat(&path)?.context("it is gone")?;
            if stat.kind == Kind::Directory {
                iso.mkdir_all(&target)?;
                self.copy_dir(from, &path, iso, &target)?;
            } else if name != README {
                let content = self.filled(from.read(&path)?, &target)?;
                iso.write(&target, content)?;
                iso.chmod(&target, stat.mode)?;
            }
        }
        Ok(())
    }

    /// A file's content with the kernel parameters; its area is noted down.
    fn filled(&mut self, content: Vec<u8>, target: &Path) -> Result<Vec<u8>> {
        let text = match String::from_utf8(content) {
            Ok(text) => text,
            // a picture, say
            Err(error) => return Ok(error.into_bytes()),
        };
        let Some(start) = text.find(ARGUMENTS) else {
            return Ok(text.into_bytes());
        };
        let text = text.replace(ARGUMENTS, &self.arguments);
        if let Some((rest, room)) = area(&text) {
            ensure!(
                start <= rest,
                "{}: the area ends before it begins",
                target.display()
            );
            let default = &text[start..rest];
            let size = (rest + room - start) as u64;
            let other = self.default.get_or_insert_with(|| default.to_owned());
            ensure!(
                other == default,
                "the kernel parameters differ: `{other}`, `{default}`"
            );
            ensure!(
                *self.size.get_or_insert(size) == size,
                "{}: its room for kernel parameters is not that of the others",
                target.display()
            );
            self.areas.push(Area {
                path: target.to_str().context("a path is not UTF-8")?.to_owned(),
                offset: start as u64,
                pad: "#",
                end: "\n",
            });
        }
        Ok(text.into_bytes())
    }

    /// Follows a file that has moved on the medium.
    pub fn moved(&mut self, from: &str, to: &str) {
        for area in self.areas.iter_mut().filter(|area| area.path == from) {
            to.clone_into(&mut area.path);
        }
    }

    /// Adds the only area of a boot image.
    pub fn boot_image(&mut self, path: &str, offset: u64, size: u64) {
        self.areas.push(Area {
            path: path.into(),
            offset,
            pad: "\0",
            end: "\0",
        });
        self.size = Some(size);
    }

    /// What `coreos-installer` reads, if there is any area on the medium.
    pub fn json(mut self, iso: &Tree) -> Option<Value> {
        self.areas.retain(|area| iso.exists(&area.path));
        self.areas.sort_by(|a, b| a.path.cmp(&b.path));
        let area =
            |area: &Area| json!({"end": area.end, "offset": area.offset, "pad": area.pad, "path": area.path});
        let files: Vec<Value> = self.areas.iter().map(area).collect();
        if files.is_empty() {
            return None;
        }
        let mut all = Map::new();
        if let Some(default) = &self.default {
            all.insert("default".into(), default.trim().into());
        }
        all.insert("files".into(), files.into());
        all.extend(self.size.map(|size| ("size".to_owned(), size.into())));
        Some(all.into())
    }
}

/// Where the row of `#` begins that fills the room, and its length; the last one belongs to the mark.
fn area(text: &str) -> Option<(usize, usize)> {
    text.match_indices(AREA_END).find_map(|(at, _)| {
        let row = text[..at].len() - text[..at].trim_end_matches('#').len();
        (row > 0).then(|| (at - row, row))
    })
}

#[cfg(test)]
pub fn area_of(text: &str) -> Option<(usize, usize)> {
    area(text)
}
