//! What a stage sees: all that decides its result. Two equal ones make a hit in the store.
//!
//! Ids follow the Python osbuild's recipe and leave out the module itself, the build root's content, the devices and the
//! names of mounts; what they leave out is here.

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
    runner: Option<Value>,
) -> Value {
    let root = match build {
        Some(digest) => json!({"tree": digest}),
        None => json!({"host": host_fingerprint()}),
    };
    let mut seen = json!({
        "module": module.digest,
        "architecture": std::env::consts::ARCH,
        "base": base,
        "build": root,
        "inputs": inputs,
        "devices": devices(stage),
        "runner": runner,
    });
    if !stage.mounts.is_empty() {
        let mounts = stage.mounts.iter();
        seen["mounts"] = mounts
            .map(|mount| json!([mount.name, name_of(stage, mount.device), mount.id.to_string()]))
            .collect();
    }
    seen
}

/// The devices of a stage: each one's kind and options, and the device that it lies on.
fn devices(stage: &Stage) -> Map<String, Value> {
    let seen = |device: &manifest::Device| {
        let mut seen = vec![json!(device.kind), json!(device.options)];
        seen.extend(name_of(stage, device.parent).map(Value::from));
        (device.name.clone(), Value::Array(seen))
    };
    stage.devices.iter().map(seen).collect()
}

fn name_of(stage: &Stage, device: Option<usize>) -> Option<&str> {
    Some(&stage.devices.get(device?)?.name)
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
        "mounts" => "a mount changed",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_on_another_one_is_another_one() {
        let on = |parent: &str| {
            let disk = |file: &str| json!({"type": "org.osbuild.loopback", "options": {"filename": file}});
            let locked =
                json!({"type": "org.osbuild.luks2", "parent": parent, "options": {"passphrase": "x"}});
            let stage = json!({"type": "org.osbuild.noop",
                "devices": {"a": disk("a.img"), "b": disk("b.img"), "c": locked}});
            let value = json!({"version": "2", "pipelines": [{"name": "tree", "stages": [stage]}]});
            let manifest = manifest::load(&value, None).unwrap();
            devices(&manifest.pipelines[0].stages[0])
        };
        assert_eq!(on("a"), on("a"));
        assert_ne!(on("a"), on("b"));
        assert_eq!(
            on("a")["a"],
            json!(["org.osbuild.loopback", {"filename": "a.img"}])
        );
    }
}
