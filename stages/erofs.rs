//! Make an erofs image of a tree.
//!
//! Runs mkfs.erofs of the build root on the input `tree`, or on `source`. The UUID derives from the stage; with a source
//! epoch the image has that time, and later ones of files become it.

use image::plain::Plain;
use module::{Args, Context, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;
use uuid::Uuid;

use crate::artifacts::{self, ToolOutput};

/// Options of `org.osbuild.erofs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The image.
    filename: String,
    /// What is packed, instead of the input `tree`: `mount://NAME/…` or `input://NAME/…`.
    #[serde(default)]
    #[schemars(with = "String", extend("oneOf" = [
        {"type": "string", "pattern": "^mount://"},
        {"type": "string", "pattern": "^input://[^/]+/"},
    ]))]
    source: Option<String>,
    /// Regular expressions of paths that are left out.
    #[serde(default)]
    exclude_paths: Vec<String>,
    /// How it is compressed; not at all otherwise.
    compression: Option<Compression>,
    /// The largest piece that is compressed as one, in bytes.
    #[serde(default, rename = "cluster-size")]
    #[schemars(with = "f64")]
    cluster_size: Option<Number>,
    /// Extended options, such as `all-fragments`, `dedupe` or `ztailpacking`: see `-E` in mkfs.erofs(1).
    #[schemars(length(min = 1))]
    options: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Compression {
    method: Method,
    /// What levels there are depends on the method.
    #[serde(default)]
    #[schemars(with = "f64")]
    level: Option<Number>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    Lz4,
    Lz4hc,
    Lzma,
    Zstd,
}

module::stage! {
    file: "erofs.rs", name: "org.osbuild.erofs", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["tree"],
            "properties": {"tree": {"type": "object", "additionalProperties": true}},
        },
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
    },
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, artifacts::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let source = artifacts::source(&args, options.source.as_deref())?;
    let source = Plain::of(&source)?;
    let output = ToolOutput::new(&args.tree, &options.filename)?;
    // the same stage gives the same image the same identity
    let seed = args.meta.id.as_deref().unwrap_or(&options.filename);
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes());
    let mut tool = Tool::new("mkfs.erofs")
        .dir(output.dir())
        .args(["--quiet", "-U", &uuid.to_string()]);
    if let Some(epoch) = args.meta.source_epoch {
        tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    if let Some(compression) = &options.compression {
        tool = tool.args(["-z", &compression.argument()]);
    }
    if let Some(options) = &options.options {
        tool = tool.args(["-E", &options.join(",")]);
    }
    if let Some(size) = &options.cluster_size {
        tool = tool.args(["-C", &whole(size)]);
    }
    for path in &options.exclude_paths {
        tool = tool.args(["--exclude-regex", path]);
    }
    tool.arg(output.name()?)
        .arg(source.tree().path())
        .run()
        .with_context(|| format!("cannot write {}", options.filename))
}

impl Compression {
    fn argument(&self) -> String {
        let method = match self.method {
            Method::Lz4 => "lz4",
            Method::Lz4hc => "lz4hc",
            Method::Lzma => "lzma",
            Method::Zstd => "zstd",
        };
        match &self.level {
            // which is the tool's own default
            Some(level) if level.as_f64() != Some(0.0) => format!("{method},{}", whole(level)),
            _ => method.to_owned(),
        }
    }
}

/// `12.0` is written as 12.
fn whole(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if value.fract() == 0.0 => format!("{value:.0}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::process::Command;

    /// Oracle: fsck.erofs.
    #[test]
    fn the_image_is_sound_and_the_same_each_time() {
        if Command::new("mkfs.erofs").arg("--help").output().is_err() {
            println!("skipped: there is no mkfs.erofs");
            return;
        }
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("file"), "text ".repeat(10_000)).unwrap();
        let images = [1, 2].map(|_| {
            let out = tempfile::tempdir().unwrap();
            let document = json!({
                "tree": out.path(), "inputs": {"tree": {"path": from.path()}},
                "meta": {"id": "a".repeat(64), "source-epoch": 1_000_000_000},
                "options": {
                    "filename": "o.erofs", "compression": {"method": "lz4hc", "level": 9.0},
                    "cluster-size": 65536, "options": ["ztailpacking"],
                },
            });
            (MODULE.run)(document).unwrap();
            let image = out.path().join("o.erofs");
            let sound = Command::new("fsck.erofs")
                .arg("--extract")
                .arg(&image)
                .output()
                .unwrap();
            assert!(
                sound.status.success(),
                "{}",
                String::from_utf8_lossy(&sound.stderr)
            );
            std::fs::read(image).unwrap()
        });
        assert!(images[0] == images[1] && images[0].len() < 40_000);
    }
}
