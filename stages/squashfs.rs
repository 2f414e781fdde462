//! Make a squashfs image of a tree.
//!
//! Runs mksquashfs of the build root on the input `tree`, or on `source`. With a source epoch the image has that time,
//! and later ones of files become it. A squashfs that is there already is added to.

use image::plain::Plain;
use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts::{self, ToolOutput};

/// Options of `org.osbuild.squashfs`.
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
    /// Regular expressions of paths that are left out, as `mksquashfs -regex` takes them.
    #[serde(default)]
    exclude_paths: Vec<String>,
    /// How it is compressed; with gzip otherwise.
    compression: Option<Compression>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Compression {
    method: Method,
    #[serde(default)]
    options: Filters,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    Gzip,
    Lz4,
    Xz,
    Zstd,
}

/// Options of a method.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filters {
    /// Whose code the filter of xz is for.
    bcj: Option<Bcj>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Bcj {
    X86,
    Arm,
    ArmThumb,
    PowerPc,
    Sparc,
    Ia64,
}

module::stage! {
    file: "squashfs.rs", name: "org.osbuild.squashfs", options: Options, run: run,
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
    let there = args.tree.stat(&options.filename)?;
    ensure!(
        there.is_none_or(|stat| stat.size > 0),
        "options: filename: an empty file is there"
    );
    let mut tool = Tool::new("mksquashfs")
        .dir(output.dir())
        .arg(source.tree().path())
        .args([output.name()?.as_str(), "-no-progress"]);
    tool = match args.meta.source_epoch {
        Some(epoch) => tool.env("SOURCE_DATE_EPOCH", epoch.to_string()),
        None => tool.args(["-mkfs-time", "0"]),
    };
    if let Some(compression) = &options.compression {
        tool = tool.args(["-comp", compression.method.as_str()]);
        if let Some(bcj) = compression.options.bcj {
            tool = tool.args(["-Xbcj", bcj.as_str()]);
        }
    }
    if !options.exclude_paths.is_empty() {
        tool = tool.args(["-regex", "-e"]).args(&options.exclude_paths);
    }
    tool.run()
        .with_context(|| format!("cannot write {}", options.filename))
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

impl Bcj {
    fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Arm => "arm",
            Self::ArmThumb => "armthumb",
            Self::PowerPc => "powerpc",
            Self::Sparc => "sparc",
            Self::Ia64 => "ia64",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use module::Tree;
    use serde_json::json;
    use std::process::Command;

    /// Oracle: unsquashfs.
    #[test]
    fn unsquashfs_restores_what_was_not_excluded_and_the_bytes_are_the_same_each_time() {
        if Command::new("mksquashfs").arg("-version").output().is_err() {
            println!("skipped: there is no mksquashfs");
            return;
        }
        let from = tempfile::tempdir().unwrap();
        let tree = Tree::open(from.path()).unwrap();
        tree.mkdir_all("boot/deep").unwrap();
        tree.write("boot/kernel", "k").unwrap();
        tree.write("file", "content").unwrap();
        let mut images = Vec::new();
        for _ in 0..2 {
            let out = tempfile::tempdir().unwrap();
            let document = json!({
                "tree": out.path(), "inputs": {"tree": {"path": from.path()}},
                "meta": {"source-epoch": 1_000_000_000},
                "options": {
                    "filename": "/o.sqfs", "exclude_paths": ["boot/.*"],
                    "compression": {"method": "xz", "options": {"bcj": "x86"}},
                },
            });
            (MODULE.run)(document).unwrap();
            let status = Command::new("unsquashfs")
                .args(["-no-progress", "-quiet", "-d", "root", "o.sqfs"])
                .current_dir(out.path())
                .status()
                .unwrap();
            assert!(status.success());
            let read = |path: &str| std::fs::read_to_string(out.path().join("root").join(path));
            assert_eq!(read("file").unwrap(), "content");
            assert!(read("boot/kernel").is_err() && out.path().join("root/boot").is_dir());
            images.push(std::fs::read(out.path().join("o.sqfs")).unwrap());
        }
        assert!(images[0] == images[1]);
        assert_eq!(images[0][8..12], 1_000_000_000u32.to_le_bytes());
    }
}
