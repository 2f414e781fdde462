//! Fetch lists of container images.
//!
//! Each item is the digest of a manifest list (in OCI's terms an image index), which names the same image for several
//! architectures; `image` says where it is, as for `org.osbuild.skopeo`. Only the list comes, not the images. It lies in
//! the store as a plain file.

use serde_json::{Map, Value};

use crate::content::Content;
use crate::digest::Checksum;
use crate::draft::Draft;
use crate::machine::Machine;
use crate::pool::{Reporter, Stop};
use crate::skopeo::{Image, schema};
use crate::{Outcome, Request, SourceModule, describe, work};

const NAME: &str = "org.osbuild.skopeo-index";

/// Lists at a time.
const JOBS: usize = 4;

/// This file as a source.
pub(crate) static SOURCE: SourceModule = SourceModule {
    name: NAME,
    aliases: &[],
    fetch: |request| fetch(request, Machine::this()),
    meta: || describe(NAME, &[], include_str!("skopeo_index.rs"), schema_map()),
};

fn schema_map() -> Map<String, Value> {
    Map::from_iter([("schema".to_owned(), schema(false))])
}

fn fetch(request: &Request<'_>, machine: Machine) -> Outcome {
    let content = Content::new(request.cache);
    let stop = Stop::default();
    let there = |(item, _): &(String, Value)| Ok(content.contains(&Checksum::parse(item)?));
    let (cache, to, until) = (request.cache.to_owned(), content.clone(), stop.clone());
    let outcome = work::each(
        request,
        (JOBS, &stop, &|| {}),
        there,
        move |(item, description), reporter| {
            let draft = Draft::new(&cache.join("org.osbuild.containers"))?;
            bring(&to, &draft, (item, description), (&machine, &until, reporter))
                .map_err(|e| format!("cannot fetch the list of images {item}: {e}"))
        },
    );
    content.tidy();
    outcome
}

fn bring(
    content: &Content,
    draft: &Draft,
    (item, description): (&str, &Value),
    with: (&Machine, &Stop, &Reporter<'_>),
) -> Result<(), String> {
    let image = Image::of(description)?;
    let dir = draft.path().join("index");
    let only = ["--multi-arch=index-only"];
    image.copy(item, &only, (&dir, draft.path()), with)?;
    let bytes = std::fs::read(dir.join("manifest.json")).map_err(|e| format!("cannot read it: {e}"))?;
    let list = serde_json::from_slice(&bytes).map_err(|e| format!("it is broken: {e}"))?;
    if !is_list(&list) {
        return Err(format!("{} is no list of images", image.shown(item)));
    }
    let checksum = Checksum::parse(item)?;
    match content.partial(&checksum, with.1)? {
        None => Ok(()),
        Some(mut partial) => {
            partial.reset()?;
            partial.write(&bytes)?;
            if let Err(found) = partial.verify() {
                partial.reset()?;
                return Err(format!("wrong content: expected {item}, got {found}"));
            }
            partial.commit()
        }
    }
}

/// OCI's image index, whose media type may be left out, or Docker's manifest list.
fn is_list(manifest: &Value) -> bool {
    const TYPES: [&str; 2] = [
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.index.v1+json",
    ];
    match manifest["mediaType"].as_str() {
        Some(kind) => TYPES.contains(&kind),
        None => manifest["manifests"].is_array(),
    }
}
