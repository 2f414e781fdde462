//! What is handed out of the store, and where to.

use std::path::{Component, Path, PathBuf};

use executor::{Cancel, Destination, Error, Report};
use manifest::{Manifest, Version};

use crate::cli::Options;
use crate::{fail, print, run};

/// A tree to hand out.
#[derive(Debug)]
pub(crate) struct Export {
    /// The index of its pipeline.
    pub(crate) pipeline: usize,
    pub(crate) dir: PathBuf,
    /// Whether the directory is the caller's own, which keeps its mode and owner.
    own: bool,
}

impl Export {
    /// What it is called: as its directory where that is its own, else as its pipeline.
    pub(crate) fn name(&self, manifest: &Manifest) -> String {
        let dir = self.dir.file_name().filter(|_| !self.own);
        let name = dir.map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| manifest.pipelines[self.pipeline].name.clone());
        // a pipeline may be called anything
        name.replace('/', "-")
    }

    /// Where its tree goes.
    pub(crate) fn destination(&self) -> Destination {
        let ownership =
            std::env::var_os("OSBUILD_EXPORT_FORCE_NO_PRESERVE_OWNER").is_none_or(|value| value != "1");
        Destination {
            dir: self.dir.clone(),
            ownership,
            root: !self.own,
        }
    }

    /// The directory that is there before anything is built: a pipeline's own only comes with its tree.
    pub(crate) fn before(&self) -> &Path {
        match self.own {
            true => &self.dir,
            false => self.dir.parent().unwrap_or(&self.dir),
        }
    }
}

/// The pipelines that `--export` names, each with that name. The error is the exit code, after it was said which ones
/// there are not.
pub(crate) fn resolve<'a>(options: &'a Options, manifest: &Manifest) -> Result<Vec<(&'a str, usize)>, u8> {
    let find = |wanted: &str| {
        let by_name = manifest
            .pipelines
            .iter()
            .position(|pipeline| pipeline.name == wanted);
        let id = |index: &usize| {
            manifest.pipelines[*index]
                .id()
                .is_some_and(|id| id.to_string() == wanted)
        };
        by_name.or_else(|| (0..manifest.pipelines.len()).find(id))
    };
    let mut found: Vec<(&str, usize)> = Vec::new();
    let mut unknown: Vec<&str> = Vec::new();
    for name in options.export.iter().map(String::as_str) {
        match find(name) {
            Some(index) if !found.contains(&(name, index)) => found.push((name, index)),
            None if !unknown.contains(&name) => unknown.push(name),
            _ => {}
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    let names: Vec<String> = manifest
        .pipelines
        .iter()
        .map(|pipeline| format!("'{}'", pipeline.name))
        .collect();
    for name in unknown {
        print::stdout(&format!("Export {name} not found in [{}]\n", names.join(", ")));
    }
    print::stdout("Failed\n");
    Err(fail::FAILED)
}

/// What goes where: `--export` as asked for, or with `--output` alone the result itself.
pub(crate) fn destinations(
    options: &Options,
    manifest: &Manifest,
    resolved: &[(&str, usize)],
) -> Result<Vec<Export>, u8> {
    if resolved.is_empty() {
        let export = |(pipeline, dir)| Export {
            pipeline,
            dir,
            own: true,
        };
        let result = result_of(manifest).zip(options.output.clone());
        return Ok(result.map(export).into_iter().collect());
    }
    let Some(dir) = options.output_directory.as_ref().or(options.output.as_ref()) else {
        print::stdout("Need --output-directory for --export\n");
        return Err(fail::FAILED);
    };
    let mut all: Vec<Export> = Vec::new();
    for (name, pipeline) in resolved {
        if name.is_empty() {
            let message = format!(
                "the pipeline without a name cannot be exported into {}: name it",
                dir.display()
            );
            return Err(run::fatal(options, &message));
        }
        // a name is joined to the directory: it must not lead out of it
        if !Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
            && !fault::lifted!("export-names")
        {
            let message = format!("export {name} would leave {}: rename the pipeline", dir.display());
            return Err(run::fatal(options, &message));
        }
        let export = Export {
            pipeline: *pipeline,
            dir: dir.join(name),
            own: false,
        };
        if all.iter().all(|other| other.dir != export.dir) {
            all.push(export);
        }
    }
    Ok(all)
}

/// The pipeline that a manifest is about: the assembler's, or the last one.
pub(crate) fn result_of(manifest: &Manifest) -> Option<usize> {
    let assembler = match manifest.version {
        Version::One => manifest
            .pipelines
            .iter()
            .rposition(|pipeline| pipeline.name == "assembler"),
        Version::Two => None,
    };
    assembler.or_else(|| manifest.pipelines.len().checked_sub(1))
}

/// Copies the finished trees out: none of them where one cannot lie on what is there.
pub(crate) fn hand_out(exports: &[Export], report: &Report, cancel: &Cancel) -> Result<(), Error> {
    let object = |export: &Export| report.pipelines[export.pipeline].object.as_ref();
    for export in exports {
        export.destination().refuse_clash(object(export))?;
    }
    for export in exports {
        export.destination().export(object(export), cancel)?;
    }
    Ok(())
}
