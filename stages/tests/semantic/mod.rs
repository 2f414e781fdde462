//! What a golden says of an archive or image whose bytes may differ: its `semantic` member, against what independent
//! tools read.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::tree_spec;

/// What is wrong with the file that the options name, one line each. A tool that is not there is told, and nothing
/// compared.
pub fn complaints(golden: &Value, tree: &Path) -> Vec<String> {
    let expected = &golden["semantic"];
    let Some(name) = golden["options"]["filename"]
        .as_str()
        .filter(|_| expected.is_object())
    else {
        return Vec::new();
    };
    let file = tree.join(name.trim_start_matches('/'));
    let mut pairs = Vec::new();
    let stage = golden["stage"].as_str().unwrap_or_default();
    match stage {
        "org.osbuild.gzip" | "org.osbuild.zstd" => {
            let tool = stage.trim_start_matches("org.osbuild.");
            let sum = shell(&format!("{tool} -dc \"$0\" | sha256sum | cut -d' ' -f1"), &file);
            pairs.push((json!(sum.trim()), expected["decompressed_sha256"].clone()));
            if let Some(header) = expected["header_hex"].as_str() {
                let bytes = std::fs::read(&file).unwrap();
                pairs.push((json!(hex::encode(&bytes[..header.len() / 2])), json!(header)));
            }
        }
        "org.osbuild.tar" | "org.osbuild.zip" => match Command::new("python3").arg("--version").output() {
            Ok(_) => pairs.push((members(&file), links_sorted(&expected["members"]))),
            Err(_) => println!("not compared: there is no python3"),
        },
        "org.osbuild.cpio.out" => match Command::new("cpio").arg("--version").output() {
            Ok(_) => {
                // a directory comes before what it holds here
                let names = |list: Vec<&str>| {
                    let mut list = list;
                    list.sort_unstable();
                    json!(list)
                };
                let list = shell("cpio -it --quiet < \"$0\"", &file);
                let theirs = expected["names_in_order"].as_array().unwrap();
                let theirs = theirs.iter().filter_map(Value::as_str).collect();
                pairs.push((names(list.lines().collect()), names(theirs)));
                let bytes = std::fs::read(&file).unwrap();
                pairs.push((
                    json!(String::from_utf8_lossy(&bytes[..6])),
                    expected["magic"].clone(),
                ));
                pairs.push((json!(bytes.len()), expected["size"].clone()));
            }
            Err(_) => println!("not compared: there is no cpio"),
        },
        "org.osbuild.erofs" => {
            let dir = tempfile::tempdir().unwrap();
            let extract = format!("fsck.erofs --extract={} \"$0\"", dir.path().join("x").display());
            shell(&extract, &file);
            let found = tree_spec::read(&dir.path().join("x"));
            let mut theirs = expected["tree"].as_object().unwrap().clone();
            for entry in theirs.values_mut() {
                // fsck.erofs writes a file for each name
                entry.as_object_mut().unwrap().remove("hardlinks");
            }
            return tree_spec::differences(&theirs, &found, &|_| false);
        }
        _ => {}
    }
    let differs = pairs.iter().filter(|(ours, theirs)| ours != theirs);
    differs
        .map(|(ours, theirs)| format!("{name} has {ours}, not {theirs}"))
        .collect()
}

fn shell(script: &str, file: &Path) -> String {
    let output = Command::new("sh")
        .args(["-ec", script])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The members as Python's own library reads them.
const READER: &str = r#"
import json, sys, tarfile, zipfile, subprocess, io
path = sys.argv[1]
data = open(path, "rb").read()
if data[:4] == b"\x28\xb5\x2f\xfd":
    data = subprocess.run(["zstd", "-dc", path], check=True, stdout=subprocess.PIPE).stdout
out = []
if data[:2] == b"PK":
    for i in zipfile.ZipFile(io.BytesIO(data)).infolist():
        out.append({"name": i.filename, "size": i.file_size, "mode": "%06o" % (i.external_attr >> 16), "crc": i.CRC})
else:
    kinds = {b"0": "file", b"1": "hardlink", b"2": "symlink", b"5": "dir"}
    tar = tarfile.open(fileobj=io.BytesIO(data))
    for m in tar:
        e = {"name": m.name, "type": kinds[m.type], "mode": "%04o" % m.mode, "uid": m.uid, "gid": m.gid,
             "uname": m.uname, "gname": m.gname, "size": m.size}
        if m.islnk() or m.issym(): e["link"] = m.linkname
        if m.isreg(): e["content"] = tar.extractfile(m).read().decode()
        out.append(e)
print(json.dumps(out))
"#;

fn members(file: &Path) -> Value {
    let output = Command::new("python3")
        .args(["-c", READER])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    links_sorted(&serde_json::from_slice(&output.stdout).unwrap())
}

/// The list in the order of names; which of the names of one file came first is not told.
fn links_sorted(members: &Value) -> Value {
    let mut members = members.as_array().cloned().unwrap_or_default();
    let links: Vec<(Value, Value)> = members
        .iter()
        .filter(|member| member["type"] == "hardlink")
        .map(|member| (member["name"].clone(), member["link"].clone()))
        .collect();
    for member in &mut members {
        let is_linked = links
            .iter()
            .any(|(name, link)| [name, link].contains(&&member["name"]));
        if is_linked {
            *member = json!({"name": member["name"], "mode": member["mode"], "linked": true});
        }
    }
    members.sort_by_key(|member| member["name"].to_string());
    Value::Array(members)
}
