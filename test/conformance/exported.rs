//! An exported tree beside a recorded one.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tests::listing::{Item, list};
use tests::oracle;

use super::{archive, image};

/// A recorded tree.
pub struct Recorded<'a> {
    /// By path, each with a leading slash.
    pub tree: &'a Map<String, Value>,
    /// The text of the manifest: what it names is the same in every build.
    pub manifest: &'a str,
    /// Times in archives are the same in every build.
    pub with_times: bool,
}

/// What is different, each with its path. `scratch` is a directory to be made, used and removed.
pub fn differences(dir: &Path, recorded: &Recorded<'_>, scratch: &Path) -> Vec<String> {
    std::fs::create_dir(scratch).unwrap();
    let (mut ours, mut theirs) = (Said::new(), Said::new());
    let mut different = Vec::new();
    for (path, item) in list(dir) {
        if path.as_os_str().is_empty() {
            continue;
        }
        let path = format!("/{}", path.display());
        let counterpart = recorded.tree.get(&path).unwrap_or(&Value::Null);
        let file = dir.join(&path[1..]);
        let content = || match is_opaque(counterpart) {
            true => String::new(),
            false => archive::content(&std::fs::read(&file).unwrap(), recorded.with_times, scratch),
        };
        ours.entry(key(&path))
            .or_default()
            .push(said_of_item(&item, content));
        different.extend(
            of_image(&file, counterpart, recorded, scratch)
                .into_iter()
                .map(|d| format!("{path}: {d}")),
        );
    }
    for (path, item) in recorded.tree {
        let content = || archive::recorded_content(item, recorded.with_times, scratch);
        theirs
            .entry(key(path))
            .or_default()
            .push(said_of_record(item, content));
    }
    std::fs::remove_dir_all(scratch).unwrap();
    different.extend(compared(ours, theirs));
    different
}

/// What is to be said of the entries of each path. Those whose names are digests share one.
type Said = BTreeMap<String, Vec<String>>;

/// By what a path is compared; none if it is not.
fn key(path: &str) -> String {
    archive::elsewhere(path)
        .map(|path| archive::masked(&path))
        .unwrap_or_default()
}

fn compared(mut ours: Said, mut theirs: Said) -> Vec<String> {
    let mut different = Vec::new();
    ours.remove("");
    theirs.remove("");
    for (path, mut said) in ours {
        let mut recorded = theirs.remove(&path).unwrap_or_default();
        said.sort();
        recorded.sort();
        if said != recorded {
            different.push(format!("{path}: {said:?}, recorded {recorded:?}"));
        }
    }
    different.extend(
        theirs
            .into_iter()
            .map(|(path, recorded)| format!("{path}: not there, recorded {recorded:?}")),
    );
    different
}

/// A file whose bytes are another matter: an image, or one of which only the digest was recorded.
fn is_opaque(recorded: &Value) -> bool {
    let has = |key: &str| recorded.get(key).is_some();
    has("image") || has("qemu-img") || has("sha256") && !has("content_b64")
}

fn said_of_item(item: &Item, content: impl FnOnce() -> String) -> String {
    let owner = format!("{}:{}", item.uid, item.gid);
    match item.kind {
        "directory" => format!("dir {:04o} {owner}", item.mode),
        "link" => format!("symlink {owner} to {}", item.content),
        "file" => format!("file {:04o} {owner} {}", item.mode, content()),
        other => format!("{other} {:04o} {owner}", item.mode),
    }
}

fn said_of_record(item: &Value, content: impl FnOnce() -> String) -> String {
    let owner = format!("{}:{}", item["uid"], item["gid"]);
    let mode = item["mode"].as_str().unwrap_or_default();
    match item["type"].as_str().unwrap() {
        "symlink" => format!("symlink {owner} to {}", item["target"]),
        "file" if is_opaque(item) => format!("file {mode} {owner} "),
        "file" => format!("file {mode} {owner} {}", content()),
        other => format!("{other} {mode} {owner}"),
    }
}

fn of_image(file: &Path, item: &Value, recorded: &Recorded<'_>, scratch: &Path) -> Vec<String> {
    let mut different = Vec::new();
    if item["image"].is_object() {
        different = image::differences(file, &item["image"], recorded.manifest, &scratch.join("mounted"));
    }
    for (key, value) in item["qemu-img"].as_object().into_iter().flatten() {
        let info = oracle::qemu_img_info(file).unwrap();
        if info[key] != *value {
            different.push(format!("{key} {}, recorded {value}", info[key]));
        }
    }
    different
}
