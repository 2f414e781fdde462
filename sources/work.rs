//! One call of a source whose items are more than plain files: what is there, what must come, what came of it.

use std::sync::Arc;

use serde_json::Value;

use crate::pool::{self, Note, Reporter, Stop};
use crate::{ItemResult, Outcome, Request};

/// An item and its description.
type Item = (String, Value);

/// Fetches with `fetch`, `jobs` at a time, every item that `there` does not find. `interrupt` is called once, when the
/// request is cancelled.
pub(crate) fn each(
    request: &Request<'_>,
    (jobs, stop, interrupt): (usize, &Stop, &dyn Fn()),
    there: impl Fn(&Item) -> Result<bool, String>,
    fetch: impl Fn(&Item, &Reporter<'_>) -> Result<(), String> + Send + Sync + 'static,
) -> Outcome {
    let mut results: Vec<ItemResult> = request.items.iter().map(|item| look(item, &there)).collect();
    let pending = |result: &ItemResult| !result.cached && result.error.is_empty();
    let missing: Vec<usize> = (0..results.len()).filter(|at| pending(&results[*at])).collect();
    let cached = results.iter().filter(|result| result.cached).count();
    request.events.begin(request.items.len(), cached, None);

    let wanted: Arc<Vec<Item>> = Arc::new(missing.iter().map(|at| request.items[*at].clone()).collect());
    let note = |note| match note {
        Note::Bytes(n) => request.events.bytes(n),
        Note::Retry(message) => request.events.retry(&message),
    };
    let names = wanted.clone();
    let outcomes = pool::run(
        (wanted.len(), if request.jobs == 0 { jobs } else { request.jobs }),
        (request.cancelled, stop, interrupt),
        move |i, reporter: &Reporter<'_>| fetch(&wanted[i], reporter),
        &note,
        &|i, result: &Result<(), String>| {
            if result.is_ok() {
                request.events.done(&names[i].0);
            }
        },
    );
    for (at, outcome) in missing.into_iter().zip(outcomes) {
        match outcome.unwrap_or_else(|| Err("interrupted".to_owned())) {
            Ok(()) => results[at].success = true,
            Err(error) => results[at].error = error,
        }
    }
    Outcome {
        success: results.iter().all(|item| item.success),
        results,
    }
}

fn look(item: &Item, there: &impl Fn(&Item) -> Result<bool, String>) -> ItemResult {
    let mut result = ItemResult {
        item: item.0.clone(),
        ..ItemResult::default()
    };
    match there(item) {
        Ok(there) => (result.success, result.cached) = (there, there),
        Err(error) => result.error = error,
    }
    result
}
