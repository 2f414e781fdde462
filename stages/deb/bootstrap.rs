//! Unpacking the packages of a tree that has none: all at once, uncompressed on all cores, without dpkg.
//!
//! What dpkg would do for each package in turn is done in two steps:
//!
//! 1. the files of all packages are written; configuration files under the name that they have until dpkg configures
//!    them, since it decides whether they replace what an earlier stage wrote;
//! 2. in the order of installation each package's `preinst` runs, and the package enters dpkg's database as unpacked.
//!
//! dpkg then configures as ever. A script therefore finds the files of packages that come later, which the policy of
//! Debian lets happen anyway. Where the order of unpacking shows in the result, dpkg unpacks: all packages
//! ([`Bootstrap::of`], [`Bootstrap::unpack`]), or those that are left ([`Bootstrap::enter`]).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use module::{Context, Result, Tree};
use tree::Kind;

use super::archive::{ControlFile, Deb};
use super::database::{self, Conffile, Entry};
use super::dpkg::Dpkg;
use super::extract::{Found, Place, beside};
use super::plan::Set;
use super::{Options, docs, extract};

/// The packages of a tree that has none yet, in the order in which they were given.
#[derive(Debug)]
pub struct Bootstrap<'d> {
    packages: Vec<Package<'d>>,
}

#[derive(Debug)]
struct Package<'d> {
    deb: &'d Deb,
    control_files: Vec<ControlFile>,
    conffiles: Vec<Conffile>,
    found: Vec<Found>,
}

/// Where diversions are: three lines each, what is diverted, where to, for which package.
const DIVERSIONS: &str = "var/lib/dpkg/diversions";
/// Where other owners and modes are: one a line, the path last.
const OVERRIDES: &str = "var/lib/dpkg/statoverride";

impl<'d> Bootstrap<'d> {
    /// Looks into `debs`. `None` where dpkg has to unpack them, since one is there for several architectures, or marks its
    /// configuration files in a way that only dpkg understands.
    pub fn of(debs: &'d [Deb]) -> Result<Option<Self>> {
        let mut names = HashSet::new();
        let mut packages = Vec::new();
        for deb in debs {
            let control_files = deb
                .control_files()
                .with_context(|| format!("cannot read the package {}", deb.label()))?;
            let Some(conffiles) = conffiles(&control_files) else {
                return Ok(None);
            };
            if !names.insert(deb.control.package()) {
                return Ok(None);
            }
            packages.push(Package {
                deb,
                control_files,
                conffiles,
                found: Vec::new(),
            });
        }
        Ok(Some(Self { packages }))
    }

    /// Writes the files of all packages, those of `base` first. `false` if two packages have a file in common, or one comes
    /// without the sums of its files: then dpkg has to unpack them again, over these files.
    pub fn unpack(&mut self, tree: &Tree, debs: &'d [Deb], base: &Set, options: &Options) -> Result<bool> {
        let order: Vec<usize> = extract::order(debs, base);
        let list: Vec<&Deb> = order.iter().map(|i| &debs[*i]).collect();
        let found = extract::all(tree, &list, |n, path| {
            let covered = ["run", "tmp"]
                .iter()
                .any(|dir| path.starts_with(dir) && path != Path::new(dir));
            match options.exclude.docs && docs::excluded(path) || covered {
                true => Place::Nowhere,
                false if self.packages[order[n]].has_conffile(path) => Place::Beside,
                false => Place::There,
            }
        })?;
        for (i, found) in order.into_iter().zip(found) {
            self.packages[i].found = found;
        }
        // the base has to work before it is configured
        for Conffile { path, .. } in base.iter().flat_map(|i| &self.packages[*i].conffiles) {
            if !tree.exists(path) && tree.exists(beside(path)) {
                tree::copy_entry(tree, &beside(path), tree, path)?;
            }
        }
        Ok(self.packages.iter().all(Package::has_sums) && !self.has_collisions(tree)?)
    }

    /// Whether something that is no directory comes from two packages.
    fn has_collisions(&self, tree: &Tree) -> Result<bool> {
        let mut merged = HashSet::new();
        for name in tree.list("")? {
            if tree.stat(&name)?.is_some_and(|stat| stat.kind == Kind::Symlink) {
                merged.insert(name);
            }
        }
        // /lib/x and /usr/lib/x are the same file where /lib is a link
        let real = |path: &Path| match path.iter().next() {
            Some(top) if merged.contains(top) && path != Path::new(top) => Path::new("usr").join(path),
            _ => path.to_owned(),
        };
        let all = || self.packages.iter().flat_map(|package| &package.found);
        let directories: HashSet<PathBuf> = all().filter(|f| f.is_directory).map(|f| real(&f.path)).collect();
        let mut others = HashSet::new();
        Ok(all()
            .filter(|found| !found.is_directory)
            .map(|found| real(&found.path))
            .any(|path| directories.contains(&path) || !others.insert(path)))
    }

    /// The version of the dpkg among them.
    fn version(&self) -> &str {
        let mut packages = self.packages.iter().map(|package| &package.deb.control);
        let dpkg = packages.find(|control| control.package() == "dpkg");
        dpkg.map_or("", |control| control.version())
    }

    /// Installs the packages `which` as far as `dpkg --unpack` does: `preinst`, then the database. `done` are those
    /// that have been. Returns the packages that dpkg has to unpack after all, since a `preinst` redirected
    /// files of packages that are not yet entered; from then on dpkg has to unpack everything.
    pub fn enter(&self, tree: &Tree, dpkg: &Dpkg<'_>, which: &Set, done: &mut Set) -> Result<Set> {
        for i in which {
            let package = &self.packages[*i];
            println!("Unpacking {} ...", package.deb.label());
            if package.control_files.iter().any(|file| file.name == "preinst") {
                dpkg.preinst(package.deb, &package.control_files, self.version())?;
                if self.is_redirected(tree, done)? {
                    return Ok(which.difference(done).copied().collect());
                }
            }
            let entry = Entry {
                control: &package.deb.control,
                found: &package.found,
                control_files: &package.control_files,
                conffiles: &package.conffiles,
            };
            database::enter(tree, &entry)?;
            done.insert(*i);
        }
        Ok(Set::new())
    }

    /// Whether a package that is not yet `done` has a file that belongs elsewhere, or to somebody else, by now.
    fn is_redirected(&self, tree: &Tree, done: &Set) -> Result<bool> {
        let read = |path| match tree.is_file(path) {
            true => tree.read_text(path),
            false => Ok(String::new()),
        };
        let (diversions, overrides) = (read(DIVERSIONS)?, read(OVERRIDES)?);
        let redirections = redirections(&diversions, &overrides);
        let left = self
            .packages
            .iter()
            .enumerate()
            .filter(|(i, _)| !done.contains(i));
        Ok(left.map(|(_, package)| package).any(|package| {
            let name = package.deb.control.package();
            // a package's own diversion is for the others
            let of_others = redirections.iter().filter(|(_, owner)| *owner != Some(name));
            let paths: HashSet<&Path> = of_others.map(|(path, _)| Path::new(*path)).collect();
            !paths.is_empty()
                && package
                    .found
                    .iter()
                    .any(|found| paths.contains(found.path.as_path()))
        }))
    }
}

impl Package<'_> {
    /// Whether its database entry is complete: dpkg makes the sums of a package that brings none.
    fn has_sums(&self) -> bool {
        self.control_files.iter().any(|file| file.name == "md5sums")
    }

    fn has_conffile(&self, path: &Path) -> bool {
        self.conffiles.iter().any(|conffile| conffile.path == path)
    }
}

/// The diverted and overridden paths, relative to the root, of the two files' texts, with the package for whose sake it is.
fn redirections<'t>(diversions: &'t str, overrides: &'t str) -> Vec<(&'t str, Option<&'t str>)> {
    let lines: Vec<&str> = diversions.lines().collect();
    let diverted = lines.chunks_exact(3).map(|lines| (lines[0], Some(lines[2])));
    let overridden = overrides
        .lines()
        .filter_map(|line| Some((line.splitn(4, ' ').nth(3)?, None)));
    let relative = |(path, owner): (&'t str, _)| Some((path.strip_prefix('/')?, owner));
    diverted.chain(overridden).filter_map(relative).collect()
}

/// The configuration files of a package. `None` if the list has something else than paths and the one mark that is known.
fn conffiles(control_files: &[ControlFile]) -> Option<Vec<Conffile>> {
    let list = control_files.iter().find(|file| file.name == "conffiles");
    let text = list
        .map_or(Ok(""), |list| std::str::from_utf8(&list.content))
        .ok()?;
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let rest = line.strip_prefix("remove-on-upgrade ");
            let path = rest.unwrap_or(line).strip_prefix('/')?;
            (!path.contains(' ')).then(|| Conffile {
                path: path.into(),
                leaves: rest.is_some(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> ControlFile {
        ControlFile {
            name: name.to_owned(),
            mode: 0o644,
            mtime: 0,
            content: content.into(),
        }
    }

    #[test]
    fn lists_of_paths_are_understood() {
        let list = |text| conffiles(&[file("postinst", "x"), file("conffiles", text)]);
        let conffile = |path: &str, leaves| Conffile {
            path: path.into(),
            leaves,
        };
        assert_eq!(
            list("/etc/b\nremove-on-upgrade /etc/a/c\n"),
            Some(vec![conffile("etc/b", false), conffile("etc/a/c", true)])
        );
        assert_eq!(conffiles(&[]), Some(Vec::new()));
        assert_eq!(list("/etc/a\nsome-other-mark /etc/b\n"), None);
    }

    #[test]
    fn diversions_and_overrides_are_read() {
        assert_eq!(
            redirections(
                "/bin/sh\n/bin/sh.real\nshell\n/x\n/y\n:\n",
                "root shadow 2755 /usr/bin/chage\n"
            ),
            [
                ("bin/sh", Some("shell")),
                ("x", Some(":")),
                ("usr/bin/chage", None)
            ]
        );
    }
}
