//! A disk image beside what was recorded of one: its table, what blkid and dumpe2fs say, the trees in its file systems.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tests::{SmallDisk, oracle};

use super::exported::{self, Recorded};

/// A part of an image, in bytes.
#[derive(Clone, Copy)]
struct Part {
    start: u64,
    size: u64,
}

/// What is different. What the manifest does not name (a random UUID) is not compared.
pub fn differences(file: &Path, recorded: &Value, manifest: &str, mounted: &Path) -> Vec<String> {
    let image = Image {
        file,
        manifest: manifest.to_lowercase(),
        mounted,
    };
    let size = file.metadata().unwrap().len();
    let mut different = Vec::new();
    if recorded["size"] != size {
        different.push(format!("{size} bytes, recorded {}", recorded["size"]));
    }
    let whole = Part { start: 0, size };
    different.extend(image.of_part(whole, recorded));
    if recorded["partitiontable"].is_object() {
        different.extend(image.of_table(recorded));
    }
    different
}

struct Image<'a> {
    file: &'a Path,
    /// In small letters.
    manifest: String,
    mounted: &'a Path,
}

impl Image<'_> {
    fn of_table(&self, recorded: &Value) -> Vec<String> {
        let json = oracle::tool(Command::new("sfdisk").arg("--json").arg(self.file)).unwrap();
        let ours: Value = serde_json::from_str(&json).unwrap();
        let (ours, theirs) = (&ours["partitiontable"], &recorded["partitiontable"]);
        let mut different = self.of_members("table", theirs, ours);
        let list = |table: &Value| table["partitions"].as_array().cloned().unwrap_or_default();
        if list(ours).len() != list(theirs).len() {
            different.push(format!(
                "{} partitions, recorded {}",
                list(ours).len(),
                list(theirs).len()
            ));
            return different;
        }
        let sector = ours["sectorsize"].as_u64().unwrap_or(512);
        for (number, (ours, theirs)) in list(ours).iter().zip(list(theirs)).enumerate() {
            different.extend(self.of_members(&format!("partition {}", number + 1), &theirs, ours));
            let bytes = |key: &str| ours[key].as_u64().unwrap() * sector;
            let part = Part {
                start: bytes("start"),
                size: bytes("size"),
            };
            different.extend(self.of_part(part, &recorded["partitions"][number]));
        }
        if theirs
            .to_string()
            .split('"')
            .filter(|word| word.len() == 36)
            .all(|uuid| self.names(uuid))
        {
            let bytes = std::fs::read(self.file).unwrap();
            let digest = hex::encode(Sha256::digest(&bytes[..34 * 512]));
            if recorded["sha256_first_34_sectors"] != digest.as_str() {
                different.push("the first 34 sectors have other bytes".to_owned());
            }
        }
        different
    }

    /// The members of a recorded table or partition, beside sfdisk's.
    fn of_members(&self, what: &str, theirs: &Value, ours: &Value) -> Vec<String> {
        let compared = |(key, value): &(&String, &Value)| match key.as_str() {
            "node" | "partitions" => false,
            "id" | "uuid" => self.names(value.as_str().unwrap()),
            _ => true,
        };
        let members = theirs.as_object().unwrap().iter().filter(compared);
        let different = members.filter(|(key, value)| ours[key.as_str()] != **value);
        different
            .map(|(key, value)| format!("{what}: {key} {}, recorded {value}", ours[key]))
            .collect()
    }

    fn of_part(&self, part: Part, recorded: &Value) -> Vec<String> {
        let at = part.start;
        let mut different = Vec::new();
        let blkid = self.blkid(part);
        for (key, value) in recorded["blkid"].as_object().into_iter().flatten() {
            let random = key.starts_with("UUID") && !self.names(value.as_str().unwrap());
            if !random && blkid.get(key) != Some(value) {
                different.push(format!("at {at}: {key} {:?}, recorded {value}", blkid.get(key)));
            }
        }
        if let Some(fields) = recorded["ext"].as_object() {
            let name = format!("{}?offset={at}", self.file.display());
            let text = oracle::tool(Command::new("dumpe2fs").arg("-h").arg(name)).unwrap();
            // blocks have one size here, as `docs/compatibility.md` says
            for (key, value) in fields.iter().filter(|(key, _)| *key != "Block size") {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix(key.as_str())?.strip_prefix(':'));
                if line.map(str::trim) != value.as_str() {
                    different.push(format!("at {at}: {key} {line:?}, recorded {value}"));
                }
            }
        }
        if let Some(tree) = recorded["tree"].as_object() {
            different.extend(self.of_tree(part, blkid["TYPE"].as_str().unwrap_or_default(), tree));
        }
        different
    }

    fn of_tree(&self, part: Part, kind: &str, tree: &Map<String, Value>) -> Vec<String> {
        let disk = match SmallDisk::of_image_as(self.mounted, self.file, part.start, kind) {
            Ok(disk) => disk,
            Err(error) => return vec![format!("at {}: {error:#}", part.start)],
        };
        let recorded = Recorded {
            tree,
            manifest: &self.manifest,
            with_times: false,
        };
        let different =
            exported::differences(self.mounted, &recorded, &self.mounted.with_extension("scratch"));
        drop(disk);
        different
            .into_iter()
            .map(|line| format!("at {}: {line}", part.start))
            .collect()
    }

    /// What blkid finds, by itself and not from its cache.
    fn blkid(&self, part: Part) -> Map<String, Value> {
        let (start, size) = (part.start.to_string(), part.size.to_string());
        let mut command = Command::new("blkid");
        command
            .args(["-p", "-o", "export", "-O", &start, "-S", &size])
            .arg(self.file);
        // it fails where it finds nothing
        let text = oracle::tool(&mut command).unwrap_or_default();
        let fields = text.lines().filter_map(|line| line.split_once('='));
        fields
            .map(|(key, value)| (key.to_owned(), value.replace('\\', "").into()))
            .collect()
    }

    /// Whether the manifest names an id, however it writes it.
    fn names(&self, id: &str) -> bool {
        let plain = |text: &str| text.replace('-', "").to_lowercase();
        plain(&self.manifest).contains(&plain(id.trim_start_matches("0x")))
    }
}
