//! What a finished tree has in it, and which tree that is for an image.

use std::io::Read;
use std::path::{Path, PathBuf};

use manifest::Manifest;
use sbom::Image;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::Object;
use tree::Tree;

use crate::{Error, Report, Result};

/// The pipeline with the operating system that the image of `pipeline` was made from: itself if its tree is that of a
/// system, else the first one found among the pipelines whose trees its stages took as inputs, in the stages' order, and
/// theirs. Where there is none it is the one at the end of the first inputs: an image of mere files. Build pipelines do
/// not count: what they have in them made the image and is not in it.
///
/// # Errors
/// An index of the store cannot be read.
pub fn system_of(manifest: &Manifest, report: &Report, pipeline: usize) -> Result<usize> {
    let mut seen = vec![false; manifest.pipelines.len()];
    let found = search(manifest, report, pipeline, &mut seen)?;
    Ok(found.unwrap_or_else(|| deepest(manifest, report, pipeline)))
}

fn search(manifest: &Manifest, report: &Report, pipeline: usize, seen: &mut [bool]) -> Result<Option<usize>> {
    if std::mem::replace(&mut seen[pipeline], true) {
        return Ok(None);
    }
    if let Some(object) = tree_of(report, pipeline)
        && sbom::is_system(&object.index()?)
    {
        return Ok(Some(pipeline));
    }
    for input in inputs(manifest, pipeline) {
        if let Some(found) = search(manifest, report, input, seen)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Follows the first inputs that have trees. Pipelines only read those before them, so this ends.
fn deepest(manifest: &Manifest, report: &Report, mut pipeline: usize) -> usize {
    for _ in 0..manifest.pipelines.len() {
        let mut inputs = inputs(manifest, pipeline).filter(|input| tree_of(report, *input).is_some());
        match inputs.next() {
            Some(input) => pipeline = input,
            None => break,
        }
    }
    pipeline
}

/// The pipelines whose trees the stages of one take.
fn inputs(manifest: &Manifest, pipeline: usize) -> impl Iterator<Item = usize> {
    let stages = manifest.pipelines[pipeline].stages.iter();
    let inputs = stages.flat_map(|stage| &stage.inputs);
    inputs.flat_map(|input| input.pipelines.iter().copied())
}

fn tree_of(report: &Report, pipeline: usize) -> Option<&Object> {
    report.pipelines.get(pipeline)?.object.as_ref()
}

/// The SPDX document of a tree called `name`; its time is `time`, in seconds since 1970.
///
/// # Errors
/// The tree cannot be read, or has a package database of a kind that is not.
pub fn bill_of_materials(name: &str, tool: &str, time: i64, object: &Object) -> Result<Value> {
    let merged = sandbox::overlay::Merged::open(&object.layers())?;
    let image = Image {
        name,
        tool,
        time,
        tree: &Tree::open(merged.path())?,
        index: &object.index()?,
    };
    Ok(sbom::document(&image)?)
}

/// The files of a tree in its order, each with the SHA-256 of its content.
///
/// # Errors
/// The tree cannot be read.
pub fn sha256_of_files(object: &Object) -> Result<Vec<(PathBuf, [u8; 32])>> {
    let merged = sandbox::overlay::Merged::open(&object.layers())?;
    let tree = Tree::open(merged.path())?;
    let index = object.index()?;
    let files = index.entries().filter(|entry| entry.digest.is_some());
    let sum = |entry: store::Entry| {
        let sum = match entry.sha256() {
            Some(known) => known,
            None => sha256(tree.open_file(&entry.path)?, &entry.path)?,
        };
        Ok((entry.path, sum))
    };
    files.map(sum).collect()
}

fn sha256(mut file: impl Read, path: &Path) -> Result<[u8; 32]> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer).map_err(|e| Error::io("read", path, e))? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(&buffer[..length]),
        }
    }
}
