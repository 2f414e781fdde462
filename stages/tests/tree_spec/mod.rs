//! Trees written down as JSON: `{"/path": {"type", "mode", "uid", "gid", "content", "target", …}}`.

use std::collections::BTreeMap;
use std::os::unix::fs::{self as unix, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A path from the root of the tree → what is there.
pub type Spec = Map<String, Value>;

/// Makes what `spec` says below `root`: directories first, hard links last.
pub fn build(root: &Path, spec: &Spec) {
    let mut entries: Vec<_> = spec.iter().collect();
    entries.sort_by_key(|(path, entry)| (entry["type"] == "hardlink", *path));
    for (path, entry) in &entries {
        make(root, &at(root, path), entry);
    }
    // modes last: a directory without the write bit would stop anyone but root
    for (path, entry) in entries.iter().rev() {
        if let Some(mode) = entry["mode"].as_str() {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            std::fs::set_permissions(at(root, path), PermissionsExt::from_mode(mode)).unwrap();
        }
    }
}

fn make(root: &Path, path: &Path, entry: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    match entry["type"].as_str().unwrap() {
        "dir" => std::fs::create_dir_all(path).unwrap(),
        "symlink" => unix::symlink(entry["target"].as_str().unwrap(), path).unwrap(),
        "hardlink" => std::fs::hard_link(at(root, entry["to"].as_str().unwrap()), path).unwrap(),
        "file" => {
            std::fs::write(path, content(entry).unwrap_or_default()).unwrap();
            if let Some(size) = entry["size"].as_u64() {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_len(size).unwrap();
            }
        }
        kind => panic!("unknown type {kind}"),
    }
    if entry["type"] != "hardlink" {
        let id = |key: &str| Some(entry[key].as_u64().unwrap_or(0) as u32);
        unix::lchown(path, id("uid"), id("gid")).unwrap();
    }
}

/// The bytes that an entry says it has.
pub fn content(entry: &Value) -> Option<Vec<u8>> {
    if let Some(text) = entry["content"].as_str() {
        return Some(text.into());
    }
    let text = entry["content_b64"].as_str()?;
    Some(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
}

fn at(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// What lies below `root`, in the same words; of a file its `content_b64`-free form: `content` where it is text,
/// and always `sha256` and `size`.
pub fn read(root: &Path) -> Spec {
    let mut spec = BTreeMap::new();
    let mut links: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    read_dir(root, "", &mut spec, &mut links);
    for names in links.values().filter(|names| names.len() > 1) {
        for name in names {
            spec.get_mut(name).unwrap()["hardlinks"] = json!(names);
        }
    }
    spec.into_iter().collect()
}

fn read_dir(
    dir: &Path,
    above: &str,
    spec: &mut BTreeMap<String, Value>,
    links: &mut BTreeMap<u64, Vec<String>>,
) {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    for name in names {
        let path = dir.join(&name);
        let shown = format!("{above}/{}", name.to_string_lossy());
        let meta = path.symlink_metadata().unwrap();
        let mut entry = json!({"uid": meta.uid(), "gid": meta.gid()});
        let mode = format!("{:04o}", meta.mode() & 0o7777);
        if meta.is_dir() {
            entry["type"] = "dir".into();
            entry["mode"] = mode.into();
            read_dir(&path, &shown, spec, links);
        } else if meta.is_symlink() {
            entry["type"] = "symlink".into();
            entry["target"] = path.read_link().unwrap().to_string_lossy().into();
        } else {
            let bytes = std::fs::read(&path).unwrap();
            entry["type"] = "file".into();
            entry["mode"] = mode.into();
            entry["size"] = bytes.len().into();
            entry["sha256"] = hex::encode(Sha256::digest(&bytes)).into();
            if let Ok(text) = String::from_utf8(bytes) {
                entry["content"] = text.into();
            }
            links.entry(meta.ino()).or_default().push(shown.clone());
        }
        spec.insert(shown, entry);
    }
}

/// What is otherwise in `found` than `wanted` says, one line each; `ignored` paths aside. Only what `wanted` names is
/// compared.
pub fn differences(wanted: &Spec, found: &Spec, ignored: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, wanted) in wanted.iter().filter(|(path, _)| !ignored(path)) {
        match found.get(path) {
            None => lines.push(format!("{path} is missing")),
            Some(found) => compare(path, wanted, found, &mut lines),
        }
    }
    for path in found
        .keys()
        .filter(|path| !ignored(path) && !wanted.contains_key(*path))
    {
        lines.push(format!("{path} should not be there"));
    }
    lines
}

fn compare(path: &str, wanted: &Value, found: &Value, lines: &mut Vec<String>) {
    for key in ["type", "mode", "uid", "gid", "size", "target", "hardlinks"] {
        if !wanted[key].is_null() && wanted[key] != found[key] {
            lines.push(format!("{path}: {key} is {}, not {}", found[key], wanted[key]));
        }
    }
    let digest = match content(wanted) {
        Some(bytes) => hex::encode(Sha256::digest(bytes)).into(),
        None => wanted["sha256"].clone(),
    };
    if !digest.is_null() && digest != found["sha256"] {
        let show = |entry: &Value| match entry["content"].as_str() {
            Some(text) => format!("{text:?}"),
            None => entry["sha256"].to_string(),
        };
        lines.push(format!(
            "{path}: content is {}\n      not {}",
            show(found),
            show(wanted)
        ));
    }
}
