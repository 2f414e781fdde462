//! The sources that this command links, as the executor wants them.

use std::collections::BTreeMap;
use std::path::Path;

use executor::{Cancel, Fetch, SourceInfo, SourceItem, SourceReport};
use manifest::Source;
use sources::{Events, Request};

/// Progress of downloads, for a view.
pub(crate) type Progress<'a> = &'a (dyn Events + Sync);

/// Fetches with the modules of the crate `sources`.
pub(crate) struct Fetcher<'a> {
    pub(crate) repos: BTreeMap<String, String>,
    pub(crate) progress: Progress<'a>,
}

/// What the executor must know of the sources.
pub(crate) fn known() -> Vec<SourceInfo> {
    let info = |source: &&sources::SourceModule| SourceInfo {
        name: source.name.to_owned(),
        aliases: source.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        meta: (source.meta)(),
    };
    sources::SOURCES.iter().map(info).collect()
}

impl Fetch for Fetcher<'_> {
    fn fetch(&self, source: &Source, cache: &Path, cancel: &Cancel) -> SourceReport {
        let kind = source.kind.clone();
        let Some(module) = sources::find(&source.kind) else {
            let error = format!("there is no source {kind}");
            return SourceReport {
                items: vec![SourceItem {
                    name: kind.clone(),
                    cached: false,
                    error,
                }],
                kind,
            };
        };
        let outcome = (module.fetch)(&Request {
            items: &source.items,
            options: &source.options,
            cache,
            repos: &self.repos,
            jobs: 0,
            events: self.progress,
            cancelled: cancel.flag(),
        });
        let item = |result: sources::ItemResult| SourceItem {
            name: result.item,
            cached: result.cached,
            error: result.error,
        };
        SourceReport {
            kind,
            items: outcome.results.into_iter().map(item).collect(),
        }
    }
}
