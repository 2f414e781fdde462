//! Write pacman's list of mirrors.
//!
//! One `Server` line for each mirror, an empty line between two. What was in the file is replaced.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.pacman.mirrorlist.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file.
    #[serde(default = "default_file")]
    filename: String,
    /// Addresses of the mirrors, with pacman's `$repo` and `$arch`.
    #[serde(default)]
    mirrors: Vec<String>,
}

module::stage! {
    file: "pacman_mirrorlist_conf.rs", name: "org.osbuild.pacman.mirrorlist.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn default_file() -> String {
    "/etc/pacman.d/mirrorlist".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let lines: Vec<String> = args
        .options
        .mirrors
        .iter()
        .map(|mirror| format!("Server = {mirror}\n"))
        .collect();
    common::write_below(&args.tree, &args.options.filename, &lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_line_stands_between_two() {
        let dir = tempfile::tempdir().unwrap();
        (MODULE.run)(json!({"tree": dir.path(), "options": {"mirrors": ["a", "b"]}})).unwrap();
        let text = std::fs::read_to_string(dir.path().join("etc/pacman.d/mirrorlist")).unwrap();
        assert_eq!(text, "Server = a\n\nServer = b\n");
    }
}
