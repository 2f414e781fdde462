//! Copy files and directories.
//!
//! From the tree, an input or a mounted file system to the tree or a mounted file system, each pair in turn, as
//! `cp -a` does: owners, modes, times, attributes, hard links and holes stay.
//!
//! * A source that ends in `/` stands for the contents of the directory, which are merged into the destination.
//! * A source without it is copied into the destination where that is a directory, and to its name otherwise.
//! * Where the destination is a link, the file that it leads to is replaced; with `remove_destination` the link is.
//!
//! No link leads out of the tree that it lies in.

mod place;

use std::path::{Path, PathBuf};

use module::{Args, Context, Location, Result, Tree, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use tree::Kind;
use tree::copy::{Options as CopyOptions, copy_tree};

use place::Place;

/// Options of `org.osbuild.copy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What to copy where.
    #[schemars(length(min = 1))]
    paths: Vec<Pair>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pair {
    /// The source: `input://NAME/…`, `mount://NAME/…` or `tree:///…`.
    #[schemars(extend("oneOf" = [
        {"type": "string", "pattern": "^input://[^/]+/"},
        {"type": "string", "pattern": "^mount://[^/]+/"},
        {"type": "string", "pattern": "^tree:///"},
    ]))]
    from: String,
    /// The destination: `mount://NAME/…` or `tree:///…`.
    #[schemars(extend("oneOf" = [
        {"type": "string", "pattern": "^mount://[^/]+/"},
        {"type": "string", "pattern": "^tree:///"},
    ]))]
    to: String,
    /// Replace links at the destination instead of what they lead to.
    #[serde(default)]
    remove_destination: bool,
}

module::stage! {
    file: "copy.rs", name: "org.osbuild.copy", options: Options, run: run,
    takes: {
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
        "inputs": {"type": "object", "additionalProperties": true}
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [FileCapabilities],
    libraries: [include_str!("copy/place.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    // what was copied before would be below the input, and not above it
    let first = args.options.paths.first().map(whole_input).transpose()?.flatten();
    if let Some((mount, input)) = &first
        && args.graft(mount, input)?
    {
        return Ok(());
    }
    for (number, pair) in args.options.paths.iter().enumerate() {
        println!("copying {} to {}", pair.from, pair.to);
        let (from, to) = (Place::read(&args, &pair.from)?, Place::read(&args, &pair.to)?);
        if number == 0 && args.meta.grafted.is_some() {
            copy_to_mounts(&args, &from, &to, pair)?;
            continue;
        }
        copy(&from, &to, pair.remove_destination)
            .with_context(|| format!("cannot copy {} to {}", pair.from, pair.to))?;
    }
    Ok(())
}

/// The mount and the input, where all of this goes to the root of that.
fn whole_input(pair: &Pair) -> Result<Option<(String, String)>> {
    Ok(match (Location::parse(&pair.to)?, Location::parse(&pair.from)?) {
        (Location::Mount(mount, to), Location::Input(input, from)) if to == "/" && from == "/" => {
            Some((mount, input))
        }
        _ => None,
    })
}

/// The mount has the input but for what lies in mounts below it.
fn copy_to_mounts(args: &Args<Options>, from: &Place, to: &Place, pair: &Pair) -> Result<()> {
    let mut below: Vec<&Path> = Vec::new();
    for mount in args.mounts.values() {
        match mount.path.strip_prefix(to.tree.path()) {
            Ok(path) if !path.as_os_str().is_empty() => below.push(path),
            _ => {}
        }
    }
    below.sort();
    below.dedup_by(|path, above| path.starts_with(above));
    for path in below.into_iter().filter(|path| from.tree.is_dir(path)) {
        let [from, to] = [from, to].map(|place| place.contents_of(path));
        copy(&from?, &to?, pair.remove_destination)
            .with_context(|| format!("cannot copy /{} to {}", path.display(), pair.to))?;
    }
    Ok(())
}

fn copy(from: &Place, to: &Place, remove_destination: bool) -> Result<()> {
    let source = if from.contents {
        from.tree.stat_followed(&from.path)?
    } else {
        from.tree.stat(&from.path)?
    };
    let Some(source) = source else {
        bail!("the source is not there")
    };
    let is_dir = source.kind == Kind::Directory;
    ensure!(
        !from.contents || is_dir,
        "the source is not a directory, but the path ends in `/`"
    );
    let mut target = to.path.clone();
    let into_directory = to.tree.is_dir(&target);
    if into_directory && !from.contents {
        target.push(from.name()?);
    }
    if is_dir {
        return copy_directory(from, to, &target, remove_destination);
    }
    ensure!(
        into_directory || !to.contents,
        "the destination is not a directory, but the path ends in `/`"
    );
    match to.tree.stat(&target)? {
        Some(stat) if stat.kind == Kind::Directory => bail!("a directory is in the way at the destination"),
        // what is no file takes the place of a link itself
        Some(stat) if (source.kind, stat.kind) == (Kind::File, Kind::Symlink) && !remove_destination => {
            target = to.through(&target)?;
        }
        _ => {}
    }
    if let Some(stat) = to.tree.stat(&target)? {
        let same = (stat.dev, stat.ino) == (source.dev, source.ino);
        ensure!(!same, "source and destination are the same file");
    }
    Ok(tree::copy_entry(&from.tree, &from.path, &to.tree, &target)?)
}

fn copy_directory(from: &Place, to: &Place, target: &Path, remove_destination: bool) -> Result<()> {
    ensure!(!to.lies_in(target, from)?, "the destination lies in the source");
    let is_new = match to.tree.stat(target)? {
        None => true,
        // the contents of a directory may go where a link leads, a directory of its own may not
        Some(stat) => {
            let meets = stat.kind == Kind::Directory || (from.contents && to.tree.is_dir(target));
            ensure!(meets, "a directory cannot replace what is at the destination");
            false
        }
    };
    let source = from.tree.subtree(&from.path)?;
    if is_new {
        to.tree.mkdir(target, 0o700)?;
    }
    let destination = to.tree.subtree(target)?;
    let mut kept = Vec::new();
    if !is_new && !remove_destination {
        links_to_keep(&source, Path::new(""), &to.tree, target, &mut kept)?;
    }
    let kept = kept
        .into_iter()
        .map(|path| Ok((to.tree.read_link(&path)?, to.through(&path)?, path)))
        .collect::<Result<Vec<_>>>()?;
    copy_tree(&source, &destination, &CopyOptions::default())?;
    for (link, file, path) in kept {
        to.tree.rename(&path, &file)?;
        to.tree.symlink(link, &path)?;
    }
    Ok(())
}

/// The links below `to_dir` that lead to files and meet files of the source: those keep their place, and the copies
/// theirs where the links lead.
fn links_to_keep(from: &Tree, dir: &Path, to: &Tree, to_dir: &Path, kept: &mut Vec<PathBuf>) -> Result<()> {
    for name in to.list(to_dir)? {
        let (new_path, path) = (dir.join(&name), to_dir.join(&name));
        let (Some(new), Some(old)) = (from.stat(&new_path)?, to.stat(&path)?) else {
            continue;
        };
        match (new.kind, old.kind) {
            (Kind::Directory, Kind::Directory) => links_to_keep(from, &new_path, to, &path, kept)?,
            (Kind::File, Kind::Symlink) if to.is_file(&path) => kept.push(path),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
