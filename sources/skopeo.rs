//! Fetch container images.
//!
//! Each item is an image id, the digest of the image's configuration: unlike that of its manifest it stays the same when
//! an image is compressed anew. `image` names the image and the `digest` of its manifest, in a registry or, with the
//! `containers-transport` `containers-storage`, in the storage of this machine.
//!
//! The program `skopeo` does the copying, so what applies to it applies here: `/etc/containers`, `REGISTRY_AUTH_FILE`,
//! `http_proxy` and its like. An image lies in the store as a directory `image` in the format `dir`, with its signatures.

mod image;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub(crate) use image::{Image, schema};

use crate::digest::Checksum;
use crate::draft::{self, Draft};
use crate::machine::Machine;
use crate::pool::{Reporter, Stop};
use crate::{Outcome, Request, SourceModule, describe, work};

const NAME: &str = "org.osbuild.skopeo";

/// Below `sources` in the store.
const CONTENT_TYPE: &str = "org.osbuild.containers";

/// The directory below that of the image id.
const IMAGE: &str = "image";

/// Images at a time.
const JOBS: usize = 4;

/// This file as a source.
pub(crate) static SOURCE: SourceModule = SourceModule {
    name: NAME,
    aliases: &[],
    fetch: |request| fetch(request, Machine::this()),
    meta: || describe(NAME, &[], include_str!("skopeo.rs"), schema_map()),
};

fn schema_map() -> Map<String, Value> {
    Map::from_iter([("schema".to_owned(), schema(true))])
}

fn fetch(request: &Request<'_>, machine: Machine) -> Outcome {
    let cache = request.cache.join(CONTENT_TYPE);
    // where all images are there already nothing else would
    draft::collect(&cache);
    let stop = Stop::default();
    let there = |(item, _): &(String, Value)| Ok(place(&cache, item)?.join("manifest.json").is_file());
    let (to, until) = (cache.clone(), stop.clone());
    work::each(
        request,
        (JOBS, &stop, &|| {}),
        there,
        move |(item, description), reporter| {
            bring(&to, item, description, (&machine, &until, reporter))
                .map_err(|e| format!("cannot fetch the image {item}: {e}"))
        },
    )
}

/// Where the image with this id lies.
fn place(cache: &Path, id: &str) -> Result<PathBuf, String> {
    Checksum::parse(id).map(|id| cache.join(id.to_string()).join(IMAGE))
}

fn bring(
    cache: &Path,
    id: &str,
    description: &Value,
    with: (&Machine, &Stop, &Reporter<'_>),
) -> Result<(), String> {
    let image = Image::of(description)?;
    let digest = image.digest.as_deref().ok_or("its description has no `digest`")?;
    let draft = Draft::new(cache)?;
    let dir = draft.path().join(IMAGE);
    image.copy(digest, &[], (&dir, draft.path()), with)?;
    let found = image_id(&dir)?;
    if found != id {
        return Err(format!("{} has the image id {found}", image.shown(digest)));
    }
    enter(&dir, &place(cache, id)?)
}

/// The image id: the digest of the configuration, which is compared with the file.
fn image_id(dir: &Path) -> Result<String, String> {
    let read = |name: &str| {
        fault::step!(std::fs::read(dir.join(name))).map_err(|e| format!("cannot read its {name}: {e}"))
    };
    let manifest: Value = serde_json::from_slice(&read("manifest.json")?)
        .map_err(|e| format!("its manifest is broken: {e}"))?;
    let digest = manifest["config"]["digest"]
        .as_str()
        .and_then(|digest| digest.strip_prefix("sha256:"))
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or("its manifest names no configuration: it is not that of one image")?;
    let found = hex::encode(Sha256::digest(read(digest)?));
    if found != digest {
        return Err(format!("its configuration has the digest {found}, not {digest}"));
    }
    Ok(format!("sha256:{found}"))
}

/// Lets a finished image into the store, in one step.
fn enter(dir: &Path, place: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("cannot write {}: {e}", place.display());
    fault::step!(std::fs::create_dir_all(place.parent().unwrap_or(place))).map_err(failed)?;
    // else a crash could leave the name without the bytes, which would then count as cached
    let opened = fault::step!(std::fs::File::open(dir)).map_err(failed)?;
    fault::step!(rustix::fs::syncfs(opened)).map_err(|e| failed(e.into()))?;
    match fault::step!(std::fs::rename(dir, place)) {
        Err(e) if !matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            Err(failed(e))
        }
        _ => Ok(()),
    }
}
