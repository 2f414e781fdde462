//! Make a container image of an OSTree commit.
//!
//! rpm-ostree splits the commit of the input `commit` into layers; the result is an archive in the format `oci-archive`.

use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.encapsulate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The archive.
    filename: String,
    /// What a container of the image runs.
    #[serde(default)]
    cmd: Vec<String>,
    /// Keys of the commit's metadata that become labels.
    #[serde(default)]
    copymeta: Vec<String>,
    /// The version of the encapsulation's format.
    #[serde(default = "one")]
    #[schemars(extend("type" = "integer"))]
    format_version: i64,
    /// Labels, as `KEY=VALUE`.
    #[serde(default)]
    labels: Vec<String>,
    /// How many layers there may be.
    #[schemars(extend("type" = "integer"))]
    max_layers: Option<i64>,
}

fn one() -> i64 {
    1
}

module::stage! {
    file: "ostree_encapsulate.rs", name: "org.osbuild.ostree.encapsulate", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["commit"],
            "properties": {"commit": {"type": "object", "additionalProperties": true}},
        },
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [Anything],
    libraries: [sysroot::SOURCE],
}

/// Since this version the command is one of `rpm-ostree compose`.
const COMPOSE: (u32, u32) = (2023, 2);

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let (repo, refs) = sysroot::commits(args.input("commit")?)?;
    ensure!(
        refs.len() == 1,
        "the input must have one commit, not {}",
        refs.len()
    );
    let commit = refs.keys().next().context("the input has no commit")?;
    let target = sysroot::below(args.tree.path(), &options.filename);
    let mut words: Vec<String> = Vec::new();
    if version()? >= COMPOSE {
        words.push("compose".into());
    }
    words.extend([
        "container-encapsulate".into(),
        commit.clone(),
        format!("oci-archive:{}", target.display()),
        "--format-version".into(),
        options.format_version.to_string(),
        "--repo".into(),
        repo.display().to_string(),
    ]);
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if !options.cmd.is_empty() {
        add("--cmd", options.cmd.join(" "));
    }
    for key in &options.copymeta {
        add("--copymeta", key.clone());
    }
    for label in &options.labels {
        add("--label", label.clone());
    }
    if let Some(layers) = options.max_layers.filter(|layers| *layers != 0) {
        add("--max-layers", layers.to_string());
    }
    Tool::new("rpm-ostree").args(words).run()
}

/// The year and release that `rpm-ostree --version` prints: `Version: '2023.2'`.
fn version() -> Result<(u32, u32)> {
    let output = Tool::new("rpm-ostree").arg("--version").output()?;
    read_version(&String::from_utf8_lossy(&output)).context("rpm-ostree does not say its version")
}

fn read_version(text: &str) -> Option<(u32, u32)> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Version:"))?;
    let (year, release) = line.trim().trim_matches(['\'', '"']).split_once('.')?;
    Some((year.parse().ok()?, release.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::read_version;

    #[test]
    fn the_version_is_read() {
        let text = "rpm-ostree:\n Version: '2024.10'\n Git: abc\n";
        assert_eq!(read_version(text), Some((2024, 10)));
        assert_eq!(read_version("rpm-ostree"), None);
    }
}
