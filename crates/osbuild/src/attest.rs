//! The documents beside an export: what is in it (`--sbom`) and where it comes from (`--provenance`).
//!
//! `--sbom PATH` is a file, or a directory (one that is there, or a path that ends in `/`), in which each export has its
//! `NAME.spdx.json`, as `--provenance` has `NAME.intoto.json`.

use std::path::{Path, PathBuf};

use executor::{Error, Library, Report};
use manifest::Manifest;
use serde_json::Value;

use crate::cli::Options;
use crate::exports::Export;
use crate::{provenance, run};

/// What is written once the build went well.
#[derive(Debug)]
pub(crate) struct Attestation {
    kind: Kind,
    /// The index of the exported pipeline.
    pipeline: usize,
    name: String,
    to: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sbom,
    Provenance,
}

/// The build that documents are about.
pub(crate) struct Built<'a> {
    pub(crate) manifest: &'a Manifest,
    /// The text of the manifest.
    pub(crate) text: &'a str,
    pub(crate) library: &'a Library,
    pub(crate) report: &'a Report,
}

/// Who made it, as documents name us.
pub(crate) fn tool() -> String {
    format!("osbuild-{}", env!("CARGO_PKG_VERSION_MAJOR"))
}

/// What the options ask for. The error is the exit code, after it was said why it cannot be.
pub(crate) fn plan(
    options: &Options,
    manifest: &Manifest,
    exports: &[Export],
) -> Result<Vec<Attestation>, u8> {
    let mut all = Vec::new();
    let asked = [
        (Kind::Sbom, "--sbom", "spdx.json", &options.sbom),
        (
            Kind::Provenance,
            "--provenance",
            "intoto.json",
            &options.provenance,
        ),
    ];
    for (kind, option, extension, path) in asked {
        let Some(path) = path else { continue };
        let refuse = |message: String| Err(run::refuse(options, &message));
        if exports.is_empty() {
            return refuse(format!(
                "{option} needs something to describe: add `-o DIR` or `--export`"
            ));
        }
        let many = is_directory(path);
        if exports.len() > 1 && !many {
            return refuse(format!(
                "{option} {} is one file for {} exports: name a directory, with a `/` at its end",
                path.display(),
                exports.len()
            ));
        }
        for export in exports {
            let pipeline = &manifest.pipelines[export.pipeline];
            if pipeline.stages.is_empty() {
                return refuse(format!("{option}: the pipeline {} has no stages", pipeline.name));
            }
            let name = export.name(manifest);
            all.push(Attestation {
                kind,
                pipeline: export.pipeline,
                to: match many {
                    true => path.join(format!("{name}.{extension}")),
                    false => path.clone(),
                },
                name,
            });
        }
    }
    Ok(all)
}

fn is_directory(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir()
}

impl Attestation {
    /// The directory that the document is written to.
    pub(crate) fn dir(&self) -> &Path {
        let parent = self.to.parent().filter(|dir| !dir.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    /// Makes the document, and writes it.
    pub(crate) fn write(&self, built: &Built<'_>) -> Result<(), Error> {
        let document = match self.kind {
            Kind::Sbom => self.sbom(built)?,
            Kind::Provenance => provenance::statement(built, self.pipeline, &self.name)?,
        };
        let text = format!("{document:#}\n");
        executor::as_caller(|| replace(&self.to, &text)).map_err(|source| Error::Io {
            operation: "write",
            path: self.to.clone(),
            source,
        })
    }

    fn sbom(&self, built: &Built<'_>) -> Result<Value, Error> {
        let system = executor::system_of(built.manifest, built.report, self.pipeline)?;
        let Some(object) = &built.report.pipelines[system].object else {
            return Ok(Value::Null);
        };
        let time = built.manifest.pipelines[system].source_epoch.unwrap_or(0);
        executor::bill_of_materials(&self.name, &tool(), time, object)
    }
}

/// Writes a file so that its place has all of it or what was there.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let draft = path.with_file_name(name);
    let result = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, path));
    if result.is_err() {
        // there may be none
        let _ = std::fs::remove_file(&draft);
    }
    result
}
