//! One call of a source: what is there already, what must come, what came of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::Arc;

use crate::attempts::Location;
use crate::client::Client;
use crate::content::Content;
use crate::digest::Checksum;
use crate::download::Downloads;
use crate::machine::Machine;
use crate::pool::{self, Note, Reporter, Stop};
use crate::{ItemResult, Outcome, Request};

/// Downloads at a time, where nobody says.
const JOBS: usize = 8;

/// A source at work.
pub(crate) struct Session<'a> {
    request: &'a Request<'a>,
    pub(crate) content: Content,
    pub(crate) stop: Stop,
    downloads: Arc<Downloads>,
    results: Vec<ItemResult>,
    missing: Vec<Missing>,
}

/// An item that is not there yet.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    /// Its place in the request.
    pub(crate) index: usize,
    pub(crate) checksum: Checksum,
}

impl<'a> Session<'a> {
    /// Looks what is there. Nothing is touched.
    pub(crate) fn begin(request: &'a Request<'a>, machine: &Machine) -> Self {
        let stop = Stop::default();
        let content = Content::new(request.cache);
        let client = Client::new(machine.clone(), stop.clone(), jobs(request));
        let mut results = Vec::with_capacity(request.items.len());
        let mut missing = Vec::new();
        let names = content.names(request.items.len());
        let may_be_there = |item: &str| {
            names
                .as_ref()
                .is_none_or(|names| names.contains(OsStr::new(item)))
        };
        for (index, (item, _)) in request.items.iter().enumerate() {
            let mut result = ItemResult {
                item: item.clone(),
                ..ItemResult::default()
            };
            match Checksum::parse(item) {
                Err(error) => result.error = error,
                Ok(checksum) if may_be_there(item) && content.contains(&checksum) => {
                    (result.success, result.cached) = (true, true)
                }
                Ok(checksum) => missing.push(Missing { index, checksum }),
            }
            results.push(result);
        }
        let cached = results.iter().filter(|r| r.cached).count();
        request.events.begin(request.items.len(), cached, None);
        Self {
            request,
            downloads: Arc::new(Downloads::new(client, content.clone(), stop.clone())),
            content,
            stop,
            results,
            missing,
        }
    }

    /// What must come.
    pub(crate) fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Reads small texts, such as lists of mirrors.
    pub(crate) fn texts(&self, locations: Vec<Location>) -> Vec<Result<String, String>> {
        let (count, downloads) = (locations.len(), self.downloads.clone());
        let work = move |i: usize, reporter: &Reporter<'_>| downloads.text(&locations[i], reporter);
        self.run(count, work, |_, _| {})
    }

    /// Downloads what is missing; `locations` has the places for each, or why there are none.
    pub(crate) fn download(self, locations: Vec<Result<Vec<Location>, String>>) -> Outcome {
        let (downloads, wanted) = (self.downloads.clone(), self.missing.clone());
        let work = move |i: usize, reporter: &Reporter<'_>| match &locations[i] {
            Ok(locations) => downloads.file(&wanted[i].checksum, locations, reporter),
            Err(error) => Err(error.clone()),
        };
        let items: HashMap<_, _> = self
            .missing
            .iter()
            .map(|missing| (missing.checksum.clone(), &self.results[missing.index].item))
            .collect();
        let tell = || {
            for item in self
                .downloads
                .entered()
                .iter()
                .filter_map(|checksum| items.get(checksum))
            {
                self.request.events.done(item);
            }
        };
        let results = self.run(self.missing.len(), work, |_, _| tell());
        let missing = self.missing.iter().map(|missing| &missing.checksum);
        let results = self
            .downloads
            .settle(missing.zip(results), self.request.cancelled);
        tell();
        self.end(results)
    }

    /// The outcome, given what came of each missing item.
    pub(crate) fn end(mut self, results: Vec<Result<(), String>>) -> Outcome {
        for (missing, result) in self.missing.iter().zip(results) {
            let item = &mut self.results[missing.index];
            match result {
                Ok(()) => item.success = true,
                Err(error) => item.error = error,
            }
        }
        let success = self.results.iter().all(|item| item.success);
        match (success, self.missing.is_empty()) {
            (true, false) => self.content.clean(),
            // what has come so far is for the next run
            (false, false) | (_, true) => self.content.tidy(),
        }
        Outcome {
            success,
            results: self.results,
        }
    }

    fn run<T: Send + 'static>(
        &self,
        count: usize,
        work: impl Fn(usize, &Reporter<'_>) -> Result<T, String> + Send + Sync + 'static,
        done: impl Fn(usize, &Result<T, String>),
    ) -> Vec<Result<T, String>> {
        let events = self.request.events;
        let note = |note| match note {
            Note::Bytes(n) => events.bytes(n),
            Note::Retry(message) => events.retry(&message),
        };
        let results = pool::run(
            (count, jobs(self.request)),
            (self.request.cancelled, &self.stop, &|| self.downloads.shutdown()),
            work,
            &note,
            &done,
        );
        let interrupted = || Err("interrupted".to_owned());
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(interrupted))
            .collect()
    }
}

fn jobs(request: &Request<'_>) -> usize {
    match request.jobs {
        0 => JOBS,
        jobs => jobs,
    }
}
