//! Finding the file of a unit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use module::{Result, Tree, bail};
use tree::Kind;

use super::CONFIG;
use super::name::Name;
use super::section::Section;

/// Where unit files lie, the first one found counts: systemd.unit(5), without what only a running system has.
const DIRS: &[&str] = &[
    "etc/systemd/system.control",
    CONFIG,
    "etc/systemd/system.attached",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// How many aliases may lead to one another.
const LONGEST_CHAIN: usize = 64;

/// A unit and its file.
#[derive(Debug)]
pub struct Unit {
    /// The unit asked for, or the one that it is an alias of.
    pub name: Name,
    /// The file, from the root of the tree, with a leading slash.
    pub path: PathBuf,
    pub section: Section,
}

/// What the name of a unit leads to.
#[derive(Debug)]
pub enum Found {
    Unit(Box<Unit>),
    /// Made unusable by a link to `/dev/null`.
    Masked,
    /// There is no such file.
    Nothing,
}

/// Finds the unit `name`, through aliases.
pub fn find(tree: &Tree, name: &Name) -> Result<Found> {
    let mut name = name.clone();
    for _ in 0..LONGEST_CHAIN {
        let Some(path) = locate(tree, &name)? else {
            return Ok(Found::Nothing);
        };
        match target(tree, &path)? {
            Target::Nothing => return Ok(Found::Nothing),
            Target::Null => return Ok(Found::Masked),
            Target::Itself => {
                let section = load(tree, &name, &path)?;
                let path = Path::new("/").join(path);
                return Ok(Found::Unit(Box::new(Unit { name, path, section })));
            }
            Target::Alias(other) => {
                if other.kind() != name.kind() {
                    bail!("/{}: a link to a unit of another type", path.display());
                }
                name = match name.instance() {
                    Some(instance) if other.is_template() => other.with_instance(instance),
                    _ => other,
                };
            }
        }
    }
    bail!("unit {name}: its aliases lead in a circle")
}

/// Whether there is a file for `name`, whatever it is.
pub fn exists(tree: &Tree, name: &Name) -> Result<bool> {
    Ok(locate(tree, name)?.is_some())
}

/// The path of the unit's file or, for an instance that has none, of its template's.
fn locate(tree: &Tree, name: &Name) -> Result<Option<PathBuf>> {
    let template = name.is_instance().then(|| name.template());
    for name in std::iter::once(name).chain(&template) {
        for dir in DIRS {
            let path = Path::new(dir).join(name.as_str());
            if let Some(Kind::File | Kind::Symlink) = tree.stat(&path)?.map(|stat| stat.kind) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

enum Target {
    Itself,
    Alias(Name),
    Null,
    Nothing,
}

/// What the file at `path` stands for: a link to a file of another name makes an alias.
fn target(tree: &Tree, path: &Path) -> Result<Target> {
    let Some(stat) = tree.stat(path)? else {
        return Ok(Target::Nothing);
    };
    if stat.kind != Kind::Symlink {
        // an empty unit file masks as well
        return Ok(if stat.size == 0 {
            Target::Null
        } else {
            Target::Itself
        });
    }
    let link = tree.read_link(path)?;
    if link == Path::new("/dev/null") {
        return Ok(Target::Null);
    }
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    match link
        .file_name()
        .and_then(|name| Name::parse(&name.to_string_lossy()))
    {
        Some(other) if other.as_str() != own => Ok(Target::Alias(other)),
        _ => match tree.stat_followed(path)? {
            Some(stat) if stat.kind == Kind::File => Ok(Target::Itself),
            Some(_) => Ok(Target::Null),
            None => Ok(Target::Nothing),
        },
    }
}

/// The [Install] section of the file and of the drop-ins beside it.
fn load(tree: &Tree, name: &Name, path: &Path) -> Result<Section> {
    let mut section = Section::default();
    section.read(&tree.read_text(path)?);
    let template = name.is_instance().then(|| name.template());
    // of two drop-ins with the same name the one in the more important directory counts
    let mut drop_ins = BTreeMap::new();
    for name in std::iter::once(name).chain(&template) {
        for dir in DIRS {
            let dir = format!("{dir}/{name}.d");
            if !tree.is_dir(&dir) {
                continue;
            }
            for file in tree.list(&dir)? {
                if file.to_string_lossy().ends_with(".conf") {
                    let path = Path::new(&dir).join(&file);
                    drop_ins.entry(file).or_insert(path);
                }
            }
        }
    }
    for path in drop_ins.values().filter(|path| tree.is_file(path)) {
        section.read(&tree.read_text(path)?);
    }
    // an instance that is named needs no default one
    if !name.is_template() {
        section.default_instance = None;
    }
    Ok(section)
}
