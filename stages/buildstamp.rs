//! Write `/.buildstamp`, by which an installer knows what it installs.
//!
//! Its `UUID` is the time of the build, which is the pipeline's `source-epoch` where it has one, and the architecture.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Ini};

/// Options of `org.osbuild.buildstamp`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    /// The architecture.
    arch: String,
    /// The product.
    product: String,
    /// Its version.
    version: String,
    /// Whether this is no pre-release.
    r#final: bool,
    /// The variant of the product.
    #[serde(default)]
    variant: String,
    /// Where its mistakes are reported.
    #[serde(default)]
    bugurl: String,
}

module::stage! {
    file: "buildstamp.rs", name: "org.osbuild.buildstamp", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let text = stamp(&args.options, common::now(&args.meta));
    Ok(args.tree.write(".buildstamp", text)?)
}

/// The text of the file for a build at `now`, in seconds since 1970.
fn stamp(options: &Options, now: i64) -> String {
    let [year, month, day, hour, minute] = common::civil(now);
    let mut ini = Ini::default();
    let main = ini.section("Main");
    main.set("product", &*options.product);
    main.set("version", &*options.version);
    main.set("isfinal", if options.r#final { "True" } else { "False" });
    main.set(
        "uuid",
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}.{}", options.arch),
    );
    for (key, value) in [("bugurl", &options.bugurl), ("variant", &options.variant)] {
        if !value.is_empty() {
            main.set(key, &**value);
        }
    }
    ini.section("Compose").set("osbuild", "devel");
    ini.text(" = ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_of_the_source_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let options = serde_json::json!({
            "arch": "x86_64", "product": "P", "version": "1", "final": true, "variant": "V", "bugurl": "http://b/%20",
        });
        let meta = serde_json::json!({"source-epoch": 1_700_000_000});
        (MODULE.run)(serde_json::json!({"tree": dir.path(), "options": options, "meta": meta})).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join(".buildstamp")).unwrap(),
            "[Main]\nproduct = P\nversion = 1\nisfinal = True\nuuid = 202311142213.x86_64\nbugurl = http://b/%20\n\
             variant = V\n\n[Compose]\nosbuild = devel\n\n"
        );
    }
}
