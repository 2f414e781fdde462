//! Taking back the links of a unit.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use module::{Result, Tree};
use tree::Kind;

use super::file::{Found, find};
use super::name::Name;
use super::section::expand;
use super::{CONFIG, link};

/// Removes every link in `/etc/systemd/system` that has the unit's name or leads to it, and those of the units named in
/// its `Also=`. A unit that is not there is fine: its links go as well. A masked one stays masked.
pub fn disable(tree: &Tree, name: &Name) -> Result<()> {
    let mut names = BTreeSet::new();
    let mut queue = VecDeque::from([name.clone()]);
    let mut seen = BTreeSet::new();
    while let Some(next) = queue.pop_front() {
        if !seen.insert(next.clone()) {
            continue;
        }
        match find(tree, &next)? {
            Found::Masked => continue,
            Found::Nothing => {}
            Found::Unit(unit) => {
                for also in &unit.section.also {
                    queue.push_back(Name::complete(&expand(also, &unit.name)?, "service")?);
                }
                names.insert(unit.name.as_str().to_owned());
            }
        }
        names.insert(next.as_str().to_owned());
    }
    if !tree.is_dir(CONFIG) {
        return Ok(());
    }
    // a link that goes may itself be what others lead to
    loop {
        let mut links = Vec::new();
        collect(tree, Path::new(CONFIG), &names, &mut links)?;
        if links.is_empty() {
            return Ok(());
        }
        for path in links {
            link::remove(tree, &path)?;
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
}

/// The links below `dir` that bear one of the names or lead to a file of that name.
fn collect(tree: &Tree, dir: &Path, names: &BTreeSet<String>, links: &mut Vec<PathBuf>) -> Result<()> {
    for entry in tree.list(dir)? {
        let path = dir.join(&entry);
        match tree.stat(&path)?.map(|stat| stat.kind) {
            Some(Kind::Directory) => collect(tree, &path, names, links)?,
            Some(Kind::Symlink) => {
                let own = entry.to_string_lossy();
                let link = tree.read_link(&path)?;
                let target = link.file_name().unwrap_or_default().to_string_lossy();
                if Name::parse(&own).is_some() && (names.contains(&*own) || names.contains(&*target)) {
                    links.push(path);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
