//! From the options to the exit code.

use std::path::Path;
use std::process::ExitCode;

use executor::{Build, Destination, Error, Library, result_document};
use manifest::python_text;
use store::Store;

use crate::attest::{self, Built};
use crate::cli::{Limit, Options};
use crate::fetcher::{self, Fetcher};
use crate::signals::Interrupt;
use crate::view::{Out, View};
use crate::{checkpoints, exports, fail, inspect, load, print, space, summary, trace_file};

/// Runs osbuild.
pub(crate) fn run(options: &Options) -> ExitCode {
    let result = try_run(options);
    trace_file::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => ExitCode::from(code),
    }
}

fn try_run(options: &Options) -> Result<(), u8> {
    // before anything else is opened: the number must not become that of something of ours
    let out = Out::open(options.monitor_fd.unwrap_or(1));
    // before there is a second thread; what is wrong with a manifest is said first
    let entered = match options.inspect {
        true => Ok(()),
        false => executor::enter(),
    };
    let interrupt =
        Interrupt::listen().map_err(|e| fatal(options, &format!("cannot listen to signals: {e}")))?;
    let fail = |e: Error| error(options, &interrupt, &e);
    if let Some(path) = &options.trace {
        trace_file::begin(path).map_err(|message| fatal(options, &message))?;
    }
    let name = load::name(options);
    let text =
        load::read(&options.manifest).map_err(|e| fatal(options, &format!("cannot read {name}: {e}")))?;
    let library = Library::open(&options.libdir, fetcher::known, Some(&options.store))
        .map_err(fail)?
        .with_stand_ins(&options.stand_in);
    let span = trace::span("load the manifest");
    let manifest = load::load(options, &text, &library)?;
    drop(span);
    let resolved = exports::resolve(options, &manifest)?;
    let marked = checkpoints::mark(options, &manifest)?;
    if options.inspect {
        print::stdout(&format!(
            "{}\n",
            python_text(&inspect::document(&manifest, &library))
        ));
        return Ok(());
    }
    entered.map_err(|e| fail(e.into()))?;
    let exports = exports::destinations(options, &manifest, &resolved)?;
    let attestations = attest::plan(options, &manifest, &exports)?;
    let before = exports.iter().map(|export| export.before());
    for dir in before.chain(attestations.iter().map(|document| document.dir())) {
        Destination::prepare(dir).map_err(fail)?;
    }
    for export in &exports {
        export.destination().refuse_link().map_err(fail)?;
    }
    let span = trace::span("open the store");
    let store = open_store(&options.store).map_err(|e| fail(e.into()))?;
    if let Some(Limit(bytes)) = options.cache_max_size {
        store.set_max_size(bytes).map_err(|e| fail(e.into()))?;
    }
    library.note_in(&store);
    drop(span);

    let view = View::new(options, &manifest, &library, out).map_err(|message| fatal(options, &message))?;
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
        jobs: options.jobs(),
        stage_timeout: options.timeout(),
        boundary: &options.boundary(),
        checkpoints: &marked.iter().cloned().collect(),
        in_vm: &options.in_vm.iter().cloned().collect(),
        debug_break: options.debug_break.as_deref(),
    };
    let wanted: Vec<usize> = exports.iter().map(|export| export.pipeline).collect();
    if !options.json && !options.quiet {
        space::foresee(&manifest, &wanted, &store);
    }
    let mut report = build.run(&wanted).map_err(fail)?;
    if report.success() {
        exports::hand_out(&exports, &report, &interrupt.cancel).map_err(fail)?;
        let built = Built {
            manifest: &manifest,
            text: &text,
            library: &library,
            report: &report,
        };
        for document in &attestations {
            document.write(&built).map_err(fail)?;
        }
    }
    view.close(&manifest, &report);
    if options.json {
        executor::recall(&manifest, &store, &mut report).map_err(fail)?;
        print::stdout(&format!(
            "{}\n",
            python_text(&result_document(&manifest, &report))
        ));
    } else if !options.quiet && !View::is_for_terminal(options) {
        print::stdout(&summary::text(&manifest, &report, &store, &marked));
    }
    if !options.json {
        fail::missing(&report.boundary.missing);
    }
    match &report.failure {
        None => Ok(()),
        Some(failure) => {
            if !options.json {
                fail::failure(&name, failure, View::is_for_terminal(options));
                space::explain(failure, &manifest, &wanted, &store);
            }
            Err(fail::FAILED)
        }
    }
}

/// The store, whose directory belongs to the caller. What is in it belongs to the owners of trees.
fn open_store(dir: &Path) -> Result<Store, store::Error> {
    // that it cannot be made is told where it is opened
    let _ = executor::as_caller(|| std::fs::create_dir_all(dir));
    Store::open(dir)
}

fn error(options: &Options, interrupt: &Interrupt, error: &Error) -> u8 {
    if matches!(error, Error::Cancelled) || interrupt.cancel.is_interrupted() {
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

/// Says which options do not go together: the exit code.
pub(crate) fn refuse(options: &Options, message: &str) -> u8 {
    fatal(options, message);
    fail::INVALID
}

/// Says what ends the run before it began, as a document with `--json`: the exit code.
pub(crate) fn fatal(options: &Options, message: &str) -> u8 {
    if options.json {
        print::stdout(&format!("{}\n", python_text(&fail::fatal_document(message))));
    } else {
        print::error(message, None);
    }
    fail::FAILED
}
