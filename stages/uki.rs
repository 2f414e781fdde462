//! Make a unified kernel image.
//!
//! The stub of systemd in the build root, the kernel, the initial RAM file system, the kernel command line and the
//! `os-release` in one program for UEFI (UAPI specification "Unified Kernel Image"). The sections are added here, without
//! a tool.

mod portable;

use std::path::{Path, PathBuf};

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use portable::Executable;

/// Options of `org.osbuild.uki`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where in the tree the image goes.
    filename: String,
    /// What the kernel is told.
    #[serde(default)]
    kernel: Kernel,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Kernel {
    /// Words of its command line.
    opts: Vec<String>,
}

module::stage! {
    file: "uki.rs", name: "org.osbuild.uki", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["kernel", "initrd", "osrel"],
            "properties": {
                "osrel": {"type": "object", "additionalProperties": true},
                "kernel": {"type": "object", "additionalProperties": true},
                "initrd": {"type": "object", "additionalProperties": true},
            },
        },
    },
    libraries: [include_str!("uki/portable.rs")],
}

/// Where systemd has its stubs.
const STUBS: &str = "/usr/lib/systemd/boot/efi";

fn run(args: Args<Options>) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let input = |name: &str| {
        read(&args.input(name)?.single_file()?.path).with_context(|| format!("the input {name}"))
    };
    let stub = stub(std::env::consts::ARCH);
    let stub = read(&stub).context("the stub, of the package systemd-boot")?;
    let sections = [
        (".osrel", input("osrel")?),
        (".cmdline", args.options.kernel.opts.join(" ").into_bytes()),
        (".linux", input("kernel")?),
        (".initrd", input("initrd")?),
    ];
    let mut image = Executable::parse(stub)?;
    for (name, content) in sections {
        image.add(name, content)?;
    }
    let image = image.finish()?;
    args.tree.write(&args.options.filename, image)?;
    Ok(args.tree.chmod(&args.options.filename, 0o755)?)
}

/// The stub for an architecture, by UEFI's name of it.
fn stub(architecture: &str) -> PathBuf {
    let name = match architecture {
        "x86_64" => "x64",
        "x86" => "ia32",
        "aarch64" => "aa64",
        other => other,
    };
    Path::new(STUBS).join(format!("linux{name}.efi.stub"))
}

#[cfg(test)]
mod tests;
