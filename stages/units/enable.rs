//! Enabling and masking units, choosing the default target.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use module::{Result, Tree, bail};

use super::file::{Found, Unit, exists, find};
use super::name::Name;
use super::section::expand;
use super::{CONFIG, link};

/// Makes the links that the unit's [Install] section asks for, and those of the units named there in `Also=`.
pub fn enable(tree: &Tree, name: &Name) -> Result<()> {
    let mut queue = VecDeque::from([name.clone()]);
    let mut seen = BTreeSet::new();
    while let Some(next) = queue.pop_front() {
        if !seen.insert(next.clone()) {
            continue;
        }
        let unit = match find(tree, &next)? {
            Found::Unit(unit) => unit,
            // what only goes along may be missing
            _ if next != *name => continue,
            Found::Masked => bail!("unit {name} is masked: it cannot be enabled"),
            Found::Nothing => bail!("{}", missing(tree, name)),
        };
        if unit.section.is_empty() {
            println!(
                "unit {next} has no [Install] section: it is started when others want it, and cannot be enabled"
            );
        }
        install(tree, &unit)?;
        for also in &unit.section.also {
            queue.push_back(Name::complete(&expand(also, &unit.name)?, "service")?);
        }
    }
    Ok(())
}

/// Why a unit cannot be found, and what to do.
fn missing(tree: &Tree, name: &Name) -> String {
    let script = Path::new("etc/init.d").join(name.stem());
    if tree.is_file(&script) {
        return format!(
            "there is no unit {name}, only the init script /{}: systemd runs it by itself; to choose when, add a unit \
             with org.osbuild.systemd.unit.create",
            script.display()
        );
    }
    format!(
        "there is no unit {name} in the tree: install the package that brings it, or correct the name; a unit \
         without a type is a .service"
    )
}

fn install(tree: &Tree, unit: &Unit) -> Result<()> {
    // names that are made from paths have only one right spelling
    let may_have_aliases = !matches!(unit.name.kind(), "mount" | "automount" | "slice" | "swap");
    if !may_have_aliases && !unit.section.alias.is_empty() {
        println!(
            "warning: unit {}: a .{} cannot have aliases",
            unit.name,
            unit.name.kind()
        );
    }
    for alias in unit.section.alias.iter().filter(|_| may_have_aliases) {
        let alias = alias_name(unit, &expand(alias, &unit.name)?)?;
        link::make(tree, &alias, &unit.path, false)?;
    }
    // a template is enabled as its default instance
    let linked = match &unit.section.default_instance {
        Some(instance) => unit.name.with_instance(&expand(instance, &unit.name)?),
        None => unit.name.clone(),
    };
    let dependents = [
        (&unit.section.wanted_by, "wants"),
        (&unit.section.required_by, "requires"),
        (&unit.section.upheld_by, "upholds"),
    ];
    for (list, suffix) in dependents {
        for dependent in list {
            let text = expand(dependent, &unit.name)?;
            let Some(dependent) = Name::parse(&text) else {
                bail!(
                    "unit {}: `{text}` in its [Install] section is not the name of a unit",
                    unit.name
                );
            };
            if linked.is_template() && !dependent.is_template() {
                bail!(
                    "unit {} is a template: enable an instance, such as {}",
                    unit.name,
                    unit.name.with_instance("NAME")
                );
            }
            link::make(tree, &format!("{dependent}.{suffix}/{linked}"), &unit.path, true)?;
            if !exists(tree, &dependent)? {
                println!("warning: unit {linked} is now wanted by {dependent}, which is not in the tree");
            }
        }
    }
    Ok(())
}

/// The link's name for an alias, which must be of the unit's own kind.
fn alias_name(unit: &Unit, alias: &str) -> Result<String> {
    let name = &unit.name;
    if let Some((dir, base)) = alias.split_once('/') {
        let dependent = dir.strip_suffix(".wants").or(dir.strip_suffix(".requires"));
        if dependent.and_then(Name::parse).is_none() || base != name.as_str() {
            bail!("unit {name}: its alias `{alias}` leads to a place that is not its own");
        }
        return Ok(alias.to_owned());
    }
    let parsed = match Name::parse(alias) {
        Some(parsed) => parsed,
        None => bail!("unit {name}: its alias `{alias}` is not the name of a unit"),
    };
    let parsed = match name.instance() {
        Some(instance) if parsed.is_template() => parsed.with_instance(instance),
        _ => parsed,
    };
    let fits = parsed.kind() == name.kind() && parsed.instance().is_some() == name.instance().is_some();
    let instantiated = name.is_template() && parsed.is_instance();
    if !(fits || instantiated) {
        bail!("unit {name}: its alias `{alias}` is of another kind");
    }
    Ok(parsed.as_str().to_owned())
}

/// Makes the unit unusable.
pub fn mask(tree: &Tree, name: &Name) -> Result<()> {
    if !exists(tree, name)? {
        println!("warning: unit {name}, to be masked, is not in the tree");
    }
    link::make(tree, name.as_str(), Path::new("/dev/null"), false)
}

/// Chooses the target that is reached at boot.
pub fn set_default(tree: &Tree, name: &Name) -> Result<()> {
    if name.kind() != "target" || name.as_str() == "default.target" {
        bail!("`{name}` cannot be the default target: it looks like multi-user.target");
    }
    match find(tree, name)? {
        Found::Unit(unit) => link::make(tree, "default.target", &unit.path, true),
        Found::Masked => bail!("{name} is masked: it cannot be the default target"),
        Found::Nothing => {
            bail!("there is no {name} in the tree: is systemd installed there? its links lie in /{CONFIG}")
        }
    }
}
