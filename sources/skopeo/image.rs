//! An image as a manifest describes it, and how skopeo copies it.

use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::pool::{Reporter, Stop};
use crate::tool::HostTool;

/// So many times longer than a download of ours may skopeo give no sign of life: it tries again by itself meanwhile.
const PATIENCE: u32 = 10;

/// How often a download that fails for a passing reason is tried again.
const RETRIES: &str = "--retry-times=3";

#[derive(Deserialize)]
struct Item {
    image: Image,
}

/// An image and where it is.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Image {
    name: String,
    pub(crate) digest: Option<String>,
    #[serde(default = "yes", rename = "tls-verify")]
    tls_verify: bool,
    #[serde(default, rename = "containers-transport")]
    transport: Transport,
    #[serde(default, rename = "storage-location")]
    location: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
enum Transport {
    /// A registry.
    #[default]
    #[serde(rename = "docker")]
    Docker,
    /// The storage of this machine.
    #[serde(rename = "containers-storage")]
    Storage,
}

fn yes() -> bool {
    true
}

impl Image {
    /// Reads the description of an item.
    pub(crate) fn of(description: &Value) -> Result<Self, String> {
        match Item::deserialize(description) {
            Ok(item) => Ok(item.image),
            Err(e) => Err(format!("its description is not that of an image: {e}")),
        }
    }

    /// The image, or list of images, with this digest, for messages.
    pub(crate) fn shown(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name)
    }

    /// As skopeo names it.
    fn source(&self, digest: &str) -> String {
        let place = match &self.location[..] {
            "" => String::new(),
            location => format!("[overlay@{location}]"),
        };
        match self.transport {
            Transport::Docker => format!("docker://{place}{}@{digest}", self.name),
            Transport::Storage => format!("containers-storage:{place}{}@{digest}", self.name),
        }
    }

    /// Copies what has this digest to the directory `to`, in the format `dir`; temporary files go to `scratch`.
    pub(crate) fn copy(
        &self,
        digest: &str,
        options: &[&str],
        (to, scratch): (&Path, &Path),
        (machine, stop, reporter): (&Machine, &Stop, &Reporter<'_>),
    ) -> Result<(), String> {
        let mut args = vec!["copy".to_owned(), RETRIES.to_owned()];
        args.extend(options.iter().map(|option| (*option).to_owned()));
        if !self.tls_verify {
            args.push("--src-tls-verify=false".into());
        }
        args.extend([self.source(digest), format!("dir:{}", to.display())]);
        let mut growth = Growth::of(scratch, PATIENCE * machine.limits.stall);
        HostTool::find("skopeo", "fetching container images")?
            .args(args)
            .env("TMPDIR", scratch)
            .succeed(stop, &mut || growth.look(reporter))
            .map(drop)
    }
}

/// What the description of an image may hold; `digest` belongs to that of a single one.
pub(crate) fn schema(digest: bool) -> Value {
    let mut properties = json!({
        "name": {"type": "string", "description": "The image, with its registry."},
        "tls-verify": {"type": "boolean", "description": "Check the registry's certificate.", "default": true},
        "containers-transport": {
            "type": "string", "enum": ["docker", "containers-storage"], "default": "docker",
            "description": "Whether it is in a registry or in the storage of this machine."
        },
        "storage-location": {"type": "string", "description": "Where that storage is."},
    });
    let mut required = vec!["name"];
    if digest {
        properties["digest"] = json!({
            "type": "string", "pattern": "sha256:[0-9a-f]{64}",
            "description": "The digest of its manifest in the registry.",
        });
        required.push("digest");
    }
    let image = json!({
        "type": "object", "additionalProperties": false, "required": required, "properties": properties,
    });
    let item = json!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": {
            "sha256:[0-9a-f]{64}": {
                "type": "object", "additionalProperties": false, "required": ["image"],
                "properties": {"image": image},
            },
        },
    });
    json!({
        "additionalProperties": false,
        "definitions": {"item": item},
        "properties": {
            "items": {"$ref": "#/definitions/item"},
            "digests": {"$ref": "#/definitions/item"},
        },
        "oneOf": [{"required": ["items"]}, {"required": ["digests"]}],
    })
}

/// Watches a directory grow.
struct Growth<'a> {
    dir: &'a Path,
    size: u64,
    since: Instant,
    looked: Instant,
    patience: Duration,
}

impl<'a> Growth<'a> {
    fn of(dir: &'a Path, patience: Duration) -> Self {
        let now = Instant::now();
        Self {
            dir,
            size: 0,
            since: now,
            looked: now,
            patience,
        }
    }

    /// Reports what has come. An error is that nothing has, for too long.
    fn look(&mut self, reporter: &Reporter<'_>) -> Result<(), String> {
        const PAUSE: Duration = Duration::from_millis(200);
        if self.looked.elapsed() < PAUSE {
            return Ok(());
        }
        self.looked = Instant::now();
        let size = size(self.dir);
        if size != self.size {
            reporter.bytes(size.saturating_sub(self.size));
            (self.size, self.since) = (size, Instant::now());
        }
        if self.since.elapsed() < self.patience {
            return Ok(());
        }
        Err(format!("nothing came for {:?}", self.patience))
    }
}

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        metadata => metadata.as_ref().map_or(0, Metadata::len),
    };
    entries.map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_skopeo_does() {
        let source = |image: Value| Image::of(&json!({"image": image})).unwrap().source("sha256:0");
        assert_eq!(
            source(json!({"name": "r.example/a"})),
            "docker://r.example/a@sha256:0"
        );
        let stored = json!({"name": "a", "containers-transport": "containers-storage"});
        assert_eq!(source(stored), "containers-storage:a@sha256:0");
        let placed = json!({
            "name": "a", "containers-transport": "containers-storage", "storage-location": "/s",
        });
        assert_eq!(source(placed), "containers-storage:[overlay@/s]a@sha256:0");
        assert!(Image::of(&json!({"image": {}})).is_err());
    }
}
