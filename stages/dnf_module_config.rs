//! Write the state of a module for dnf.
//!
//! The file is `/etc/dnf/modules.d/NAME.module`; what was in it is replaced. Keys stand in the order given.

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, Ini};

/// Options of `org.osbuild.dnf.module-config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The module.
    conf: Option<InOrder<Conf>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // the members are written in the manifest's order
struct Conf {
    /// Its name.
    name: Option<String>,
    /// Its stream.
    stream: Option<String>,
    /// Its state, such as `enabled`.
    state: Option<String>,
    /// The profiles that are installed.
    profiles: Option<Vec<String>>,
}

module::stage! {
    file: "dnf_module_config.rs", name: "org.osbuild.dnf.module-config", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let conf = args.options.conf.as_ref().context("`conf` is missing")?;
    let name = conf.get("name").and_then(|name| name.as_str());
    let name = name.context("options: conf: `name` is missing")?;
    module::ensure!(!name.contains('/'), "`{name}` is not the name of a module");
    let mut ini = Ini::default();
    let section = ini.section(name);
    for (key, value) in conf.iter() {
        section.set(key, common::plain(value, ("False", "True"), ", "));
    }
    common::write_below(
        &args.tree,
        &format!("etc/dnf/modules.d/{name}.module"),
        &ini.text(" = "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn profiles_are_separated_by_commas() {
        let dir = tempfile::tempdir().unwrap();
        let conf = json!({"name": "nodejs", "stream": "18", "state": "enabled", "profiles": ["a", "b"]});
        (MODULE.run)(json!({"tree": dir.path(), "options": {"conf": conf}})).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("etc/dnf/modules.d/nodejs.module")).unwrap(),
            "[nodejs]\nname = nodejs\nstream = 18\nstate = enabled\nprofiles = a, b\n\n"
        );
    }
}
