//! What a person sees while it runs.

mod silent;
mod terminal;
mod text;

use std::io::IsTerminal;

use executor::{Monitor, Report};
use manifest::Manifest;
use sources::Events;

use crate::cli::Options;
use crate::fetcher::Progress;

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
    /// Bars on a terminal; the Python osbuild's text where stdout goes elsewhere; nothing with `--json` or `--quiet`.
    pub(crate) fn new(options: &Options, name: &str, manifest: &'a Manifest) -> Self {
        if options.json || options.quiet {
            Self(Box::new(silent::Silent))
        } else if std::io::stdout().is_terminal() {
            Self(Box::new(terminal::Terminal::new(name)))
        } else {
            Self(Box::new(text::Text::new(name, manifest)))
        }
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
