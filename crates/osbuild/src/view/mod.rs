//! What is told while it runs: to a person, or to a program as the Python osbuild's monitors do.

mod context;
mod jsonseq;
mod local_time;
mod log;
mod out;
mod silent;
mod terminal;

use std::io::IsTerminal;

use executor::{Library, Monitor, Report};
use manifest::Manifest;
use sources::Events;

use crate::cli::Options;
use crate::fetcher::Progress;

pub(crate) use out::Out;

/// A way to show a build.
pub(crate) trait Show: Monitor + Events + Sync {
    /// The last words, before any error is told.
    fn close(&self, manifest: &Manifest, report: &Report);
    fn monitor(&self) -> &dyn Monitor;
    fn progress(&self) -> Progress<'_>;
}

/// The view that the options and the terminal call for.
pub(crate) struct View<'a>(Box<dyn Show + 'a>);

impl<'a> View<'a> {
    /// The monitor that was asked for, which writes to `out`. Without one: nothing with `--json` or `--quiet`, bars on a
    /// terminal, and the Python osbuild's text where stdout goes elsewhere.
    ///
    /// # Errors
    /// There is no such monitor, or `out` (`None`) is not open.
    pub(crate) fn new(
        options: &'a Options,
        manifest: &'a Manifest,
        library: &'a Library,
        out: Option<Out>,
    ) -> Result<Self, String> {
        let name = options.manifest.display().to_string();
        let out = || {
            let fd = options.monitor_fd.unwrap_or(1);
            out.ok_or_else(|| format!("--monitor-fd {fd} is not an open descriptor"))
        };
        let default = match (options.json || options.quiet, Self::is_for_terminal(options)) {
            (true, _) => "NullMonitor",
            (_, true) => return Ok(Self(Box::new(terminal::Terminal::new(&name)))),
            _ => "LogMonitor",
        };
        match options
            .monitor
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or(default)
        {
            "NullMonitor" => Ok(Self(Box::new(silent::Silent))),
            "LogMonitor" => {
                let log = log::Log::new(out()?, &name, manifest, library, &options.in_vm);
                Ok(Self(Box::new(log)))
            }
            "JSONSeqMonitor" => Ok(Self(Box::new(jsonseq::JsonSeq::new(out()?, &name)))),
            other => Err(format!(
                "unknown monitor: {other} (there are NullMonitor, LogMonitor, JSONSeqMonitor)"
            )),
        }
    }

    /// Whether a person watches, and no program.
    pub(crate) fn is_for_terminal(options: &Options) -> bool {
        let asked =
            options.json || options.quiet || options.monitor.is_some() || options.monitor_fd.is_some();
        !asked && std::io::stdout().is_terminal()
    }

    pub(crate) fn monitor(&self) -> &dyn Monitor {
        self.0.monitor()
    }

    pub(crate) fn progress(&self) -> Progress<'_> {
        self.0.progress()
    }

    pub(crate) fn close(&self, manifest: &Manifest, report: &Report) {
        self.0.close(manifest, report);
    }
}
