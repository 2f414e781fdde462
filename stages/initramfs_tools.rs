//! Make the initial RAM file systems of kernels with the tree's initramfs-tools, as Debian and Ubuntu have it.
//!
//! Each image is made anew, also where there is one already. `org.osbuild.deb` makes that of a kernel it installs: this
//! stage is for what was changed in `/etc/initramfs-tools` later, or for another set of modules.

use module::{Args, Chroot, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.initramfs-tools`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The versions of the kernels; without this option, all that have modules in the tree.
    #[schemars(extend("minItems" = 1))]
    kernel: Option<Vec<String>>,
    /// Which modules are taken in: a file in `/etc/initramfs-tools/conf.d` says so from now on.
    modules: Option<Modules>,
    /// How images are compressed; kept in the same file.
    compress: Option<Compression>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Modules {
    /// Those of most machines.
    Most,
    /// Those that are listed in `/etc/initramfs-tools/modules`.
    List,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Gzip,
    Xz,
    Zstd,
    Lz4,
}

module::stage! {
    file: "initramfs_tools.rs", name: "org.osbuild.initramfs-tools", options: Options, run: run,
    needs: [Chroot],
}

const PROGRAM: &str = "usr/sbin/update-initramfs";
const SETTINGS: &str = "etc/initramfs-tools/conf.d/osbuild";

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    ensure!(
        tree.is_file(PROGRAM),
        "/{PROGRAM} is not in the tree: install initramfs-tools before this stage"
    );
    let settings = options.settings();
    if !settings.is_empty() {
        tree.mkdir_all("etc/initramfs-tools/conf.d")?;
        tree.write(SETTINGS, settings)?;
    }
    let kernels = match &options.kernel {
        Some(kernels) => kernels.clone(),
        None => kernels(tree)?,
    };
    ensure!(!kernels.is_empty(), "there is no kernel in /lib/modules");
    let chroot = Chroot::enter(tree)?;
    for kernel in &kernels {
        println!("Making the initial RAM file system of {kernel}");
        let mut tool = chroot.tool("update-initramfs").args(["-c", "-k", kernel]);
        if let Some(epoch) = args.meta.source_epoch {
            tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
        }
        tool.run()?;
    }
    Ok(())
}

/// The kernels that have modules.
fn kernels(tree: &module::Tree) -> Result<Vec<String>> {
    let mut kernels = Vec::new();
    if tree.is_dir("lib/modules") {
        for name in tree.list("lib/modules")? {
            let name = name.to_string_lossy().into_owned();
            if tree.is_dir(format!("lib/modules/{name}/kernel")) {
                kernels.push(name);
            }
        }
    }
    Ok(kernels)
}

impl Options {
    fn settings(&self) -> String {
        let mut text = String::new();
        if let Some(modules) = self.modules {
            text += match modules {
                Modules::Most => "MODULES=most\n",
                Modules::List => "MODULES=list\n",
            };
        }
        if let Some(compress) = self.compress {
            text += match compress {
                Compression::Gzip => "COMPRESS=gzip\n",
                Compression::Xz => "COMPRESS=xz\n",
                Compression::Zstd => "COMPRESS=zstd\n",
                Compression::Lz4 => "COMPRESS=lz4\n",
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_and_kernels_are_found() {
        let options: Options =
            serde_json::from_value(json!({"modules": "most", "compress": "zstd"})).unwrap();
        assert_eq!(options.settings(), "MODULES=most\nCOMPRESS=zstd\n");
        assert_eq!(Options::default().settings(), "");
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("lib/modules/6.1.0-2/kernel").unwrap();
        tree.mkdir_all("lib/modules/6.1.0-1/updates").unwrap();
        assert_eq!(kernels(&tree).unwrap(), ["6.1.0-2"]);
    }

    #[test]
    fn a_tree_without_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = (MODULE.run)(json!({"tree": dir.path(), "options": {}})).unwrap_err();
        assert!(error.to_string().contains("update-initramfs is not in the tree"));
    }
}
