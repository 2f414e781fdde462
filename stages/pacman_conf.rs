//! Write `/etc/pacman.conf`.
//!
//! The architecture and the repositories in the order given; packages must be signed, databases may be. What was in the
//! file is replaced.

use std::fmt::Write as _;

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.pacman.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The architecture of the packages.
    #[serde(default = "default_architecture")]
    architecture: String,
    /// The repositories.
    #[serde(default)]
    repositories: Vec<Repository>,
}

/// A repository with either `server` or `include`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["name", "server"]}, {"required": ["name", "include"]}]))]
struct Repository {
    /// Its name.
    name: Option<String>,
    /// Which signatures it needs, where that is not the rule of the file.
    #[serde(default)]
    siglevels: Vec<SigLevel>,
    /// Its address.
    server: Option<String>,
    /// The file that lists its mirrors.
    include: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
enum SigLevel {
    Required,
    Optional,
    Never,
    TrustAll,
    TrustedOnly,
}

module::stage! {
    file: "pacman_conf.rs", name: "org.osbuild.pacman.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn default_architecture() -> String {
    "x86_64".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let mut text = format!(
        "\n[options]\nArchitecture = {}\nSigLevel    = Required DatabaseOptional\nLocalFileSigLevel = Optional\n",
        args.options.architecture
    );
    for repository in &args.options.repositories {
        text.push_str(&section(repository)?);
    }
    common::write_below(&args.tree, "etc/pacman.conf", &text)
}

fn section(repository: &Repository) -> Result<String> {
    let name = repository
        .name
        .as_deref()
        .ok_or_else(|| module::anyhow!("a repository needs a `name`"))?;
    let mut text = format!("[{name}]\n");
    let levels: Vec<String> = repository
        .siglevels
        .iter()
        .map(|level| format!("{level:?}"))
        .collect();
    let lines = [
        (
            "SigLevel",
            Some(levels.join(" ")).filter(|levels| !levels.is_empty()),
        ),
        ("Server", repository.server.clone()),
        ("Include", repository.include.clone()),
    ];
    for (key, value) in lines {
        if let Some(value) = value {
            writeln!(text, "{key} = {value}")?;
        }
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn repositories_follow_the_options() {
        let dir = tempfile::tempdir().unwrap();
        let options = json!({"architecture": "aarch64", "repositories": [
            {"name": "core", "include": "/etc/pacman.d/mirrorlist"},
            {"name": "own", "server": "file:///srv/$repo", "siglevels": ["Optional", "TrustAll"]},
        ]});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("etc/pacman.conf")).unwrap(),
            "\n[options]\nArchitecture = aarch64\nSigLevel    = Required DatabaseOptional\n\
             LocalFileSigLevel = Optional\n\
             [core]\nInclude = /etc/pacman.d/mirrorlist\n\n\
             [own]\nSigLevel = Optional TrustAll\nServer = file:///srv/$repo\n\n"
        );
    }
}
