//! `cargo xtask install`: the directories as they are packaged.
//!
//! ```text
//! PREFIX/bin/osbuild, image-builder
//! PREFIX/lib/osbuild/osbuild-modules                   all stages and assemblers, static
//! PREFIX/lib/osbuild/{stages,assemblers}/NAME          -> ../osbuild-modules
//! PREFIX/lib/osbuild/sources/NAME                      -> ../../../bin/osbuild
//! PREFIX/lib/osbuild/{stages,assemblers,sources}/NAME.meta.json
//! ```
//!
//! All links are relative: the prefix may be moved.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;
use support::{Binaries, is_static};

use crate::executables::Executables;

/// What a `.meta.json` may have; the Python osbuild takes no other members.
const META: [&str; 5] = ["summary", "description", "capabilities", "schema", "schema_2"];
const FOLDERS: [&str; 3] = ["stages", "assemblers", "sources"];
const MODULES: &str = "../osbuild-modules";
const OSBUILD: &str = "../../../bin/osbuild";

/// Build, and lay out the directories as they are packaged
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the result is meant to be
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,
    /// Put the files below this directory instead of the root
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
    #[command(flatten)]
    executables: Executables,
}

/// A module's names and what it says of itself.
struct Described {
    folder: &'static str,
    /// Where its link leads.
    target: &'static str,
    names: Vec<String>,
    meta: Value,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let prefix = std::path::absolute(&options.prefix)?;
    let binaries = options.executables.get(Some(&prefix))?;
    let root = match &options.destdir {
        Some(destdir) => destdir.join(prefix.strip_prefix("/").unwrap_or(&prefix)),
        None => prefix,
    };
    let count = lay_out(&binaries, &root)?;
    say!("installed {count} modules below {}", root.display());
    Ok(ExitCode::SUCCESS)
}

fn lay_out(binaries: &Binaries, root: &Path) -> Result<usize> {
    let modules = binaries.modules();
    ensure!(is_static(&modules)?, "{} is not static", modules.display());
    let lib = root.join("lib/osbuild");
    copy(&binaries.osbuild(), &root.join("bin/osbuild"))?;
    copy(&binaries.image_builder(), &root.join("bin/image-builder"))?;
    copy(&modules, &lib.join("osbuild-modules"))?;
    for folder in FOLDERS {
        let folder = lib.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        remove_own(&folder)?;
    }
    let mut described = modules_described(&modules)?;
    described.extend(sources_described());
    let mut count = 0;
    for module in &described {
        for name in &module.names {
            let link = lib.join(module.folder).join(name);
            symlink(module.target, &link).with_context(|| format!("cannot make {}", link.display()))?;
            let meta = format!("{:#}\n", module.meta);
            write(&meta_path(&link), meta.as_bytes(), 0o644)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Removes the links of an earlier installation, and what is beside them.
fn remove_own(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let link = entry?.path();
        let own = fs::read_link(&link).is_ok_and(|to| to == Path::new(MODULES) || to == Path::new(OSBUILD));
        if own {
            fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
            let _ = fs::remove_file(meta_path(&link));
        }
    }
    Ok(())
}

fn meta_path(link: &Path) -> PathBuf {
    let mut path = link.as_os_str().to_owned();
    path.push(".meta.json");
    path.into()
}

fn modules_described(executable: &Path) -> Result<Vec<Described>> {
    let output = Command::new(executable)
        .arg("--describe")
        .output()
        .with_context(|| format!("cannot run {}", executable.display()))?;
    ensure!(
        output.status.success(),
        "{} does not describe its modules",
        executable.display()
    );
    let list: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    Ok(list.iter().map(|meta| described(meta, MODULES)).collect())
}

fn sources_described() -> impl Iterator<Item = Described> {
    let metas = sources::SOURCES.iter().map(|source| (source.meta)());
    metas.map(|meta| described(&meta, OSBUILD))
}

fn described(description: &Value, target: &'static str) -> Described {
    let folder = match description["kind"].as_str() {
        Some("assemblers") => "assemblers",
        Some("sources") => "sources",
        _ => "stages",
    };
    let aliases = description["aliases"].as_array().into_iter().flatten();
    let names = std::iter::once(&description["name"]).chain(aliases);
    let members = META
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), description.get(key)?.clone())));
    Described {
        folder,
        target,
        names: names.filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
        meta: Value::Object(members.collect()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &bytes, 0o755)
}

/// Writes a file beside its place first: what is in use is replaced, not changed.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let try_write = || {
        let parent = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent)?;
        let file = tempfile::NamedTempFile::new_in(parent)?;
        fs::write(&file, bytes)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        file.persist(path).map_err(|e| e.error)
    };
    try_write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
