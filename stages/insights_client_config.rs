//! Configure Red Hat's insights-client: its proxy.
//!
//! Edits the file, which is made where it is not there; comments stay.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, KeyLines};

const LINES: KeyLines = KeyLines {
    separator: "=",
    ignore_case: false,
    block: None,
};

/// Options of `org.osbuild.insights-client.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The settings.
    config: Config,
    /// The file.
    #[serde(default = "default_path")]
    #[schemars(with = "Option<String>")]
    path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Address of the proxy.
    proxy: Option<String>,
}

module::stage! {
    file: "insights_client_config.rs", name: "org.osbuild.insights-client.config", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn default_path() -> String {
    "/etc/insights-client/insights-client.conf".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let path = &args.options.path;
    let text = match args.tree.stat_followed(path)? {
        Some(_) => args.tree.read_text(path)?,
        None => String::new(),
    };
    let proxy = args.options.config.proxy.clone();
    let settings: Vec<_> = proxy.map(|proxy| ("proxy", proxy)).into_iter().collect();
    Ok(args.tree.write(path, LINES.set(&text, &settings))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_proxy_is_set_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let set = || {
            let options = json!({"config": {"proxy": "http://p:1"}, "path": "/c"});
            (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
            std::fs::read_to_string(dir.path().join("c")).unwrap()
        };
        assert_eq!(set(), "proxy=http://p:1\n");
        std::fs::write(dir.path().join("c"), "[insights-client]\n#proxy=\nproxy=x\n").unwrap();
        assert_eq!(set(), "[insights-client]\n#proxy=\nproxy=http://p:1\n");
    }
}
