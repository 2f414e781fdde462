//! Configure systemd's journal.
//!
//! Writes a new file in `/usr/lib/systemd/journald.conf.d`; one of that name must not be there yet. See
//! journald.conf(5).

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, Ini};

const DIR: &str = "usr/lib/systemd/journald.conf.d";

/// Options of `org.osbuild.systemd-journald`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_\.-]{1,250}\.conf$"))]
    filename: String,
    /// The settings.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
struct Config {
    /// The section `Journal`.
    #[serde(rename = "Journal")]
    journal: Option<InOrder<Journal>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)] // the members are written in the manifest's order
struct Journal {
    /// Where the journal is kept.
    #[schemars(extend("enum" = ["volatile", "persistent", "auto", "none"]))]
    storage: Option<String>,
    /// Whether, or from what size on, data is compressed.
    compress: Option<String>,
    /// Whether each user has files of their own.
    #[schemars(extend("enum" = ["uid", "none"]))]
    split_mode: Option<String>,
    /// The longest time that one file covers.
    max_file_sec: Option<String>,
    /// The longest time that entries are kept.
    max_retention_sec: Option<String>,
    /// The longest time until entries are on disk.
    sync_interval_sec: Option<String>,
    /// Whether the kernel's auditing is turned on; empty: left as it is.
    #[schemars(extend("enum" = ["yes", "no", ""]))]
    audit: Option<String>,
}

module::stage! {
    file: "systemd_journald.rs", name: "org.osbuild.systemd-journald", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let mut ini = Ini::default();
    if let Some(journal) = &args.options.config.journal {
        let section = ini.section("Journal");
        for (key, value) in journal.iter() {
            section.set(key, common::plain(value, ("no", "yes"), " "));
        }
    }
    args.tree.mkdir_all(DIR)?;
    common::create_new(
        &args.tree,
        &format!("{DIR}/{}", args.options.filename),
        &ini.text("="),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let config = json!({"Journal": {"SyncIntervalSec": "5%", "Storage": "persistent"}});
        let options = json!({"filename": "x.conf", "config": config});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join(DIR).join("x.conf")).unwrap(),
            "[Journal]\nSyncIntervalSec=5%\nStorage=persistent\n\n"
        );
    }
}
