//! What is to be said of a file: its text, or what is in it when it is an archive.
//!
//! The bytes of an archive depend on times and on the version of a compressor: what is compared is the list of its members.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::oracle::tool;

/// Bytes that a kind of file begins with, the kind, and the command that uncompresses it.
const COMPRESSED: [(&[u8], &str); 3] = [
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
];

/// Where a file lies on other machines than Debian's: systemd is changed there, and the recordings were made there. `None`:
/// the directory is there for such a file alone.
pub fn elsewhere(path: &str) -> Option<String> {
    match path.trim_end_matches('/') {
        path if path.ends_with("etc/default") => None,
        _ => Some(path.replace("etc/default/locale", "etc/locale.conf")),
    }
}

/// A text with every digest replaced by one sign.
pub fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits == 64 {
            out.push('#');
        } else {
            out.push_str(&rest[..digits.max(first.len_utf8())]);
        }
        rest = &rest[digits.max(first.len_utf8())..];
    }
    out
}

/// Says what is in a file; times of members count where they are the same in each build.
pub fn content(bytes: &[u8], with_times: bool, scratch: &Path) -> String {
    if let Some((_, kind)) = COMPRESSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        let file = scratch.join("compressed");
        std::fs::write(&file, bytes).unwrap();
        let output = Command::new(kind)
            .arg("-dc")
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{kind}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return format!("{kind} of {}", content(&output.stdout, with_times, scratch));
    }
    let list = |command: &str, args: &[&str]| {
        let file = scratch.join("archive");
        std::fs::write(&file, bytes).unwrap();
        tool(Command::new(command).env("TZ", "UTC").args(args).arg(file)).unwrap()
    };
    if bytes.get(257..262) == Some(b"ustar") {
        members(
            &list("tar", &["--list", "-v", "--numeric-owner", "--full-time", "-f"]),
            with_times,
        )
    } else if bytes.starts_with(b"hsqs") {
        "squashfs".to_owned()
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("\"schemaVersion\"") || text.contains("\"diff_ids\"") => {
                of_container(text)
            }
            // of data with a random salt
            Ok(text) if masked(text) == "#" => "a digest".to_owned(),
            Ok(text) => format!("text {text:?}"),
            Err(_) => "bytes".to_owned(),
        }
    }
}

/// The same of a recorded file.
pub fn recorded_content(item: &Value, with_times: bool, scratch: &Path) -> String {
    if let Some(text) = item["content"].as_str() {
        return content(text.as_bytes(), with_times, scratch);
    }
    let file = scratch.join("base64");
    std::fs::write(&file, item["content_b64"].as_str().unwrap()).unwrap();
    let output = Command::new("base64").arg("-d").arg(&file).output().unwrap();
    content(&output.stdout, with_times, scratch)
}

/// The lines of tar's list, without what depends on how well a layer in the archive was compressed.
fn members(list: &str, with_times: bool) -> String {
    let of_container = list.contains("oci-layout");
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if of_container {
            words[2] = "-";
        }
        if !with_times {
            words.drain(3..5);
        }
        masked(&words.join(" "))
    };
    let mut lines: Vec<String> = list
        .lines()
        .filter_map(elsewhere)
        .map(|text| line(&text))
        .collect();
    lines.sort();
    format!("tar of\n{}", lines.join("\n"))
}

/// A description in a container, without sizes and digests of what it describes.
fn of_container(text: &str) -> String {
    fn without(value: &Value) -> Value {
        match value {
            Value::Object(map) => map
                .iter()
                .filter(|(key, _)| *key != "size")
                .map(|(key, value)| (key.clone(), without(value)))
                .collect(),
            Value::Array(list) => list.iter().map(without).collect(),
            Value::String(text) => masked(text).into(),
            other => other.clone(),
        }
    }
    format!("description {}", without(&serde_json::from_str(text).unwrap()))
}
