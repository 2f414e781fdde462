//! Container images in OCI's layout.
//!
//! ```text
//! oci-layout                 the version of the layout
//! index.json                 leads to the manifest
//! blobs/sha256/DIGEST        manifest, configuration, layers
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// What lies in it.
pub const MEMBERS: [&str; 3] = ["blobs", "index.json", "oci-layout"];

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layout being written.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes an empty one in the directory `root`.
    pub fn create(root: &Path) -> Result<Self> {
        let layout = Self {
            root: root.to_owned(),
        };
        std::fs::create_dir_all(layout.blob("")).map_err(Error::at(|| "cannot make a directory"))?;
        Ok(layout)
    }

    fn blob(&self, hex: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(hex)
    }

    /// Adds the tar archive `tar` as a layer: its descriptor, and the digest of what is in it uncompressed.
    pub fn add_layer(&self, tar: impl Read) -> Result<(Value, String)> {
        let packed = self.root.join("layer.tar.gz");
        let mut uncompressed = Hashing::new(tar);
        // without a name and a time the same layer gives the same bytes
        let mut gzip = GzBuilder::new().write(File::create(&packed)?, Compression::new(6));
        std::io::copy(&mut uncompressed, &mut gzip).map_err(Error::at(|| "cannot compress the layer"))?;
        gzip.finish()?.flush()?;
        let mut compressed = Hashing::new(File::open(&packed)?);
        let size = std::io::copy(&mut compressed, &mut std::io::sink())?;
        let hex = compressed.hex();
        std::fs::rename(&packed, self.blob(&hex)).map_err(Error::at(|| "cannot write the layer"))?;
        Ok((
            descriptor(&hex, size, LAYER),
            format!("sha256:{}", uncompressed.hex()),
        ))
    }

    fn add_json(&self, document: &Value, kind: &str) -> Result<Value> {
        let text = document.to_string();
        let hex = hex::encode(Sha256::digest(&text));
        std::fs::write(self.blob(&hex), &text).map_err(Error::at(|| "cannot write a blob"))?;
        Ok(descriptor(&hex, text.len() as u64, kind))
    }

    /// Makes an image of these layers' descriptors, with this configuration and these annotations of the manifest.
    pub fn finish(
        &self,
        config: &Value,
        layers: &[Value],
        annotations: Option<&Map<String, Value>>,
    ) -> Result<()> {
        let mut manifest = json!({
            "schemaVersion": 2,
            "config": self.add_json(config, "application/vnd.oci.image.config.v1+json")?,
            "layers": layers,
        });
        if let Some(annotations) = annotations.filter(|map| !map.is_empty()) {
            manifest["annotations"] = annotations.clone().into();
        }
        let manifest = self.add_json(&manifest, "application/vnd.oci.image.manifest.v1+json")?;
        let write = |name: &str, document: Value| {
            std::fs::write(self.root.join(name), document.to_string())
                .map_err(Error::at(|| format!("cannot write {name}")))
        };
        write("index.json", json!({"schemaVersion": 2, "manifests": [manifest]}))?;
        write("oci-layout", json!({"imageLayoutVersion": "1.0.0"}))
    }
}

fn descriptor(hex: &str, size: u64, kind: &str) -> Value {
    json!({"digest": format!("sha256:{hex}"), "size": size, "mediaType": kind})
}

struct Hashing<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            hash: Sha256::new(),
        }
    }

    fn hex(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

const COMMAND: &str = "sh";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The execution parameters, as the OCI image specification has them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "PascalCase")]
pub struct Config {
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

impl Config {
    /// As the configuration of an image has them.
    pub fn to_value(&self) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
