//! Write `/etc/fstab`.
//!
//! One line for each file system, in the order given; what was in the file is replaced. With `ostree`, the file is that
//! of a deployment instead of the tree's own.

use module::{Args, Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Whole};

/// Options of `org.osbuild.fstab`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The deployment whose file is written.
    ostree: Option<Ostree>,
    /// The lines.
    filesystems: Vec<Filesystem>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ostree {
    deployment: Deployment,
}

/// Either `osname` and `ref`, or `default`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"properties": {"default": {"enum": [false]}}, "required": ["osname", "ref"]},
    {
        "properties": {"default": {"enum": [true]}},
        "not": {"anyOf": [{"required": ["osname"]}, {"required": ["ref"]}, {"required": ["serial"]}]},
    },
]))]
struct Deployment {
    /// The stateroot.
    osname: Option<String>,
    /// The ref that is deployed.
    r#ref: Option<String>,
    /// The deployment's serial.
    #[serde(default)]
    serial: Whole,
    /// Find the only deployment there is.
    #[serde(default)]
    default: bool,
}

/// One line of the file: exactly one of `device`, `uuid`, `label` and `partlabel` says what is mounted.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["device", "path"]},
    {"required": ["path", "uuid"]},
    {"required": ["label", "path"]},
    {"required": ["partlabel", "path"]},
]))]
struct Filesystem {
    /// The device, written as it is.
    device: Option<String>,
    /// UUID of the file system.
    uuid: Option<String>,
    /// Label of the file system.
    label: Option<String>,
    /// Name of the partition.
    partlabel: Option<String>,
    /// Mount point.
    path: String,
    /// Type of the file system.
    #[serde(default = "none")]
    vfs_type: String,
    /// Mount options.
    #[serde(default = "defaults")]
    options: String,
    /// Whether dump(8) takes it.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    freq: Whole,
    /// The turn at which fsck(8) checks it; 0: never.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    passno: Whole,
}

module::stage! {
    file: "fstab.rs", name: "org.osbuild.fstab", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn none() -> String {
    "none".into()
}

fn defaults() -> String {
    "defaults".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let mut text = String::new();
    for filesystem in &args.options.filesystems {
        text.push_str(&line(filesystem)?);
    }
    let root = match &args.options.ostree {
        Some(ostree) => deployment(&args.tree, &ostree.deployment)?,
        None => String::new(),
    };
    args.tree.write(format!("{root}/etc/fstab"), text)?;
    Ok(())
}

fn line(filesystem: &Filesystem) -> Result<String> {
    let path = &filesystem.path;
    let named = [
        ("UUID=", &filesystem.uuid),
        ("LABEL=", &filesystem.label),
        ("PARTLABEL=", &filesystem.partlabel),
        ("", &filesystem.device),
    ];
    let mut named = named
        .iter()
        .filter_map(|(prefix, value)| Some(format!("{prefix}{}", value.as_ref()?)));
    let (Some(what), None) = (named.next(), named.next()) else {
        bail!("the file system at {path} needs exactly one of `uuid`, `label`, `partlabel` and `device`");
    };
    let fields = [&what, path, &filesystem.vfs_type, &filesystem.options].map(|field| escaped(field));
    Ok(format!(
        "{}\t{}\t{}\n",
        fields.join("\t"),
        filesystem.freq,
        filesystem.passno
    ))
}

/// A field without white space in it: fstab(5) writes it as octal escapes.
fn escaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    for c in field.chars() {
        match c {
            ' ' => text.push_str("\\040"),
            '\t' => text.push_str("\\011"),
            '\n' => text.push_str("\\012"),
            c => text.push(c),
        }
    }
    text
}

/// The directory of a deployment, `ostree/deploy/OSNAME/deploy/COMMIT.SERIAL`.
fn deployment(tree: &module::Tree, deployment: &Deployment) -> Result<String> {
    if let (Some(osname), Some(name)) = (&deployment.osname, &deployment.r#ref) {
        let commit = tree.read_text(format!("ostree/repo/refs/heads/{name}"))?;
        let serial = deployment.serial;
        return Ok(format!(
            "ostree/deploy/{osname}/deploy/{}.{serial}",
            commit.trim()
        ));
    }
    if !deployment.default {
        bail!("`ostree.deployment` needs `osname` and `ref`, or `default`");
    }
    let mut found = Vec::new();
    for osname in tree.list("ostree/deploy")? {
        let dir = format!("ostree/deploy/{}/deploy", osname.to_string_lossy());
        if !tree.is_dir(&dir) {
            continue;
        }
        for name in tree.list(&dir)? {
            let path = format!("{dir}/{}", name.to_string_lossy());
            if tree.is_dir(&path) {
                found.push(path);
            }
        }
    }
    match &found[..] {
        [only] => Ok(only.clone()),
        _ => bail!(
            "there are {} deployments below /ostree/deploy: say which one with `osname` and `ref`",
            found.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn white_space_is_escaped() {
        let filesystem = serde_json::from_value(json!({"label": "my disk", "path": "/mnt/a b"})).unwrap();
        assert_eq!(
            line(&filesystem).unwrap(),
            "LABEL=my\\040disk\t/mnt/a\\040b\tnone\tdefaults\t0\t0\n"
        );
    }

    #[test]
    fn a_deployment_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("ostree/repo/refs/heads/fedora").unwrap();
        tree.write("ostree/repo/refs/heads/fedora/x", "abc\n").unwrap();
        tree.mkdir_all("ostree/deploy/os/deploy/abc.0/etc").unwrap();
        for which in [
            json!({"osname": "os", "ref": "fedora/x"}),
            json!({"default": true}),
        ] {
            let options =
                json!({"ostree": {"deployment": which}, "filesystems": [{"uuid": "u", "path": "/"}]});
            (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
            let file = "ostree/deploy/os/deploy/abc.0/etc/fstab";
            assert!(tree.read_text(file).unwrap().starts_with("UUID=u\t/\t"));
            tree.remove_file(file).unwrap();
        }
    }
}
