//! Which deployment of a tree, and where it is.
//!
//! ```text
//! ostree/repo                          the repository
//! ostree/deploy/OSNAME/var             what all deployments of an operating system share
//! ostree/deploy/OSNAME/deploy/COMMIT.SERIAL        a deployment; beside it COMMIT.SERIAL.origin
//! ostree/boot.N/OSNAME/BOOTCSUM/SERIAL             where its kernel line leads to
//! ```

use std::path::PathBuf;

use module::{Context, Result, Tree, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// A deployment: by its operating system, ref and serial number, or the only one there is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"properties": {"default": {"enum": [false]}}, "required": ["osname", "ref"]},
    {
        "properties": {"default": {"enum": [true]}},
        "not": {"anyOf": [{"required": ["osname"]}, {"required": ["ref"]}, {"required": ["serial"]}]},
    },
]))]
pub struct Deployment {
    /// The operating system's name, of its state root.
    osname: Option<String>,
    /// The ref that was deployed.
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// Tells deployments of the same commit apart.
    #[serde(default)]
    #[schemars(extend("type" = "number"))]
    serial: u32,
    /// The only deployment there is.
    #[serde(default)]
    default: bool,
}

/// A deployment in a tree.
#[derive(Debug)]
pub struct Found {
    pub osname: String,
    /// `COMMIT.SERIAL`, relative to the tree.
    pub path: PathBuf,
}

impl Deployment {
    /// Finds it in the tree `sysroot`.
    pub fn find(&self, sysroot: &Tree) -> Result<Found> {
        if self.default {
            return only(sysroot);
        }
        let (Some(osname), Some(reference)) = (&self.osname, &self.reference) else {
            bail!("`deployment` needs `osname` and `ref`, or `default`");
        };
        let repo = super::option("repo", &sysroot.path().join("ostree/repo"));
        let output = super::ostree(&["rev-parse", reference, &repo]).output()?;
        let commit = String::from_utf8(output).context("ostree names no commit")?;
        let name = format!("{}.{}", commit.trim(), self.serial);
        let path = PathBuf::from("ostree/deploy")
            .join(osname)
            .join("deploy")
            .join(name);
        Ok(Found {
            osname: osname.clone(),
            path,
        })
    }
}

/// The only deployment there is, with the serial number 0.
fn only(sysroot: &Tree) -> Result<Found> {
    let mut found = Vec::new();
    for osname in names(sysroot, "ostree/deploy")? {
        let dir = format!("ostree/deploy/{osname}/deploy");
        let here = names(sysroot, &dir)?
            .into_iter()
            .filter(|name| name.ends_with(".0"));
        found.extend(here.map(|name| Found {
            osname: osname.clone(),
            path: PathBuf::from(&dir).join(name),
        }));
    }
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => bail!("there is no deployment in the tree"),
        (_, others) => bail!("there are {} deployments in the tree, not one", others + 1),
    }
}

/// Where the kernel line of the only deployment leads to: `/ostree/boot.N/OSNAME/BOOTCSUM/SERIAL`.
pub fn boot_path(sysroot: &Tree) -> Result<String> {
    let mut found = Vec::new();
    let boots = names(sysroot, "ostree")?.into_iter();
    for boot in boots.filter(|name| name.len() == 6 && name.starts_with("boot.")) {
        let boot = format!("ostree/{boot}");
        for osname in names(sysroot, &boot)? {
            for checksum in names(sysroot, &format!("{boot}/{osname}"))? {
                let dir = format!("{boot}/{osname}/{checksum}");
                let serials = names(sysroot, &dir)?.into_iter();
                found.extend(serials.map(|serial| format!("/{dir}/{serial}")));
            }
        }
    }
    ensure!(
        found.len() <= 1,
        "there is more than one deployment to boot: {}",
        found.join(", ")
    );
    found.pop().context("there is no deployment to boot in the tree")
}

/// Names that do not begin with a dot; none of what is no directory.
fn names(tree: &Tree, dir: &str) -> Result<Vec<String>> {
    if !tree.is_dir(dir) {
        return Ok(Vec::new());
    }
    let names = tree.list(dir)?.into_iter();
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

/// What the origin of a deployment says: whether it came from a container, and the name of what it came from.
pub fn origin(sysroot: &Tree, found: &Found) -> Result<(bool, String)> {
    let mut path = found.path.clone().into_os_string();
    path.push(".origin");
    let text = sysroot.read_text(&path)?;
    let known = text.lines().find_map(|line| match line.split_once('=')? {
        ("container-image-reference", name) => Some((true, name.trim_end())),
        ("refspec", name) => Some((false, name.trim_end())),
        _ => None,
    });
    let (container, name) =
        known.context("the deployment's origin has neither `container-image-reference` nor `refspec`")?;
    ensure!(!name.is_empty(), "the deployment's origin is empty");
    Ok((container, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_deployment_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        assert!(only(&tree).is_err() && boot_path(&tree).is_err());
        tree.mkdir_all("ostree/deploy/fedora/deploy/abc.0").unwrap();
        tree.mkdir_all("ostree/deploy/fedora/deploy/abc.1").unwrap();
        tree.mkdir_all("ostree/deploy/fedora/var").unwrap();
        tree.write(
            "ostree/deploy/fedora/deploy/abc.0.origin",
            "[origin]\nrefspec=fedora:f/x\n",
        )
        .unwrap();
        let found = only(&tree).unwrap();
        assert_eq!(found.osname, "fedora");
        assert_eq!(found.path, PathBuf::from("ostree/deploy/fedora/deploy/abc.0"));
        assert_eq!(origin(&tree, &found).unwrap(), (false, "fedora:f/x".to_owned()));

        tree.mkdir_all("ostree/boot.1.1/fedora/sum").unwrap();
        tree.symlink("boot.1.1", "ostree/boot.1").unwrap();
        tree.symlink("../../../deploy/x", "ostree/boot.1.1/fedora/sum/0")
            .unwrap();
        assert_eq!(boot_path(&tree).unwrap(), "/ostree/boot.1/fedora/sum/0");
        tree.mkdir_all("ostree/deploy/other/deploy/def.0").unwrap();
        assert!(only(&tree).unwrap_err().to_string().contains("2 deployments"));
    }
}
