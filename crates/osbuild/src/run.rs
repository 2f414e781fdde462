//! From the options to the exit code.

use std::io::{IsTerminal, Read};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use executor::{Build, Destination, Error, Library, Report, result_document};
use manifest::{Manifest, Problem, Version, python_text, validation_document, validation_text};
use store::Store;

use crate::cli::Options;
use crate::fetcher::{self, Fetcher};
use crate::signals::Interrupt;
use crate::view::View;
use crate::{fail, print};

/// A tree to hand out.
struct Export {
    /// The index of its pipeline.
    pipeline: usize,
    dir: PathBuf,
    /// Whether the directory is the caller's own, which keeps its mode and owner.
    own: bool,
}

/// Runs osbuild.
pub(crate) fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => ExitCode::from(code),
    }
}

fn try_run(options: &Options) -> Result<(), u8> {
    let interrupt =
        Interrupt::listen().map_err(|e| fatal(options, &format!("cannot listen to signals: {e}")))?;
    let name = if options.manifest == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        options.manifest.display().to_string()
    };
    let text = read(&options.manifest).map_err(|e| fatal(options, &format!("cannot read {name}: {e}")))?;
    let library =
        Library::open(&options.libdir, fetcher::known()).map_err(|e| error(options, &interrupt, &e))?;
    let manifest = load(options, &name, &text, &library)?;
    let exports = exports(options, &manifest)?;
    for export in &exports {
        Destination::prepare(&export.dir).map_err(|e| error(options, &interrupt, &e))?;
    }
    let store = Store::open(&options.store).map_err(|e| error(options, &interrupt, &e.into()))?;

    let view = View::new(options, &name, &manifest);
    let fetch = Fetcher {
        repos: options.repos(),
        progress: view.progress(),
    };
    let build = Build {
        manifest: &manifest,
        library: &library,
        store: &store,
        fetch: &fetch,
        monitor: view.monitor(),
        cancel: &interrupt.cancel,
        stage_timeout: options.timeout(),
    };
    let wanted: Vec<usize> = exports.iter().map(|export| export.pipeline).collect();
    let report = build.run(&wanted).map_err(|e| error(options, &interrupt, &e))?;
    if report.success() {
        export(&exports, &report).map_err(|e| error(options, &interrupt, &e))?;
    }
    finish(options, &name, &manifest, &report, &view)
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(path)?;
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))
}

fn load(options: &Options, name: &str, text: &str, library: &Library) -> Result<Manifest, u8> {
    let refuse = |problems: &[Problem], tell: &dyn Fn()| {
        if options.json {
            print::stdout(&format!("{}\n", python_text(&validation_document(problems))));
        } else {
            // a terminal shows both streams: there ours is enough
            if !std::io::stdout().is_terminal() {
                print::stdout(&validation_text(name, problems));
            }
            tell();
        }
        fail::INVALID
    };
    let value = manifest::parse(text).map_err(|error| {
        refuse(&[fail::syntax(&error)], &|| {
            print::error(&format!("{name}: {error}"), None)
        })
    })?;
    manifest::load(&value, Some(library))
        .map_err(|problems| refuse(&problems, &|| fail::problems(name, text, &problems)))
}

/// What goes where: `--export` as asked for, or with `--output` alone the result itself.
fn exports(options: &Options, manifest: &Manifest) -> Result<Vec<Export>, u8> {
    if options.export.is_empty() {
        let result = match manifest.version {
            Version::One => manifest
                .pipelines
                .iter()
                .rposition(|pipeline| pipeline.name == "assembler"),
            Version::Two => None,
        };
        let result = result.or_else(|| manifest.pipelines.len().checked_sub(1));
        let export = |(pipeline, dir)| Export {
            pipeline,
            dir,
            own: true,
        };
        return Ok(result
            .zip(options.output.clone())
            .map(export)
            .into_iter()
            .collect());
    }
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
    let unknown: Vec<&String> = options
        .export
        .iter()
        .filter(|name| find(name).is_none())
        .collect();
    if !unknown.is_empty() {
        let names: Vec<String> = manifest
            .pipelines
            .iter()
            .map(|pipeline| format!("'{}'", pipeline.name))
            .collect();
        for name in unknown {
            print::stdout(&format!("Export {name} not found in [{}]\n", names.join(", ")));
        }
        print::stdout("Failed\n");
        return Err(fail::FAILED);
    }
    let Some(dir) = options.output_directory.as_ref().or(options.output.as_ref()) else {
        print::stdout("Need --output-directory for --export\n");
        return Err(fail::FAILED);
    };
    let mut all: Vec<Export> = Vec::new();
    for name in &options.export {
        // a name is joined to the directory: it must not lead out of it
        if !Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            print::error(
                &format!("export {name} would leave {}", dir.display()),
                Some("rename the pipeline"),
            );
            return Err(fail::FAILED);
        }
        let export = find(name).map(|pipeline| Export {
            pipeline,
            dir: dir.join(name),
            own: false,
        });
        all.extend(export.filter(|export| all.iter().all(|other| other.dir != export.dir)));
    }
    Ok(all)
}

fn export(exports: &[Export], report: &Report) -> Result<(), Error> {
    let ownership =
        std::env::var_os("OSBUILD_EXPORT_FORCE_NO_PRESERVE_OWNER").is_none_or(|value| value != "1");
    for export in exports {
        let destination = Destination {
            dir: export.dir.clone(),
            ownership,
            root: !export.own,
        };
        destination.export(report.pipelines[export.pipeline].object.as_ref())?;
    }
    Ok(())
}

fn finish(
    options: &Options,
    name: &str,
    manifest: &Manifest,
    report: &Report,
    view: &View<'_>,
) -> Result<(), u8> {
    view.close(manifest, report);
    if options.json {
        print::stdout(&format!("{}\n", python_text(&result_document(manifest, report))));
    }
    match &report.failure {
        None => Ok(()),
        Some(failure) => {
            if !options.json {
                fail::failure(name, failure);
            }
            Err(fail::FAILED)
        }
    }
}

fn error(options: &Options, interrupt: &Interrupt, error: &Error) -> u8 {
    if matches!(error, Error::Cancelled) || interrupt.cancel.is_cancelled() {
        if !options.json && !options.quiet {
            print::stdout("\nAborted\n");
        }
        return interrupt.exit_code();
    }
    if options.json {
        print::stdout(&format!(
            "{}\n",
            python_text(&fail::fatal_document(&error.to_string()))
        ));
    } else {
        fail::fatal(error);
    }
    fail::FAILED
}

fn fatal(options: &Options, message: &str) -> u8 {
    if options.json {
        print::stdout(&format!("{}\n", python_text(&fail::fatal_document(message))));
    } else {
        print::error(message, None);
    }
    fail::FAILED
}
