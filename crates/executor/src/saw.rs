//! What a stage sees: all that decides its result. Two equal ones make a hit in the store.
//!
//! Ids follow the Python osbuild's recipe and leave out the module itself, the build root's content and the devices;
//! what they leave out is here.

use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use manifest::{Origin, Stage};
use serde_json::{Map, Value, json};

use crate::library::ModuleInfo;

/// What `stage` sees. `base`, `build` and the trees of `inputs` are digests.
pub(crate) fn saw(
    stage: &Stage,
    module: &ModuleInfo,
    base: Option<String>,
    build: Option<String>,
    inputs: &Map<String, Value>,
    runner: Option<String>,
) -> Value {
    let root = match build {
        Some(digest) => json!({"tree": digest}),
        None => json!({"host": host_fingerprint()}),
    };
    let devices: Map<String, Value> = stage
        .devices
        .iter()
        .map(|device| (device.name.clone(), json!([device.kind, device.options])))
        .collect();
    json!({
        "module": module.digest,
        "architecture": std::env::consts::ARCH,
        "base": base,
        "build": root,
        "inputs": inputs,
        "devices": devices,
        "runner": runner,
    })
}

/// The references of an input that has no tree: they name content by checksum.
pub(crate) fn references(stage_input: &manifest::Input) -> Value {
    let origin = match stage_input.origin {
        Origin::Source => "source",
        Origin::Pipeline => "pipeline",
    };
    json!({"origin": origin, "references": stage_input.references})
}

/// What differs between two, in words: for "why does this stage run".
pub(crate) fn difference(before: &Value, now: &Value) -> String {
    let words = |key: &str| match key {
        "module" => "the module changed",
        "base" => "the tree below changed",
        "build" => "the build root changed",
        "inputs" => "an input changed",
        "devices" => "a device changed",
        "runner" => "the runner changed",
        _ => "the machine changed",
    };
    let keys = now.as_object().into_iter().flat_map(Map::keys);
    let changed: Vec<_> = keys
        .filter(|key| before.get(*key) != now.get(*key))
        .map(|key| words(key))
        .collect();
    changed.join(", ")
}

/// For how long what was seen of the host is taken for what it is: quick stages come in hundreds a second.
const FRESH: Duration = Duration::from_millis(200);

/// [`look_at_host`], unless somebody just did. Times do not come back: what is then seen too late is seen by the next build.
fn host_fingerprint() -> Value {
    static LAST: Mutex<Option<(Instant, Value)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((at, seen)) if at.elapsed() < FRESH => seen.clone(),
        _ => {
            // the time before: it is at least as old
            let at = Instant::now();
            last.insert((at, look_at_host())).1.clone()
        }
    }
}

/// A cheap fingerprint of the host's packages: time and size of the package managers' databases, and what the
/// distribution calls itself.
fn look_at_host() -> Value {
    const DATABASES: [&str; 7] = [
        "/var/lib/dpkg/status",
        "/var/lib/rpm/rpmdb.sqlite",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/lib/apk/db/installed",
        "/var/lib/pacman/local",
        "/usr/bin",
        "/usr/sbin",
    ];
    let known = DATABASES.iter().filter_map(|path| {
        let m = std::fs::metadata(path).ok()?;
        Some(((*path).to_owned(), json!([m.mtime(), m.mtime_nsec(), m.size()])))
    });
    let mut map: Map<String, Value> = known.collect();
    map.insert(
        "os-release".into(),
        std::fs::read_to_string("/etc/os-release")
            .unwrap_or_default()
            .into(),
    );
    Value::Object(map)
}
