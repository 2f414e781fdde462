//! pacman's database of what is installed: a directory a package in `/var/lib/pacman/local`, with a file `desc`.
//!
//! ```text
//! %NAME%
//! value, on one line or several
//! (an empty line)
//! ```

use module::{Result, Tree};
use serde_json::{Value, json};

const LOCAL: &str = "var/lib/pacman/local";

/// The first line of the field `name`.
fn field<'d>(desc: &'d str, name: &str) -> &'d str {
    let head = format!("%{name}%");
    let mut lines = desc.lines().skip_while(|line| *line != head);
    lines.nth(1).unwrap_or_default()
}

/// The path and the text of each package's `desc`.
fn descriptions(tree: &Tree) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    if tree.is_dir(LOCAL) {
        for name in tree.list(LOCAL)? {
            let path = format!("{LOCAL}/{}/desc", name.to_string_lossy());
            if tree.is_file(&path) {
                let text = tree.read_text(&path)?;
                all.push((path, text));
            }
        }
    }
    Ok(all)
}

/// All packages, sorted by name.
pub fn metadata(tree: &Tree) -> Result<Value> {
    let mut packages: Vec<Value> = descriptions(tree)?
        .iter()
        .map(|(_, desc)| package(desc))
        .collect();
    packages.sort_by_key(|package| package["name"].to_string());
    Ok(json!({"packages": packages}))
}

/// A version is `EPOCH:VERSION-RELEASE`, without an epoch that is 0.
fn package(desc: &str) -> Value {
    let version = field(desc, "VERSION");
    let (version, release) = version.rsplit_once('-').unwrap_or((version, ""));
    let (epoch, version) = match version.split_once(':') {
        Some((epoch, version)) => (Value::from(epoch), version),
        None => (0.into(), version),
    };
    json!({
        "name": field(desc, "NAME"), "version": version, "release": release, "epoch": epoch,
        "arch": field(desc, "ARCH"), "sigmd5": "", "sigpgp": "", "siggpg": "",
    })
}

/// Says that those that were installed after `epoch` were installed then.
pub fn set_time(tree: &Tree, epoch: i64) -> Result<()> {
    for (path, desc) in descriptions(tree)? {
        let date = field(&desc, "INSTALLDATE");
        if date.parse::<i64>().is_ok_and(|date| date > epoch) {
            let old = format!("%INSTALLDATE%\n{date}\n");
            tree.write(path, desc.replace(&old, &format!("%INSTALLDATE%\n{epoch}\n")))?;
        }
    }
    Ok(())
}
