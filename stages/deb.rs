//! Install Debian packages.
//!
//! Installs the .deb files of the input `packages` with the tree's own dpkg, without network and without starting
//! anything. The packages must be a complete set: nothing is resolved here. An empty tree is bootstrapped: the files of
//! all packages are extracted first, then dpkg, in the tree, configures them. A tree that has packages gets more.
//!
//! The result depends on the packages and the options only. Package scripts see the time of the pipeline's source-epoch
//! (without one: the date of the newest package) where their tools honour SOURCE_DATE_EPOCH; the initramfs of each kernel
//! is made once; logs, caches and backups that differ from run to run are removed. So is what has to differ from machine to
//! machine: /etc/machine-id ends as it was, or empty; ssh host keys and the self-signed certificate of ssl-cert are
//! made on the first boot, by small services in /etc/systemd/system. /etc/resolv.conf and /etc/hostname are left alone.
//!
//! When dpkg fails, the stage ends with its exit code and names the packages; the log holds the output of their scripts.
//!
//! Metadata: `{"packages": [{"name", "version", "architecture"}]}`, all packages of the tree.

mod ahead;
mod ar;
mod archive;
mod bootstrap;
mod control;
mod database;
mod docs;
mod dpkg;
pub(crate) mod extract;
mod identity;
mod initramfs;
mod layout;
mod plan;
mod quiet;
#[cfg(test)]
mod tests;
mod tidy;

use std::collections::{BTreeMap, BTreeSet};

use module::{Args, Chroot, Context, InputFile, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use archive::Deb;
use bootstrap::Bootstrap;
use control::Control;
use database::qualified;
use dpkg::Dpkg;
use extract::{Found, Place};
use plan::{Relations, Round, Set};

/// Options of `org.osbuild.deb`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Answers to questions of packages, one a line as `debconf-set-selections` reads them:
    /// `PACKAGE QUESTION TYPE VALUE`. They are set before the first package is configured.
    debconf: Vec<String>,
    /// What not to install.
    exclude: Exclude,
    /// Only extract the files, without running any script: enough for a build root. The packages are recorded as
    /// unpacked.
    unpack_only: bool,
}

/// What not to install.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exclude {
    /// Documentation: manual and info pages, `/usr/share/doc` but for the licences. A file in `/etc/dpkg/dpkg.cfg.d`
    /// keeps it that way when packages are upgraded or added later; remove it to have documentation again.
    docs: bool,
}

module::stage! {
    file: "deb.rs", name: "org.osbuild.deb", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["packages"],
            "properties": {"packages": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything],
    libraries: [
        include_str!("deb/ahead.rs"), include_str!("deb/ar.rs"), include_str!("deb/archive.rs"),
        include_str!("deb/bootstrap.rs"), include_str!("deb/control.rs"), include_str!("deb/database.rs"), include_str!("deb/docs.rs"),
        include_str!("deb/dpkg.rs"), include_str!("deb/extract.rs"), include_str!("deb/identity.rs"),
        include_str!("deb/initramfs.rs"), include_str!("deb/layout.rs"), include_str!("deb/plan.rs"),
        include_str!("deb/quiet.rs"), include_str!("deb/shortcuts.sh"), include_str!("deb/tidy.rs"), ::archive::SOURCE_DIGEST,
    ],
}

fn run(args: Args<Options>) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let debs = open(&args.input("packages")?.files())?;
    if args.options.unpack_only {
        unpack(&args.tree, &debs, &args.options)?;
    } else if !debs.is_empty() {
        install(&args, &debs)?;
    }
    args.set_metadata(&database::metadata(&args.tree)?)
}

/// The packages, sorted by name and architecture: their order in the manifest has no meaning.
fn open(files: &[InputFile]) -> Result<Vec<Deb>> {
    let mut debs = BTreeMap::<_, (Deb, &str)>::new();
    for file in files {
        let deb = Deb::open(&file.path).with_context(|| format!("cannot read the package {}", file.name))?;
        let key = (
            deb.control.package().to_owned(),
            deb.control.architecture().to_owned(),
        );
        if let Some((other, name)) = debs.get(&key) {
            ensure!(
                other.control.version() == deb.control.version(),
                "there are two versions of {}: {} ({name}) and {} ({}); leave one in the input",
                key.0,
                other.control.version(),
                deb.control.version(),
                file.name
            );
        }
        debs.insert(key, (deb, &file.name));
    }
    Ok(debs.into_values().map(|(deb, _)| deb).collect())
}

/// Extracts the files of all packages.
fn unpack(tree: &Tree, debs: &[Deb], options: &Options) -> Result<()> {
    if options.exclude.docs {
        docs::configure(tree)?;
    }
    let all = (0..debs.len()).collect();
    let unpacked = extract(tree, debs, &all, options)?;
    // a link that mawk's script would make; scripts of build tools count on it
    if tree.is_file("usr/bin/mawk") && !tree.exists("usr/bin/awk") {
        tree.symlink("mawk", "usr/bin/awk")?;
    }
    println!("unpacked {} packages", unpacked.len());
    database::record(tree, &unpacked)
}

/// Extracts the files of the packages `which` of `debs` and returns what each has.
fn extract<'d>(
    tree: &Tree,
    debs: &'d [Deb],
    which: &Set,
    options: &Options,
) -> Result<Vec<(&'d Deb, Vec<Found>)>> {
    let order = extract::order(debs, which).into_iter();
    let list: Vec<&Deb> = order.filter(|i| which.contains(i)).map(|i| &debs[i]).collect();
    let found = extract::all(tree, &list, |_, path| {
        match options.exclude.docs && docs::excluded(path) {
            true => Place::Nowhere,
            false => Place::There,
        }
    })?;
    Ok(list.into_iter().zip(found).collect())
}

/// Installs the packages with the tree's dpkg.
fn install(args: &Args<Options>, debs: &[Deb]) -> Result<()> {
    let controls: Vec<Control> = debs.iter().map(|deb| deb.control.clone()).collect();
    let relations = Relations::new(&controls);
    let empty = !database::is_there(&args.tree);
    let base = if empty { relations.base() } else { Set::new() };
    let mut bootstrap = None;
    if empty {
        ensure!(
            controls.iter().any(|control| control.package() == "dpkg"),
            "the tree has no packages and the input has no dpkg: add the essential packages"
        );
        println!("bootstrapping with {} packages", base.len());
        bootstrap = Bootstrap::of(debs)?;
        let native = match &mut bootstrap {
            Some(bootstrap) => bootstrap.unpack(&args.tree, debs, &base, &args.options)?,
            None => extract(&args.tree, debs, &base, &args.options).map(|_| false)?,
        };
        bootstrap = bootstrap.filter(|_| native);
        args.tree.mkdir_all("var/lib/dpkg")?;
        args.tree.append("var/lib/dpkg/status", "")?;
    }
    if args.options.exclude.docs {
        docs::configure(&args.tree)?;
    }
    let newest = debs.iter().map(|deb| deb.date).max().unwrap_or_default();
    let epoch = args.meta.source_epoch.unwrap_or(newest);

    let identity = identity::Identity::hide(&args.tree)?;
    quiet::hold_services(&args.tree)?;
    let chroot = Chroot::enter(&args.tree)?;
    // what was opened before does not see the new mounts
    let tree = Tree::open(args.tree.path())?;
    let dpkg = Dpkg::new(&chroot, &tree, epoch);
    let files = dpkg.show(debs)?;
    add_architectures(&dpkg, &controls)?;
    preseed(&dpkg, &tree, &args.options.debconf)?;

    let rest: Set = (0..debs.len()).filter(|i| !base.contains(i)).collect();
    let mut rounds = relations.rounds(&rest);
    if empty {
        // dpkg knows of no package yet, and the files of all of these are there
        rounds.insert(
            0,
            Round {
                unpack: base.clone(),
                configure: base,
            },
        );
    }
    let configure = |set: &Set| {
        let names: Vec<_> = set.iter().map(|i| qualified(&controls[*i])).collect();
        let names = names.iter().map(String::as_str);
        match names.len() {
            0 => Ok(()),
            _ => dpkg.run(
                ["--force-depends", "--no-triggers", "--configure"]
                    .into_iter()
                    .chain(names),
            ),
        }
    };
    let unpack = |set: &Set| {
        let files = set.iter().map(|i| files[*i].as_str());
        dpkg.run(
            ["--force-depends", "--no-triggers", "--unpack"]
                .into_iter()
                .chain(files),
        )?;
        quiet::hold_services(&tree)
    };
    let mut done = Set::new();
    for round in &rounds {
        let left = match &bootstrap {
            Some(bootstrap) => bootstrap.enter(&tree, &dpkg, &round.unpack, &mut done)?,
            None => round.unpack.clone(),
        };
        if !left.is_empty() {
            bootstrap = None;
            unpack(&left)?;
        }
        quiet::with_stand_ins(&tree, || configure(&round.configure))?;
    }
    quiet::with_stand_ins(&tree, || dpkg.run(["--configure", "--pending"]))?;
    initramfs::make(&tree, &dpkg)?;

    quiet::release_services(&tree)?;
    identity.restore(&tree)?;
    tidy::tidy(&tree, epoch)
}

/// Tells dpkg of architectures beside its own.
fn add_architectures(dpkg: &Dpkg<'_>, controls: &[Control]) -> Result<()> {
    let own = dpkg.tool("dpkg").arg("--print-architecture").output()?;
    let own = String::from_utf8_lossy(&own).trim().to_owned();
    let all: BTreeSet<_> = controls.iter().map(Control::architecture).collect();
    for architecture in all.into_iter().filter(|a| *a != own && *a != "all") {
        dpkg.run(["--add-architecture", architecture])?;
    }
    Ok(())
}

/// Answers the questions of packages.
fn preseed(dpkg: &Dpkg<'_>, tree: &Tree, lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    ensure!(
        tree.is_file("usr/bin/debconf-set-selections"),
        "the option debconf needs the package debconf in the tree or in the input"
    );
    let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    dpkg.tool("debconf-set-selections").input(text).run()
}
