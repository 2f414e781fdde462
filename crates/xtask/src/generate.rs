//! `cargo xtask gen`: the lists of stages and assemblers, from the files that there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use support::repository;

/// Bring the lists of stages and assemblers up to date with their files
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only say whether they are
    #[arg(long)]
    check: bool,
}

/// A folder, and the line by which a file in it is a module.
const FOLDERS: [(&str, &str); 2] = [("stages", "module::stage!"), ("assemblers", "module::assembler!")];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    bring_up_to_date(repository(), options.check)
}

/// Rewrites the lists below `dir`, or with `check` says whether they are right.
pub(crate) fn bring_up_to_date(dir: &Path, check: bool) -> Result<ExitCode> {
    let mut good = true;
    for (folder, _) in FOLDERS {
        let (path, now, right) = list(dir, folder)?;
        let name = path.display();
        if now == right {
            say!("{name} is up to date");
        } else if check {
            say!("{name} is not up to date: run `cargo xtask gen`");
            good = false;
        } else {
            fs::write(&path, right).with_context(|| format!("cannot write {name}"))?;
            say!("{name} is rewritten");
        }
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The file with the list of a folder: its path, its text, and what its text should be.
fn list(repository: &Path, folder: &str) -> Result<(PathBuf, String, String)> {
    let dir = repository.join(folder);
    let path = dir.join("lib.rs");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let marker = FOLDERS.iter().find(|(name, _)| *name == folder);
    let modules = modules(&dir, marker.map_or("", |(_, line)| line))?;
    let mods: Vec<String> = modules.iter().map(|name| format!("mod {name};")).collect();
    let items: Vec<String> = modules.iter().map(|name| format!("&{name}::MODULE,")).collect();
    let right = between(&text, "modules", &mods).and_then(|text| between(&text, "list", &items));
    let right = right.with_context(|| format!("a marker is missing in {}", path.display()))?;
    Ok((path, text, right))
}

/// The names of the module files, sorted.
fn modules(dir: &Path, line: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.extension().is_some_and(|ext| ext == "rs") && name != "lib" {
            let text = fs::read_to_string(&path)?;
            if text.lines().any(|text| text.starts_with(line)) {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}

/// `text` with `lines` between `// <name>` and `// </name>`, indented as the markers are.
fn between(text: &str, name: &str, lines: &[String]) -> Option<String> {
    let (open, close) = (format!("// <{name}>\n"), format!("// </{name}>"));
    let start = text.find(&open)? + open.len();
    let end = start + text[start..].find(&close)?;
    let indent = text[start..end].rsplit('\n').next().unwrap_or_default();
    let middle: String = lines.iter().map(|line| format!("{indent}{line}\n")).collect();
    Some(format!("{}{middle}{indent}{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_every_module() {
        for (folder, _) in FOLDERS {
            let (path, now, right) = list(repository(), folder).unwrap();
            assert_eq!(now, right, "{}: run `cargo xtask gen`", path.display());
        }
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "mod a;\n// <list>\nold\n// </list>\nfn f() {\n    // <x>\n    // </x>\n}\n";
        let new = between(text, "list", &["b".into(), "c".into()]).unwrap();
        assert!(new.starts_with("mod a;\n// <list>\nb\nc\n// </list>\n"));
        let new = between(&new, "x", &["d".into()]).unwrap();
        assert!(new.ends_with("    // <x>\n    d\n    // </x>\n}\n"));
        assert_eq!(between(text, "y", &[]), None);
    }
}
