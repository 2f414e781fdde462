//! Make GRUB's directory on an installation medium for BIOS machines.
//!
//! `grub2dir` gets GRUB's modules for the `platform` from the build root, and its menu.

use std::path::Path;

use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts::{self, Config, Custom, Kernel, Menu, Product};

/// Options of `org.osbuild.grub2.iso.legacy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// GRUB's directory; empty: the default.
    #[serde(default = "grub2dir")]
    grub2dir: String,
    /// What is installed.
    product: Product,
    /// Its kernel.
    kernel: Kernel,
    /// The medium's label.
    isolabel: String,
    /// Offer to install in FIPS mode.
    #[serde(default)]
    fips: bool,
    /// Offer what helps when something goes wrong.
    #[serde(default = "yes")]
    troubleshooting: bool,
    /// Offer to check the medium first.
    #[serde(default = "yes")]
    test: bool,
    /// Offer to install.
    #[serde(default = "yes")]
    install: bool,
    /// GRUB's name of it.
    #[serde(default)]
    platform: Platform,
    /// Entries of one's own, before the others.
    #[serde(default)]
    custom: Vec<Custom>,
    /// What GRUB does by itself.
    #[serde(default)]
    config: Config,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
enum Platform {
    #[default]
    #[serde(rename = "i386-pc")]
    Pc,
    #[serde(rename = "powerpc-ieee1275")]
    PowerPc,
}

module::stage! {
    file: "grub2_iso_legacy.rs", name: "org.osbuild.grub2.iso.legacy", options: Options, run: run,
    needs: [Tools],
    libraries: [artifacts::SOURCE],
}

fn grub2dir() -> String {
    "boot/grub2".into()
}

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    install(&args.tree, &args.options, &Tree::open("/")?)
}

fn install(tree: &Tree, options: &Options, build_root: &Tree) -> Result<()> {
    let dir = match options.grub2dir.trim_start_matches('/') {
        "" => "boot/grub2",
        dir => dir,
    };
    let platform = match options.platform {
        Platform::Pc => "i386-pc",
        Platform::PowerPc => "powerpc-ieee1275",
    };
    tree.mkdir_all(dir)?;
    let modules = Path::new("usr/lib/grub").join(platform);
    artifacts::copy_tree(build_root, &modules, tree, &Path::new(dir).join(platform))
        .with_context(|| format!("the build root lacks GRUB's modules for {platform}"))?;
    Ok(tree.write(format!("{dir}/grub.cfg"), menu(options).text())?)
}

fn menu(options: &Options) -> Menu<'_> {
    Menu {
        product: &options.product.name,
        version: &options.product.version,
        isolabel: &options.isolabel,
        kernel_dir: &options.kernel.dir,
        kernel_opts: &options.kernel.opts,
        timeout: options.config.timeout,
        default: options.config.default,
        custom: &options.custom,
        install: options.install,
        test: options.test,
        fips: options.fips,
        troubleshooting: options.troubleshooting,
        video: &["all_video"],
        modules: &["gzio", "part_gpt", "ext2", "chain"],
        first_drive: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The peer's recorded menu, without GRUB of the build root.
    #[test]
    fn the_menu_is_the_recorded_one() {
        let file = "../../shared/conformance/goldens/org.osbuild.grub2.iso.legacy/basic.json";
        let Ok(text) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)) else {
            println!("skipped: there is no {file}");
            return;
        };
        let golden: Value = serde_json::from_slice(&text).unwrap();
        let options: Options = serde_json::from_value(golden["options"].clone()).unwrap();
        assert_eq!(
            menu(&options).text(),
            golden["after"]["/boot/grub2/grub.cfg"]["content"]
        );
    }

    #[test]
    fn modules_come_from_the_build_root() {
        let root = tempfile::tempdir().unwrap();
        let build_root = Tree::open(root.path()).unwrap();
        build_root.mkdir_all("usr/lib/grub/i386-pc").unwrap();
        build_root.write("usr/lib/grub/i386-pc/a.mod", "m").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let mut options: Options = serde_json::from_value(json!({
            "grub2dir": "", "product": {"name": "A", "version": "1"}, "kernel": {"dir": "/k"}, "isolabel": "L",
        }))
        .unwrap();
        install(&tree, &options, &build_root).unwrap();
        assert_eq!(tree.read_text("boot/grub2/i386-pc/a.mod").unwrap(), "m");
        options.platform = Platform::PowerPc;
        let error = install(&tree, &options, &build_root).unwrap_err();
        assert!(format!("{error:#}").contains("powerpc-ieee1275"), "{error:#}");
    }
}
