//! All sources of a manifest, side by side.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use manifest::{ModuleKind, Source};

use super::turns::{Lane, Turns};
use super::{Build, Trouble, lock, schedule};
use crate::report::{Failure, Report, SourceReport};
use crate::{Error, Result, services};

impl<'a> Build<'a> {
    /// Fetches all sources. One that fails leaves the others to come to their end.
    pub(super) fn fetch_all(&self, turns: &Turns<'a>, report: &mut Report) -> Result<()> {
        let sources = &self.manifest.sources;
        let cache = self.store.sources();
        // what they wait for is seldom a processor of this machine
        let jobs = if self.jobs.get() == 1 { 1 } else { sources.len() };
        let reports = Mutex::new(vec![None; sources.len()]);
        let trouble = Trouble::default();
        schedule::run(jobs, &vec![Vec::new(); sources.len()], &|number| {
            let source = &sources[number];
            trace::track(&format!("source {}", source.kind));
            let lane = turns.lane(number);
            let end = self.fetch_told(source, &cache, &lane);
            if end.is_err() && !self.is_stopped(&end) {
                lane.close();
            }
            lock(&reports)[number] = trouble.unless(end, self.cancel);
            !self.cancel.is_cancelled()
        });
        trace::track("osbuild");
        trouble.end(false, self.cancel)?;
        let reports: Vec<Option<SourceReport>> = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        for fetched in reports.into_iter().flatten() {
            report.failure = report.failure.take().or_else(|| failure(&fetched));
            report.sources.push(fetched);
        }
        Ok(())
    }

    fn fetch_told(&self, source: &'a Source, cache: &Path, lane: &Lane<'_, 'a>) -> Result<SourceReport> {
        let _span = trace::span("fetch").with("items", source.items.len());
        lane.tell(move |monitor| monitor.source_begin(source));
        let fetched = self.fetch_one(source, cache, lane)?;
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let told = fetched.clone();
        lane.tell(move |monitor| monitor.source_finish(source, &told));
        Ok(fetched)
    }

    /// Fetches with the source of a library directory if there is one, else with ours.
    fn fetch_one(&self, source: &Source, cache: &Path, lane: &Lane<'_, 'a>) -> Result<SourceReport> {
        match self.library.foreign(ModuleKind::Source, &source.kind) {
            Some(module) => {
                services::source::fetch(&module, source, cache, self.cancel, &|text| lane.service(text))
            }
            None => Ok(self.fetch.fetch(source, cache, self.cancel)),
        }
    }
}

fn failure(report: &SourceReport) -> Option<Failure> {
    let mut failed = report.items.iter().filter(|item| !item.error.is_empty());
    let first = failed.next()?;
    Some(Failure::Source {
        kind: report.kind.clone(),
        item: first.name.clone(),
        error: first.error.clone(),
        others: failed.count(),
    })
}
