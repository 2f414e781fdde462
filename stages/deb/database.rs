//! dpkg's list of packages: read for the metadata, written for a tree that was only unpacked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use module::{Result, Tree};
use serde_json::{Value, json};

use super::archive::Deb;
use super::control::Control;

const STATUS: &str = "var/lib/dpkg/status";
const INFO: &str = "var/lib/dpkg/info";

/// Whether `tree` has a dpkg that has installed something.
pub fn is_there(tree: &Tree) -> bool {
    tree.is_file("usr/bin/dpkg") && tree.stat(STATUS).is_ok_and(|st| st.is_some_and(|st| st.size > 0))
}

/// All packages of the tree: `{"packages": [{"name", "version", "architecture"}]}`, sorted by name and architecture.
pub fn metadata(tree: &Tree) -> Result<Value> {
    let text = if tree.is_file(STATUS) {
        tree.read_text(STATUS)?
    } else {
        String::new()
    };
    let mut packages = BTreeSet::new();
    for paragraph in text.split("\n\n") {
        let Ok(control) = Control::parse(paragraph) else {
            continue;
        };
        // "install ok installed": what is wanted, its soundness, its state
        let state = control.get("Status").and_then(|status| status.split(' ').nth(2));
        if matches!(
            state,
            Some("installed" | "unpacked" | "triggers-pending" | "triggers-awaited")
        ) {
            let [name, architecture, version] =
                [control.package(), control.architecture(), control.version()];
            packages.insert([name, architecture, version].map(str::to_owned));
        }
    }
    let list: Vec<_> = packages
        .iter()
        .map(|[name, architecture, version]| {
            json!({"name": name, "version": version, "architecture": architecture})
        })
        .collect();
    Ok(json!({"packages": list}))
}

/// Adds packages whose files were extracted without dpkg, with the list of these files, as unpacked.
pub fn record(tree: &Tree, unpacked: &[(&Deb, Vec<PathBuf>)]) -> Result<()> {
    tree.mkdir_all(INFO)?;
    let mut status = String::new();
    for (deb, files) in unpacked {
        let control = &deb.control;
        for (i, (name, value)) in control.fields().enumerate() {
            status += &format!("{name}: {value}\n");
            if i == 0 {
                status += "Status: install ok unpacked\n";
            }
        }
        status.push('\n');
        let qualifier = match control.get("Multi-Arch") {
            Some("same") => format!(":{}", control.architecture()),
            _ => String::new(),
        };
        let mut list = String::from("/.\n");
        for path in files.iter().filter(|path| !path.as_os_str().is_empty()) {
            list += &format!("/{}\n", path.display());
        }
        tree.write(format!("{INFO}/{}{qualifier}.list", control.package()), list)?;
    }
    tree.write("var/lib/dpkg/info/format", "1\n")?;
    Ok(tree.append(STATUS, status)?)
}
