//! Make a container image, as an archive in the format `oci-archive`.
//!
//! Each input is a tree that becomes a layer: `base`, then `layer.1`, `layer.2` and so on by their numbers. Layers keep
//! owners, POSIX ACLs, file capabilities, IMA signatures and attributes of users, but no SELinux labels. The time of
//! creation is the pipeline's source epoch; with one the same trees give the same archive.

mod layout;

use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::common;
use layout::Layout;

/// Options of `org.osbuild.oci-archive`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The CPU architecture, in Go's terms: `amd64`, `arm64`.
    architecture: String,
    /// The variant of the architecture, such as `v8`.
    variant: Option<String>,
    /// The archive.
    filename: String,
    /// What a container of the image runs.
    #[serde(default)]
    config: Config,
    /// Annotations of the manifest.
    #[schemars(extend(
        "additionalProperties" = false,
        "properties" = {
            "org.osbuild.ostree.layer": {"type": "string"},
            "org.osbuild.ostree.repo": {"type": "string"},
            "org.osbuild.ostree.ref": {"type": "string"},
        },
        "patternProperties" = {"^(?!org.osbuild|org.opencontainer).+": {"type": "string"}},
    ))]
    annotations: Option<Map<String, Value>>,
}

/// The execution parameters, as the OCI image specification has them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "PascalCase")]
struct Config {
    /// The command, or the arguments of the entry point.
    #[schemars(extend("default" = ["sh"]))]
    cmd: Option<Vec<String>>,
    /// The program that is always run.
    entrypoint: Option<Vec<String>>,
    /// The environment, as `NAME=VALUE`.
    #[schemars(extend("default" = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]))]
    env: Option<Vec<String>>,
    /// Ports, such as `80/tcp`.
    exposed_ports: Option<Vec<String>>,
    /// The user, and group, that it runs as.
    user: Option<String>,
    /// Labels.
    labels: Option<Map<String, Value>>,
    /// The signal that asks it to end.
    stop_signal: Option<String>,
    /// The same, as it was once misspelt.
    stop_siganl: Option<String>,
    /// Directories that are volumes.
    volumes: Option<Vec<String>>,
    /// The directory it runs in.
    working_dir: Option<String>,
}

module::stage! {
    file: "oci_archive.rs", name: "org.osbuild.oci-archive", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["base"],
            "properties": {"base": {"type": "object", "additionalProperties": true}},
            "patternProperties": {r"layer\.[1-9]\d*": {"type": "object", "additionalProperties": true}},
        },
    },
    libraries: [include_str!("oci_archive/layout.rs"), common::SOURCE],
}

const COMMAND: &str = "sh";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let time = common::now(&args.meta);
    let scratch = tempfile::Builder::new()
        .prefix(".oci-")
        .tempdir_in(args.tree.path())
        .context("cannot make a directory in the tree")?;
    let layout = Layout::create(scratch.path())?;
    let (mut layers, mut ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for name in inputs(&args)? {
        let (layer, id) = layout.add_layer(&args.input(name)?.path)?;
        layers.push(layer);
        ids.push(id);
        history.push(json!({
            "created": created(time),
            "created_by": format!("/bin/sh -c #(nop) osbuild input '{name}'"),
        }));
    }
    let mut config = json!({
        "created": created(time),
        "architecture": options.architecture,
        "os": "linux",
        "config": options.config.to_value(),
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": history,
    });
    if let Some(variant) = options.variant.as_ref().filter(|variant| !variant.is_empty()) {
        config["variant"] = variant.as_str().into();
    }
    let mut manifest = json!({
        "schemaVersion": 2,
        "config": layout.add_json(&config, "application/vnd.oci.image.config.v1+json")?,
        "layers": layers,
    });
    if let Some(annotations) = options.annotations.as_ref().filter(|map| !map.is_empty()) {
        manifest["annotations"] = annotations.clone().into();
    }
    layout.finish(&layout.add_json(&manifest, "application/vnd.oci.image.manifest.v1+json")?)?;
    let filename = options.filename.trim_start_matches('/');
    Tool::new("tar")
        .args([
            "--sort=name",
            "--no-selinux",
            "--no-xattrs",
            "--no-acls",
            "--format=posix",
        ])
        .args([
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mode=go=rX,u+rw,a-s",
        ])
        .args(["--pax-option", "delete=atime,delete=ctime"])
        .arg(format!("--mtime=@{time}"))
        .arg("-cf")
        .arg(args.tree.path().join(filename))
        .arg("-C")
        .arg(scratch.path())
        .args(layout::MEMBERS)
        .run()
}

/// The names of the inputs: `base`, then the layers by their numbers.
fn inputs(args: &Args<Options>) -> Result<Vec<&str>> {
    let mut names = Vec::new();
    for name in args.inputs.keys() {
        let number = match name.as_str() {
            "base" => Some(0),
            layer => layer
                .strip_prefix("layer.")
                .and_then(|number| number.parse::<u64>().ok()),
        };
        ensure!(
            number.is_some(),
            "the input `{name}` is neither `base` nor a layer"
        );
        names.push((number, name.as_str()));
    }
    names.sort();
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

impl Config {
    fn to_value(&self) -> Value {
        let mut config = json!({
            "Env": self.env.clone().unwrap_or_else(|| vec![PATH.into()]),
            "Cmd": self.cmd.clone().unwrap_or_else(|| vec![COMMAND.into()]),
        });
        let stop = self.stop_signal.as_ref().or(self.stop_siganl.as_ref());
        for (key, value) in [
            ("Entrypoint", json!(self.entrypoint)),
            ("User", json!(self.user)),
            ("Labels", json!(self.labels)),
            ("StopSignal", json!(stop)),
            ("WorkingDir", json!(self.working_dir)),
            ("ExposedPorts", set(self.exposed_ports.as_deref())),
            ("Volumes", set(self.volumes.as_deref())),
        ] {
            let empty = match &value {
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => true,
            };
            if !empty {
                config[key] = value;
            }
        }
        config
    }
}

/// A set, as Go writes one: an object whose members have no content.
fn set(names: Option<&[String]>) -> Value {
    let members = names
        .unwrap_or_default()
        .iter()
        .map(|name| (name.clone(), json!({})));
    Value::Object(members.collect())
}

/// As in `2022-08-01T23:42:11+00:00`.
fn created(time: i64) -> String {
    let [year, month, day, hour, minute] = common::civil(time);
    let second = time.rem_euclid(60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_go_by_their_numbers() {
        let inputs_of = |names: &[&str]| {
            let map: Map<String, Value> = names
                .iter()
                .map(|name| (name.to_string(), json!({"path": "/"})))
                .collect();
            let args = json!({
                "tree": "/", "inputs": map, "options": {"architecture": "amd64", "filename": "x"},
            });
            let args = Args::<Options>::from_json(args).unwrap();
            inputs(&args).map(|names| names.join(" "))
        };
        assert_eq!(
            inputs_of(&["layer.10", "layer.2", "base"]).unwrap(),
            "base layer.2 layer.10"
        );
        assert!(inputs_of(&["base", "other"]).is_err());
    }

    #[test]
    fn the_configuration_is_ocis() {
        let config: Config = serde_json::from_value(json!({
            "ExposedPorts": ["80/tcp"], "StopSiganl": "SIGINT", "Entrypoint": [], "WorkingDir": "/w",
        }))
        .unwrap();
        assert_eq!(
            config.to_value(),
            json!({
                "Env": [PATH], "Cmd": ["sh"], "StopSignal": "SIGINT", "WorkingDir": "/w",
                "ExposedPorts": {"80/tcp": {}},
            })
        );
        assert_eq!(created(1_659_397_331), "2022-08-01T23:42:11+00:00");
    }
}
