//! Write a file of macros for rpm.
//!
//! Such as `/etc/rpm/macros.image-language-conf`; what was in it is replaced.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder};

/// Options of `org.osbuild.rpm.macros`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Path of the file.
    filename: String,
    /// The macros.
    macros: InOrder<Macros>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)] // the members are written in the manifest's order
struct Macros {
    /// Languages whose translations are installed.
    #[serde(rename = "_install_langs")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    install_langs: Option<Vec<String>>,
    /// Directory of the package database.
    #[serde(rename = "_dbpath")]
    dbpath: Option<String>,
}

module::stage! {
    file: "rpm_macros.rs", name: "org.osbuild.rpm.macros", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let line = |(name, value)| format!("%{name} {}\n", common::plain(value, ("0", "1"), ":"));
    let text: String = args.options.macros.iter().map(line).collect();
    common::write_below(&args.tree, &args.options.filename, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn languages_are_separated_by_colons() {
        let dir = tempfile::tempdir().unwrap();
        let macros = json!({"_install_langs": ["en_US", "de"], "_dbpath": "/usr/share/rpm"});
        let options = json!({"filename": "/etc/rpm/macros.x", "macros": macros});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("etc/rpm/macros.x")).unwrap(),
            "%_install_langs en_US:de\n%_dbpath /usr/share/rpm\n"
        );
    }
}
