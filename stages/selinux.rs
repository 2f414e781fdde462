//! Label files for SELinux.
//!
//! What `target` leads to, and all below it, gets the labels of the policy's `file_contexts`, read here as
//! file_contexts(5) says; then the files in `labels` get theirs. No tool of the build root is needed. Run it behind all
//! stages that make files.
//!
//! The kernel lets only the machine's root set labels. A build as root has them set by the executor when this stage
//! has ended well; a build by another user fails, and names the first file. So it is with file systems that the
//! kernel mounts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use module::{Args, Context, Location, Result, Tree};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tree::Deed;

use crate::common::{self, Keyed};
use crate::labels::{self, FileContexts};

/// Options of `org.osbuild.selinux`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["file_contexts"]}, {"required": ["labels"]}]))]
pub struct Options {
    /// What to label: a location in the tree or on a mount.
    #[serde(default = "whole_tree")]
    #[schemars(extend("pattern" = "^mount://[^/]+/|^tree:///", "default" = "tree:///"))]
    target: String,
    /// The policy's `file_contexts`: a location, or a path of the tree.
    file_contexts: Option<String>,
    /// Paths, below the target, that keep what they have with all below them.
    #[serde(default)]
    exclude_paths: Vec<String>,
    /// Location → label, for what it leads to.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Value>", transform = any_values)]
    labels: Keyed<String>,
    /// Have the system label everything anew on its first boot, which then takes longer.
    #[serde(default)]
    force_autorelabel: bool,
}

fn whole_tree() -> String {
    "tree:///".into()
}

fn any_values(schema: &mut schemars::Schema) {
    schema.remove("additionalProperties");
}

module::stage! {
    file: "selinux.rs", name: "org.osbuild.selinux", options: Options, run: run,
    takes: {
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
        "inputs": {"type": "object", "additionalProperties": true},
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [Labels],
    libraries: [common::SOURCE, labels::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let target = Location::parse(&options.target)?;
    let root = target.root(&args)?;
    if let Some(list) = &options.file_contexts {
        let list = Location::parse(list)?;
        let contexts = FileContexts::read(&list.root(&args)?, list.path())?;
        let below = Path::new("/").join(target.path().trim_matches('/'));
        let excluded: Vec<PathBuf> = options
            .exclude_paths
            .iter()
            .map(|path| below.join(path.trim_matches('/')))
            .collect();
        labels::relabel(&args, &root, &contexts, target.path(), &excluded)?;
    }
    for (path, label) in options.labels.iter() {
        let location = Location::parse(path)?;
        let root = location.root(&args)?;
        let deed = Deed::Label(label.as_bytes().to_vec());
        let real = leads_to(&root, location.path()).with_context(|| format!("options: labels: {path}"))?;
        args.do_as_root(&root, [(real, deed)])?;
    }
    if options.force_autorelabel {
        // fixfiles(8) has the same for the whole label to be set, and not the type alone
        root.write(".autorelabel", "-F")?;
    }
    Ok(())
}

/// Where a path leads to, without links, from `root`.
fn leads_to(root: &Tree, path: &str) -> Result<PathBuf> {
    use std::os::fd::AsRawFd;
    let where_is = |fd: &dyn AsRawFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let found = where_is(&root.open_at(path, OFlags::PATH, 0)?)?;
    let top = where_is(&root.fd())?;
    let below = found.strip_prefix(top).context("it leads out of the tree")?;
    Ok(below.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn label(path: PathBuf) -> Option<Vec<u8>> {
        let mut value = [0u8; 100];
        let length = rustix::fs::lgetxattr(path, "security.selinux", &mut value).ok()?;
        Some(value[..length].to_vec())
    }

    #[test]
    fn files_get_the_labels_of_the_policy() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root");
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in ["etc/x", "sysroot/y", "boot/efi"] {
            tree.mkdir_all(path).unwrap();
        }
        tree.write(
            "fc",
            "/.* a:b:any_t:s0\n/etc(/.*)? a:b:etc_t:s0\n/etc/x -d <<none>>\n",
        )
        .unwrap();
        tree.write("etc/f", "").unwrap();
        tree.symlink("/etc/f", "etc/link").unwrap();
        let options = json!({
            "file_contexts": "fc", "exclude_paths": ["/sysroot", "boot/efi"], "force_autorelabel": true,
            "labels": {"tree:///etc/link": "own"},
        });
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        let at = |path: &str| label(dir.path().join(path)).map(|label| String::from_utf8(label).unwrap());
        assert_eq!(at("etc").as_deref(), Some("a:b:etc_t:s0\0"));
        assert_eq!(at("etc/link").as_deref(), Some("a:b:etc_t:s0\0"));
        assert_eq!(at("etc/f").as_deref(), Some("own"));
        assert_eq!(at("etc/x"), None);
        assert_eq!(at("boot").as_deref(), Some("a:b:any_t:s0\0"));
        assert_eq!(
            (at("boot/efi"), at("sysroot"), at("sysroot/y")),
            (None, None, None)
        );
        assert_eq!(tree.read_text(".autorelabel").unwrap(), "-F");
    }
}
