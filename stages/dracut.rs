//! Make the initial RAM file systems of kernels with the tree's dracut.
//!
//! Each image is made anew, for any machine rather than for the one that builds, also where there is one already. Where
//! dracut puts it is its own affair: `/boot/initramfs-KERNEL.img` or `/lib/modules/KERNEL/initrd`.

use std::collections::BTreeMap;

use module::{Args, Chroot, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, Keyed};

/// Options of `org.osbuild.dracut`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    /// The versions of the kernels.
    kernel: Vec<String>,
    /// How the image is compressed: `xz`, `zstd` or a command.
    #[serde(default)]
    compress: String,
    /// The only dracut modules to use.
    #[serde(default)]
    modules: Vec<String>,
    /// Dracut modules to use as well.
    #[serde(default)]
    add_modules: Vec<String>,
    /// Dracut modules not to use.
    #[serde(default)]
    omit_modules: Vec<String>,
    /// The only kernel modules to take in.
    #[serde(default)]
    drivers: Vec<String>,
    /// Kernel modules to take in as well.
    #[serde(default)]
    add_drivers: Vec<String>,
    /// Kernel modules not to take in.
    #[serde(default)]
    omit_drivers: Vec<String>,
    /// Kernel modules to take in and load early.
    #[serde(default)]
    force_drivers: Vec<String>,
    /// The only kernel modules of file systems to take in.
    #[serde(default)]
    filesystems: Vec<String>,
    /// Files to take in: path in the tree → path in the image.
    #[serde(default)]
    #[schemars(with = "Vec<BTreeMap<String, Value>>")]
    include: Vec<Keyed<String>>,
    /// Files to take in, with what they need.
    #[serde(default)]
    install: Vec<String>,
    /// Files not to take in.
    #[serde(default)]
    remove: Vec<String>,
    /// Whether the processor's microcode is taken in.
    #[serde(default)]
    early_microcode: bool,
    /// Whether two runs make the same image.
    #[serde(default = "yes")]
    #[schemars(extend("default" = true))]
    reproducible: bool,
    /// Make an initoverlayfs beside it.
    #[serde(default)]
    initoverlayfs: bool,
    /// Further arguments of dracut.
    #[serde(default)]
    extra: Vec<String>,
}

module::stage! {
    file: "dracut.rs", name: "org.osbuild.dracut", options: Options, run: run,
    needs: [Chroot],
    libraries: [common::SOURCE],
}

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let program = if options.initoverlayfs {
        "/usr/bin/initoverlayfs-install"
    } else {
        "/usr/bin/dracut"
    };
    ensure!(
        tree.is_file(program),
        "{program} is not in the tree: install its package before this stage"
    );
    let chroot = Chroot::enter(tree)?;
    for kernel in &options.kernel {
        println!("Making the initial RAM file system of {kernel}");
        chroot
            .tool(program)
            .args(["--no-hostonly", "--kver", kernel])
            .args(arguments(options))
            .run()?;
    }
    Ok(())
}

/// The arguments that are the same for all kernels.
fn arguments(options: &Options) -> Vec<String> {
    let switch = |name: &str, on: bool| format!("--{}{name}", if on { "" } else { "no-" });
    let mut arguments: Vec<String> = ["--force", "-v", "--show-modules"].map(String::from).into();
    arguments.push(switch("early-microcode", options.early_microcode));
    arguments.push(switch("reproducible", options.reproducible));
    if !options.compress.is_empty() {
        arguments.push(format!("--compress={}", options.compress));
    }
    let lists = [
        ("--modules", &options.modules),
        ("--add", &options.add_modules),
        ("--omit", &options.omit_modules),
        ("--drivers", &options.drivers),
        ("--add-drivers", &options.add_drivers),
        ("--omit-drivers", &options.omit_drivers),
        ("--force-drivers", &options.force_drivers),
        ("--filesystems", &options.filesystems),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        arguments.extend([name.to_owned(), list.join(" ")]);
    }
    for (from, to) in options.include.iter().flat_map(Keyed::iter) {
        arguments.extend(["--include", from, to].map(String::from));
    }
    for (name, list) in [("--remove", &options.remove), ("--install", &options.install)] {
        for path in list {
            arguments.extend([name.to_owned(), path.clone()]);
        }
    }
    arguments.extend(options.extra.iter().cloned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(options: Value) -> String {
        arguments(&serde_json::from_value(options).unwrap()).join("|")
    }

    #[test]
    fn options_become_arguments() {
        let plain = "--force|-v|--show-modules|--no-early-microcode|--reproducible";
        assert_eq!(line(json!({"kernel": ["k"]})), plain);
        let options = json!({
            "kernel": ["k"], "compress": "xz", "modules": ["base"], "add_modules": ["a", "b"], "omit_modules": ["c"],
            "drivers": ["d"], "add_drivers": ["e"], "omit_drivers": ["f"], "force_drivers": ["g"],
            "filesystems": ["xfs"], "include": [{"/z": "/b", "/a": "/c"}], "install": ["/i"], "remove": ["/r"],
            "early_microcode": true, "reproducible": false, "extra": ["--x"],
        });
        assert_eq!(
            line(options),
            "--force|-v|--show-modules|--early-microcode|--no-reproducible|--compress=xz|--modules|base|--add|a b|\
             --omit|c|--drivers|d|--add-drivers|e|--omit-drivers|f|--force-drivers|g|--filesystems|xfs|\
             --include|/z|/b|--include|/a|/c|--remove|/r|--install|/i|--x"
        );
    }

    #[test]
    fn a_tree_without_dracut_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let result = (MODULE.run)(json!({"tree": dir.path(), "options": {"kernel": ["k"]}}));
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("/usr/bin/dracut is not in the tree")
        );
    }
}
