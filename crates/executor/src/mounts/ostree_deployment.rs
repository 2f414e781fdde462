//! The tree, or the mounts, made to look like a booted OSTree deployment.
//!
//! What OSTree does early in a boot: the deployment takes the place of the root; in it lie the whole as `sysroot`, the
//! shared `var` and the `boot` directory. `source` says which is meant, the stage's `tree` or the `mount`s, of which one
//! must then be at `/`. The deployment is named by `osname`, `ref` (or commit) and `serial`, or is the only one that is
//! there (`default`).

use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change, mount_move};
use serde_json::{Map, Value, json};
use tree::Tree;

use super::{At, MountModule, Mounted, Mounting};

/// This file as a mount.
pub(super) static MOUNT: MountModule = MountModule {
    name: "org.osbuild.ostree.deployment",
    text: include_str!("ostree_deployment.rs"),
    schema,
    is_file_system: false,
    mount,
};

fn schema() -> Value {
    let own = ["osname", "ref", "serial"].map(|name| json!({"required": [name]}));
    let deployment = json!({
        "type": "object",
        "additionalProperties": false,
        "oneOf": [
            {"properties": {"default": {"enum": [false]}}, "required": ["osname", "ref"]},
            {"properties": {"default": {"enum": [true]}}, "not": {"anyOf": own}},
        ],
        "properties": {
            "osname": {"type": "string", "description": "The stateroot that it belongs to."},
            "ref": {"type": "string", "description": "The ref, or the commit, that is deployed."},
            "serial": {"type": "number", "default": 0, "description": "Which of several of the commit."},
            "default": {"type": "boolean", "default": false, "description": "Take the only one there is."},
        },
    });
    let source = json!({
        "type": "string", "pattern": "^(mount|tree)$", "default": "tree",
        "description": "Where the deployment lies: in the tree, or in what is mounted.",
    });
    let options = json!({
        "type": "object", "required": ["deployment"],
        "properties": {"source": source, "deployment": deployment},
    });
    super::schema(&[], json!({"options": options}))
}

fn mount(mounting: &Mounting<'_>) -> Result<Mounted, String> {
    let root = match mounting.options.get("source").and_then(Value::as_str) {
        Some("mount") => mounting.root,
        _ => mounting.tree,
    };
    let tree = Tree::open(root).map_err(|e| e.to_string())?;
    let options = mounting.options.get("deployment").and_then(Value::as_object);
    let found = Deployment::of(&tree, options.unwrap_or(&Map::new()))?;
    let below = |path: &str| mounting.existing(root, path);
    let deployment = below(&found.path())?;
    let (var, boot) = (
        below(&format!("ostree/deploy/{}/var", found.osname))?,
        below("boot")?,
    );
    let mut held = Vec::new();
    // a mount can be moved only away from one that is nobody else's
    bind(root, root)?;
    held.push(At(root.to_owned()));
    // the same directories again, in the mount that was just made
    bind(&deployment, &deployment)?;
    let inside = |name: &str| -> Result<PathBuf, String> {
        mounting
            .existing(&deployment, name)
            .map_err(|e| format!("the deployment has no `{name}`: {e}"))
    };
    for (source, name) in [(root, "sysroot"), (&var, "var"), (&boot, "boot")] {
        bind(source, &inside(name)?)?;
    }
    mount_move(&deployment, root).map_err(|e| format!("cannot move the deployment to its place: {e}"))?;
    held.push(At(root.to_owned()));
    Ok(Mounted {
        path: None,
        held: held.into_iter().map(|at| Box::new(at) as _).collect(),
    })
}

fn bind(source: &Path, target: &Path) -> Result<(), String> {
    let bound =
        mount_bind(source, target).and_then(|()| mount_change(target, MountPropagationFlags::PRIVATE));
    bound.map_err(|e| format!("cannot bind {} to {}: {e}", source.display(), target.display()))
}

/// Which deployment it is.
struct Deployment {
    osname: String,
    /// Commit and serial, with a dot between.
    name: String,
}

impl Deployment {
    fn of(tree: &Tree, options: &Map<String, Value>) -> Result<Self, String> {
        if options.get("default") == Some(&Value::Bool(true)) {
            return Self::only(tree);
        }
        let text = |key: &str| options.get(key).and_then(Value::as_str).unwrap_or_default();
        let serial = options.get("serial").and_then(Value::as_f64).unwrap_or(0.0);
        Ok(Self {
            osname: plain(text("osname"))?,
            name: format!("{}.{serial}", commit(tree, text("ref"))?),
        })
    }

    /// The only deployment there is, of those that are the first of their commits.
    fn only(tree: &Tree) -> Result<Self, String> {
        let list = |path: &str| tree.list(path).unwrap_or_default();
        let mut found = Vec::new();
        for osname in list("ostree/deploy").iter().filter_map(|name| name.to_str()) {
            for name in list(&format!("ostree/deploy/{osname}/deploy")) {
                let name = name.to_string_lossy().into_owned();
                if name.ends_with(".0") {
                    let osname = osname.to_owned();
                    found.push(Self { osname, name });
                }
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err("there is no deployment in ostree/deploy".into()),
            more => Err(format!(
                "there are {more} deployments in ostree/deploy: name the one"
            )),
        }
    }

    fn path(&self) -> String {
        format!("ostree/deploy/{}/deploy/{}", self.osname, self.name)
    }
}

/// The commit that a ref of the repository in the tree stands for.
fn commit(tree: &Tree, reference: &str) -> Result<String, String> {
    if reference.len() == 64 && reference.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(reference.to_owned());
    }
    // a remote's ref is written REMOTE:REF
    let path = match reference.split_once(':') {
        Some((remote, name)) => format!("remotes/{remote}/{name}"),
        None => format!("heads/{reference}"),
    };
    let text = tree.read_text(format!("ostree/repo/refs/{path}"));
    text.map(|text| text.trim().to_owned())
        .map_err(|e| format!("the repository in ostree/repo has no ref `{reference}`: {e}"))
}

fn plain(name: &str) -> Result<String, String> {
    match name.contains('/') || matches!(name, "" | "." | "..") {
        true => Err(format!("`{name}` is no name of a stateroot")),
        false => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_found_by_ref_or_as_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let commit = "ab".repeat(32);
        tree.mkdir_all("ostree/repo/refs/heads/os").unwrap();
        tree.write("ostree/repo/refs/heads/os/x", format!("{commit}\n"))
            .unwrap();
        tree.mkdir_all(format!("ostree/deploy/os/deploy/{commit}.0"))
            .unwrap();
        let of = |options: Value| Deployment::of(&tree, options.as_object().unwrap()).map(|d| d.path());
        let path = format!("ostree/deploy/os/deploy/{commit}.0");
        assert_eq!(of(json!({"default": true})), Ok(path.clone()));
        assert_eq!(of(json!({"osname": "os", "ref": "os/x"})), Ok(path.clone()));
        assert_eq!(of(json!({"osname": "os", "ref": commit})), Ok(path));
        assert!(
            of(json!({"osname": "os", "ref": "os/y"}))
                .unwrap_err()
                .contains("no ref `os/y`")
        );
        assert!(of(json!({"osname": "..", "ref": "os/x"})).is_err());
        tree.mkdir_all("ostree/deploy/other/deploy/cd.0").unwrap();
        assert!(of(json!({"default": true})).is_err());
    }
}
