//! dpkg's list of packages: read for the metadata, and written for packages that were unpacked without it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use module::{Context, Result, Tree, ensure};
use serde_json::{Value, json};

use super::archive::{ControlFile, Deb};
use super::control::Control;
use super::extract::Found;

const STATUS: &str = "var/lib/dpkg/status";
const INFO: &str = "var/lib/dpkg/info";
const FORMAT: &str = "var/lib/dpkg/info/format";
const TRIGGERS: &str = "var/lib/dpkg/triggers";

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

/// A package whose files are there, as dpkg is to know it.
#[derive(Debug)]
pub struct Entry<'e> {
    pub control: &'e Control,
    pub found: &'e [Found],
    /// Those of its control archive that belong into the database; none if no script is ever to run.
    pub control_files: &'e [ControlFile],
    /// Those that dpkg finds under the name they have before they are configured.
    pub conffiles: &'e [Conffile],
}

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conffile {
    /// Relative to the root.
    pub path: PathBuf,
    /// It is in the package no more, and goes when the package is upgraded.
    pub leaves: bool,
}

/// Adds packages whose files were extracted without dpkg, with the list of these files, as unpacked.
pub fn record(tree: &Tree, unpacked: &[(&Deb, Vec<Found>)]) -> Result<()> {
    for (deb, found) in unpacked {
        let entry = Entry {
            control: &deb.control,
            found,
            control_files: &[],
            conffiles: &[],
        };
        enter(tree, &entry)?;
    }
    Ok(())
}

/// Adds a package as unpacked.
pub fn enter(tree: &Tree, entry: &Entry<'_>) -> Result<()> {
    let name = qualified(entry.control);
    if !tree.exists(FORMAT) {
        tree.mkdir_all(INFO)?;
        tree.write(FORMAT, "1\n")?;
    }
    let mut list = String::from("/.\n");
    for found in entry
        .found
        .iter()
        .filter(|found| !found.path.as_os_str().is_empty())
    {
        list += &format!("/{}\n", found.path.display());
    }
    tree.write(format!("{INFO}/{name}.list"), list)?;
    for file in entry.control_files.iter().filter(|file| file.name != "control") {
        write_control_file(tree, &format!("{INFO}/{name}.{}", file.name), file)?;
        if file.name == "triggers" {
            add_triggers(tree, &name, &String::from_utf8_lossy(&file.content))?;
        }
    }
    Ok(tree.append(STATUS, paragraph(entry))?)
}

/// `NAME:ARCHITECTURE` where a package can be installed for several architectures at once.
pub fn qualified(control: &Control) -> String {
    match control.get("Multi-Arch") {
        Some("same") => format!("{}:{}", control.package(), control.architecture()),
        _ => control.package().to_owned(),
    }
}

/// Writes a file of a control archive with its mode and time.
pub fn write_control_file(tree: &Tree, path: &str, file: &ControlFile) -> Result<()> {
    tree.write(path, &file.content)?;
    tree.chmod(path, file.mode)?;
    Ok(tree.set_mtime(path, file.mtime, 0)?)
}

/// The package in the list: its control file with its state.
fn paragraph(entry: &Entry<'_>) -> String {
    let mut text = String::new();
    for (i, (name, value)) in entry.control.fields().enumerate() {
        text += &format!("{name}: {value}\n");
        if i == 0 {
            text += "Status: install ok unpacked\n";
        }
    }
    if !entry.conffiles.is_empty() {
        text += "Conffiles:\n";
        for Conffile { path, leaves } in entry.conffiles {
            let mark = if *leaves { " remove-on-upgrade" } else { "" };
            text += &format!(" /{} newconffile{mark}\n", path.display());
        }
    }
    text + "\n"
}

/// Notes what a package is interested in (deb-triggers(5)): paths in one file, other names in a file each.
fn add_triggers(tree: &Tree, name: &str, directives: &str) -> Result<()> {
    tree.mkdir_all(TRIGGERS)?;
    for line in directives.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let suffix = match words.next() {
            Some("interest" | "interest-await") => "",
            Some("interest-noawait") => "/noawait",
            _ => continue,
        };
        let trigger = words
            .next()
            .context("its list of triggers has one without a name")?;
        if trigger.starts_with('/') {
            tree.append(format!("{TRIGGERS}/File"), format!("{trigger} {name}{suffix}\n"))?;
            continue;
        }
        ensure!(
            !trigger.contains('/') && !trigger.starts_with('.'),
            "its list of triggers has the impossible name `{trigger}`"
        );
        tree.append(format!("{TRIGGERS}/{trigger}"), format!("{name}{suffix}\n"))?;
    }
    Ok(())
}
