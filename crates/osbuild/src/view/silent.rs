//! Nothing to see: `--json` and `--quiet`.

use executor::{Monitor, Report};
use manifest::Manifest;
use sources::Events;

use super::Show;
use crate::fetcher::Progress;

pub(crate) struct Silent;

impl Monitor for Silent {
    fn takes_turns(&self) -> bool {
        false
    }
}

impl Events for Silent {
    fn begin(&self, _: usize, _: usize, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn done(&self, _: &str) {}
    fn retry(&self, _: &str) {}
}

impl Show for Silent {
    fn close(&self, _: &Manifest, _: &Report) {}

    fn monitor(&self) -> &dyn Monitor {
        self
    }

    fn progress(&self) -> Progress<'_> {
        self
    }
}
