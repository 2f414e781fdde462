//! From the command line to a manifest: what is wanted, what there is, what was chosen.

use std::path::Path;

use serde_json::Value;

use crate::apt::{self, Apt, Available, Pinned, Repository};
use crate::blueprint::{self, Blueprint};
use crate::cache;
use crate::cli::{Image, Repositories};
use crate::distro::{Distro, Machine};
use crate::error::{Failure, Result};
use crate::generate::{self, Request, Resolved};
use crate::packages;
use crate::print;

/// The manifest of an image. Progress goes to stderr.
pub fn manifest(image: &Image) -> Result<Value> {
    let blueprint = match &image.blueprint {
        Some(file) => blueprint::read(file)?,
        None => Blueprint::default(),
    };
    let cache = cache::dir(image.repositories.cache.as_deref())?;
    let machine = Machine::read(Path::new("/"));
    let distro = match image.distro.as_deref().or(blueprint.distro.as_deref()) {
        Some(id) => Distro::find(id)?,
        None => Distro::of_machine(&machine)?,
    };
    packages::check_groups(&blueprint, distro.family)?;
    let found = repositories(&image.repositories, &machine, distro)?;
    let request = Request {
        distro,
        image: image.image,
        blueprint: &blueprint,
        size: image.size.map(|size| size.0),
    };
    let resolved = resolve(&request, found, &cache, image.host_tools)?;
    generate::manifest(&request, &resolved)
}

/// The repositories to take packages from.
fn repositories(asked: &Repositories, machine: &Machine, distro: &Distro) -> Result<Vec<Repository>> {
    if !asked.repos.is_empty() {
        let defaults = asked.defaults();
        let repos = asked.repos.iter().zip(1..);
        return repos
            .map(|(text, number)| apt::parse_repo(text, number, &defaults, distro))
            .collect();
    }
    of_machine(machine, distro, asked.all_repos)
}

/// The machine's own repositories, for the wanted release.
pub fn of_machine(machine: &Machine, distro: &Distro, all: bool) -> Result<Vec<Repository>> {
    let found = apt::machine(Path::new("/"));
    let chosen = apt::of_distro(&found, machine, distro, all);
    if chosen.is_empty() {
        return Err(Failure::input(format!(
            "this machine has no apt repositories of {}",
            distro.title
        ))
        .hint(format!(
            "name one: `--repo URL,suite={},component=main,key=FILE`",
            distro.codename
        )));
    }
    Ok(chosen)
}

fn resolve(
    request: &Request<'_>,
    found: Vec<Repository>,
    cache: &Path,
    host_tools: bool,
) -> Result<Resolved> {
    let distro = request.distro;
    let mut apt = Apt::new(found, cache)?;
    print::note(&format!("reading the package lists of {}", distro.title));
    let available = apt.update()?;
    let wanted = packages::wanted(distro, request.image, request.blueprint, &available)?;
    let os = apt.solve(&available, &wanted, distro)?;
    report("image", &os);
    let build = if host_tools {
        None
    } else {
        Some(build_tools(&apt, &available, distro)?)
    };
    Ok(Resolved {
        os,
        build,
        epoch: apt.newest_release().unwrap_or_default(),
        installed: apt::installed(apt.repositories(), distro.family),
        repositories: apt.repositories().to_vec(),
    })
}

fn build_tools(apt: &Apt, available: &Available, distro: &Distro) -> Result<Vec<Pinned>> {
    let wanted: Vec<String> = packages::BUILD_TOOLS
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let tools = apt.solve(available, &wanted, distro)?;
    report("build", &tools);
    Ok(tools)
}

fn report(what: &str, packages: &[Pinned]) {
    let bytes: u64 = packages.iter().map(|package| package.size).sum();
    print::note(&format!(
        "{what}: {} packages, {} MB to download",
        packages.len(),
        bytes / 1_000_000
    ));
}
