//! Install Alpine packages.
//!
//! The packages (format 2, `.apk`) of the input `packages` are installed without any tool: their files, the entries of
//! `/lib/apk/db`, and `/etc/apk/world`. Scripts run in the tree, in the order in which packages depend on each other;
//! triggers run at the end. The packages must be a complete set: nothing is resolved here. A tree that has packages gets
//! more, but no other version of one it has.
//!
//! A file in `/etc` that is there and that no package brought is kept. The digests of the data are checked, signatures are
//! not: a manifest names packages by their digest.
//!
//! Metadata: `{"packages": [{"name", "version", "architecture"}]}`, all packages of the tree.

mod database;
mod files;
mod order;
mod package;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};

use module::{Args, Chroot, Context, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use database::Database;
use package::Package;
use scripts::Scripts;

/// Options of `org.osbuild.apk`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What `/etc/apk/world` has from now on as well: apk removes what nothing there needs. Without this option, the
    /// packages that no other of the input needs.
    world: Option<Vec<String>>,
}

module::stage! {
    file: "apk.rs", name: "org.osbuild.apk", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["packages"],
            "properties": {"packages": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything],
    libraries: [
        include_str!("apk/database.rs"), include_str!("apk/files.rs"), include_str!("apk/order.rs"),
        include_str!("apk/package.rs"), include_str!("apk/scripts.rs"), include_str!("deb/extract.rs"),
    ],
}

fn run(args: Args<Options>) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut packages = BTreeMap::new();
    for file in args.input("packages")?.files() {
        let package =
            Package::open(&file.path).with_context(|| format!("cannot read the package {}", file.name))?;
        let name = package.name().to_owned();
        if let Some(other) = packages.insert(name.clone(), package) {
            ensure!(
                other.version() == packages[&name].version(),
                "there are two versions of {name}; leave one in the input"
            );
        }
    }
    let database = Database::read(&args.tree)?;
    for (name, version) in database.packages() {
        if let Some(package) = packages.remove(name) {
            ensure!(
                package.version() == version,
                "the tree has {name} {version} already, and packages are not upgraded"
            );
        }
    }
    let packages = order::sorted(packages.into_values().collect());
    install(&args, database, &packages)
}

fn install(args: &Args<Options>, mut database: Database, packages: &[Package]) -> Result<()> {
    // covered while scripts run, these would not get their modes
    for directory in ["proc", "sys", "dev"] {
        if !args.tree.exists(directory) {
            let mode = packages.iter().find_map(|package| package.mode_of(directory));
            args.tree.mkdir(directory, mode.unwrap_or(0o755))?;
        }
    }
    let chroot = Chroot::with_kernel_only(&args.tree)?;
    // what was opened before does not see the new mounts
    let tree = Tree::open(args.tree.path())?;
    let mut scripts = Scripts::new(&tree, &chroot, args.meta.source_epoch);
    let mut changed = BTreeSet::new();
    for package in packages {
        println!("Installing {} ({})", package.name(), package.version());
        let result = scripts.run(package, ".pre-install").and_then(|()| {
            let files = files::extract(&tree, &database, package)?;
            changed.extend(files.directories());
            database.add(package, &files);
            scripts.run(package, ".post-install")
        });
        result.with_context(|| format!("package {}", package.name()))?;
    }
    let mut world = database::world(&tree)?;
    match &args.options.world {
        Some(names) => world.extend(names.iter().cloned()),
        None => world.extend(order::wanted(packages).into_iter().map(str::to_owned)),
    }
    database.write(&tree, packages, &world)?;
    scripts.run_triggers(packages, &changed, &database)?;
    scripts.finish()?;
    args.set_metadata(&database.metadata())
}

#[cfg(test)]
mod tests;
