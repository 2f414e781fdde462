//! Container images in the storage of this machine.
//!
//! The whole storage, as `/etc/containers/storage.conf` (or `/usr/share/containers/storage.conf`, or the file that
//! `CONTAINERS_STORAGE_CONF` names) describes it, is shown read-only as `storage`. That the images are there is checked
//! by the source `org.osbuild.containers-storage`, whose items the references are.
//!
//! `data.archives` holds for each image the `format` `containers-storage`, the `name` that its options give it, and
//! `storage`, the table of that name in the configuration.

use std::io::ErrorKind;
use std::path::PathBuf;

use sandbox::{Idmap, Mount, Source};
use serde_json::{Map, Value, json};

use super::containers::name;
use super::describe::{closed, input, with_options};
use super::{InputModule, Making, Ready};
use crate::{Error, Result};

/// This file as an input.
pub(super) static INPUT: InputModule = InputModule {
    name: "org.osbuild.containers-storage",
    text: include_str!("containers_storage.rs"),
    schema,
    make,
};

/// containers-storage.conf(5): where the storage of root is unless somebody says otherwise.
const GRAPHROOT: &str = "/var/lib/containers/storage";

const CONFIGURATIONS: [&str; 2] = [
    "/etc/containers/storage.conf",
    "/usr/share/containers/storage.conf",
];

fn schema() -> Value {
    let name = json!({"name": {"type": "string", "description": "The name of the image."}});
    let references = json!({"oneOf": with_options(&closed(&[], name))});
    input(INPUT.name, &["org.osbuild.source"], references)
}

fn make(making: &Making<'_>) -> Result<Ready> {
    let storage = configuration(making)?;
    let graphroot = storage["graphroot"].as_str().unwrap_or(GRAPHROOT);
    let mut archives = Map::new();
    for (id, options) in &making.input.references {
        let archive =
            json!({"format": "containers-storage", "name": name(making, options)?, "storage": storage});
        archives.insert(id.clone(), archive);
    }
    let bind = Mount::Bind {
        source: Source::at(graphroot),
        target: making.target.join("storage"),
        writable: false,
        idmap: Idmap::Wanted,
    };
    Ok(Ready {
        mounts: vec![making.root(), bind],
        argument: json!({"path": making.target, "data": {"archives": archives}}),
    })
}

/// The table `storage` of the first configuration there is; an empty one where there is none.
fn configuration(making: &Making<'_>) -> Result<Value> {
    let named = std::env::var_os("CONTAINERS_STORAGE_CONF").filter(|path| !path.is_empty());
    let paths = match named {
        Some(path) => vec![PathBuf::from(path)],
        None => CONFIGURATIONS.map(PathBuf::from).to_vec(),
    };
    for path in paths {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("read", path, e)),
        };
        let mut all: Value = toml::from_str(&text)
            .map_err(|e| making.wrong(format!("{}: {}", path.display(), e.message())))?;
        return Ok(match all["storage"].take() {
            Value::Null => json!({}),
            storage => storage,
        });
    }
    Ok(json!({}))
}
