//! Write the aleph file: which version a system was first installed from.
//!
//! `/.aleph-version.json` of the system root says what the deployment's origin, its commit or its container image say,
//! and by which version of osbuild it was made.

use module::{Args, Context, Location, Result, Tree, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::sysroot::{self, Deployment};

/// Options of `org.osbuild.ostree.aleph`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whether the file has its former name, `.coreos-aleph-version.json`, as well.
    #[serde(default)]
    coreos_compat: bool,
    /// The system root: `tree:///` or `mount://`.
    #[serde(default = "root")]
    sysroot_path: String,
    /// Which deployment.
    deployment: Deployment,
}

fn root() -> String {
    "tree:///".into()
}

module::stage! {
    file: "ostree_aleph.rs", name: "org.osbuild.ostree.aleph", options: Options, run: run,
    takes: {
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

const FILE: &str = ".aleph-version.json";
const FORMER: &str = ".coreos-aleph-version.json";

/// How many of the words before the image's name a reference begins with.
const PREFIXES: [(&str, usize); 5] = [
    ("ostree-remote-registry", 2),
    ("ostree-remote-image", 2),
    ("ostree-image-signed", 1),
    ("ostree-unverified-registry", 1),
    ("ostree-unverified-image", 1),
];

fn run(args: Args<Options>) -> Result<()> {
    let location = Location::parse(&args.options.sysroot_path)?;
    let sysroot = location.root(&args)?.subtree(location.path())?;
    let found = args.options.deployment.find(&sysroot)?;
    let (container, name) = sysroot::origin(&sysroot, &found)?;
    let aleph = match container {
        true => of_container(&sysroot, &name)?,
        false => of_commit(&sysroot, &name)?,
    };
    sysroot.write(FILE, format!("{}\n", indented(&aleph)?))?;
    if args.options.coreos_compat {
        sysroot.symlink(FILE, FORMER)?;
    }
    Ok(())
}

/// What `ostree` prints, without blanks at its end.
fn ask(sysroot: &Tree, words: &[&str]) -> Result<String> {
    let repo = sysroot::option("repo", &sysroot.path().join("ostree/repo"));
    let mut words = words.to_vec();
    words.push(&repo);
    let output = sysroot::ostree(&words).output()?;
    let text = String::from_utf8(output).context("ostree prints no text")?;
    Ok(text.trim_end().to_owned())
}

fn of_commit(sysroot: &Tree, reference: &str) -> Result<Value> {
    let version = ask(sysroot, &["show", reference, "--print-metadata-key=version"])?;
    Ok(json!({
        "osbuild-version": version_of_us(),
        "version": version.trim_matches('\''),
        "ref": reference,
        "ostree-commit": ask(sysroot, &["rev-parse", reference])?,
    }))
}

fn of_container(sysroot: &Tree, reference: &str) -> Result<Value> {
    let known = ask(sysroot, &["container", "image", "list"])?;
    let image = match known.lines().collect::<Vec<_>>()[..] {
        [only] => only.to_owned(),
        _ => image_name(reference)?,
    };
    let metadata = |more: &[&str]| -> Result<Value> {
        let text = ask(
            sysroot,
            &[&["container", "image", "metadata", &image], more].concat(),
        )?;
        serde_json::from_str(&text).context("the metadata of the image")
    };
    let labels = metadata(&["--config"])?["config"]["Labels"].take();
    let mut aleph = json!({
        "osbuild-version": version_of_us(),
        "ref": reference,
        "version": labels["org.opencontainers.image.version"]
            .as_str()
            .context("the image has no label org.opencontainers.image.version")?,
        "container-image": {
            "image-name": image,
            "image-digest": metadata(&[])?["config"]["digest"],
            "image-labels": labels,
        },
    });
    if let Some(commit) = labels["ostree.commit"].as_str() {
        aleph["ostree-commit"] = commit.into();
    }
    Ok(aleph)
}

/// The name of an image in a reference such as `ostree-remote-image:fedora:docker://quay.io/x:stable`.
fn image_name(reference: &str) -> Result<String> {
    let kind = reference.split(':').next().unwrap_or_default();
    match PREFIXES.iter().find(|(prefix, _)| *prefix == kind) {
        Some((_, count)) => Ok(reference
            .splitn(count + 1, ':')
            .nth(*count)
            .unwrap_or_default()
            .to_owned()),
        None => bail!(
            "the image `{reference}` is of no known kind: {}",
            PREFIXES.map(|(prefix, _)| prefix).join(", ")
        ),
    }
}

fn version_of_us() -> &'static str {
    env!("CARGO_PKG_VERSION").split('.').next().unwrap_or_default()
}

/// Four blanks a level, members sorted.
fn indented(value: &Value) -> Result<String> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(&sorted(value), &mut serializer)?;
    Ok(String::from_utf8(bytes)?)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            let members = members
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_what_stands_behind_the_kind() {
        let name = |text: &str| image_name(text).unwrap();
        assert_eq!(
            name("ostree-remote-image:fedora:docker://q.io/x:stable"),
            "docker://q.io/x:stable"
        );
        assert_eq!(name("ostree-unverified-registry:q.io/x:6.0"), "q.io/x:6.0");
        assert!(image_name("docker://q.io/x").is_err());
    }

    #[test]
    fn the_file_is_sorted() {
        assert_eq!(
            indented(&json!({"b": {"d": 1, "c": 2}, "a": []})).unwrap(),
            "{\n    \"a\": [],\n    \"b\": {\n        \"c\": 2,\n        \"d\": 1\n    }\n}"
        );
    }
}
