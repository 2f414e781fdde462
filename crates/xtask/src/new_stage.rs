//! `cargo xtask new-stage`: the one file that a stage is, ready to be changed.

mod template;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use support::repository;

use crate::generate;

/// Begin a stage: a file in stages/ with its documentation, options, run and a test
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Its name; without a dot in it, what follows `org.osbuild.`
    #[arg(value_name = "NAME")]
    name: String,
    /// What it does, in one line
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
    /// The directory with stages/ and assemblers/; the repository by default
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The folders whose modules have names.
const FOLDERS: [&str; 2] = ["stages", "assemblers"];
const PREFIX: &str = "org.osbuild.";

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let dir = options.dir.as_deref().unwrap_or(repository());
    let name = full_name(&options.name)?;
    if let Some(path) = named(dir, &name)? {
        bail!("{} is {name} already", path.display());
    }
    let stem = file_stem(&name);
    let path = dir.join("stages").join(format!("{stem}.rs"));
    let summary = options.summary.as_deref().map(sentence);
    let text = template::text(&name, &stem, summary.as_deref());
    // never over a file that is there
    fs::File::create_new(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot make {}", path.display()))?;
    say!("{} is made: write there what {name} does", path.display());
    let code = generate::bring_up_to_date(dir, false)?;
    say!(
        "test it with `cargo test -p stages {stem}`, then write it into the documents with `cargo xtask docs`"
    );
    Ok(code)
}

/// A stage's whole name.
fn full_name(name: &str) -> Result<String> {
    let name = match name.contains('.') {
        // there are stages with dots in their own names: sshd.config, tmpfiles.d
        true if name.starts_with(PREFIX) || name.matches('.').count() > 1 => name.to_owned(),
        _ => format!("{PREFIX}{name}"),
    };
    let good = |part: &str| {
        let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) && part.chars().all(rest)
    };
    ensure!(
        name.split('.').all(good),
        "`{name}` is no name for a stage: its parts have small letters, digits and hyphens, and begin with none"
    );
    Ok(name)
}

/// The name of its file, which is that of a Rust module.
fn file_stem(name: &str) -> String {
    // `static` or `2fa` may be a stage's name, but no module's
    const WORDS: [&str; 24] = [
        "abstract", "as", "async", "await", "box", "const", "crate", "do", "dyn", "else", "enum", "extern",
        "fn", "for", "if", "impl", "in", "lib", "loop", "match", "mod", "static", "type", "use",
    ];
    let stem = name.strip_prefix(PREFIX).unwrap_or(name).replace(['.', '-'], "_");
    let bad = WORDS.contains(&stem.as_str()) || stem.starts_with(|c: char| c.is_ascii_digit());
    if bad { format!("stage_{stem}") } else { stem }
}

fn sentence(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    format!("{}.", line.join(" ").trim_end_matches('.'))
}

/// The file of the module that is called so.
fn named(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    let quoted = format!("\"{name}\"");
    for folder in FOLDERS {
        let folder = dir.join(folder);
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ext| ext == "rs")
                && definition(&fs::read_to_string(&path)?).contains(&quoted)
            {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// The lines of a module's file that name it.
fn definition(text: &str) -> String {
    let begins = |line: &&str| line.starts_with("module::stage!") || line.starts_with("module::assembler!");
    let mut lines = text.lines().skip_while(|line| !begins(line));
    let first = lines.next().unwrap_or_default();
    let rest = lines.take_while(|line| !first.ends_with('}') && !line.starts_with('}'));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_whole_and_checked() {
        for (given, name, stem) in [
            ("motd", "org.osbuild.motd", "motd"),
            ("tmpfiles.d", "org.osbuild.tmpfiles.d", "tmpfiles_d"),
            ("org.osbuild.ssh-keys", "org.osbuild.ssh-keys", "ssh_keys"),
            ("com.example.motd", "com.example.motd", "com_example_motd"),
            ("static", "org.osbuild.static", "stage_static"),
        ] {
            assert_eq!(full_name(given).unwrap(), name);
            assert_eq!(file_stem(name), stem);
        }
        for wrong in ["", "a b", "../x", "Motd", "a..b", "-a", "org.osbuild."] {
            assert!(full_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modules_are_found_by_each_of_their_names() {
        let find = |name| named(repository(), name).unwrap();
        assert!(
            find("org.osbuild.hostname")
                .unwrap()
                .ends_with("stages/hostname.rs")
        );
        assert!(
            find("io.weldr.qcow2")
                .unwrap()
                .starts_with(repository().join("assemblers"))
        );
        assert_eq!(find("org.osbuild.tree"), None);
    }
}
