//! Check that container images are in the storage of this machine.
//!
//! Each item is an image id. Nothing is copied: the input of the same name shows a stage the storage itself, so the
//! images must stay there until the build is over. The program `skopeo` looks for them, in the storage that
//! `/etc/containers/storage.conf` or `CONTAINERS_STORAGE_CONF` describes.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::digest::Checksum;
use crate::pool::Stop;
use crate::tool::HostTool;
use crate::{Outcome, Request, SourceModule, describe, work};

const NAME: &str = "org.osbuild.containers-storage";

/// This file as a source.
pub(crate) static SOURCE: SourceModule = SourceModule {
    name: NAME,
    aliases: &[],
    fetch,
    meta: || describe(NAME, &[], include_str!("containers_storage.rs"), schema()),
};

fn schema() -> Map<String, Value> {
    let schema = json!({
        "additionalProperties": false,
        "properties": {
            "items": {
                "type": "object",
                "additionalProperties": false,
                "patternProperties": {
                    "sha256:[0-9a-f]{64}": {"type": "object", "additionalProperties": false},
                },
            },
        },
    });
    Map::from_iter([("schema".to_owned(), schema)])
}

fn fetch(request: &Request<'_>) -> Outcome {
    let stop = Stop::default();
    let until = stop.clone();
    // what the storage holds may change: nothing counts as being there without a look
    work::each(
        request,
        (1, &stop, &|| {}),
        |(item, _)| Checksum::parse(item).map(|_| false),
        move |(item, _), _| look(item, &until),
    )
}

fn look(item: &str, stop: &Stop) -> Result<(), String> {
    let id = item.strip_prefix("sha256:").unwrap_or(item);
    let name = format!("containers-storage:{id}");
    let ended = HostTool::find("skopeo", "looking into the storage of container images")?
        .args(["inspect", "--raw", "--config", &name])
        .run(stop, &mut || Ok(()))?;
    if !ended.success {
        // containers/storage: before 2025, and since then; where it takes what it does not find for a name
        let absent = [
            "identifier is not an image",
            "does not resolve to an image ID",
            "cannot specify 64-byte hexadecimal strings",
        ];
        return Err(match absent.iter().any(|text| ended.stderr.contains(text)) {
            true => format!("the image {item} is not in the storage of this machine"),
            false => format!("cannot look for the image {item}: {}", ended.stderr),
        });
    }
    let found = format!("sha256:{}", hex::encode(Sha256::digest(&ended.stdout)));
    if found != item {
        return Err(format!(
            "the image {item} in the storage of this machine has the id {found}"
        ));
    }
    Ok(())
}
