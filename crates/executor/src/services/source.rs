//! Sources of a library directory.

use std::path::Path;

use manifest::Source;
use serde_json::{Map, Value, json};

use super::host::{Host, Limits};
use crate::library::ModuleInfo;
use crate::{Cancel, Error, Result, SourceItem, SourceReport};

/// Has the service fetch all items into `cache`.
///
/// # Errors
/// The service cannot be started, or raises an exception. Items that fail are in the report.
pub(crate) fn fetch(
    module: &ModuleInfo,
    source: &Source,
    cache: &Path,
    cancel: &Cancel,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<SourceReport> {
    let args = json!({
        "items": Map::from_iter(source.items.clone()),
        "options": source.options,
        "cache": cache,
        "output": null,
        "checksums": [],
    });
    let mut host = Host::new(&source.kind, cancel, tell, Limits::of_source());
    let package = module
        .python_package
        .as_ref()
        .and_then(|package| package.parent());
    let id = format!("source/{}", source.kind);
    let reply = host
        .start(id.clone(), (&module.executable, package))
        .and_then(|number| host.ask(number, "download", &args, &mut ()));
    let stopped = host.stop();
    let reply = reply?;
    // what it has fetched is checked by those who use it
    let _ = stopped;
    report(source, &reply).map_err(|message| Error::Unbuildable {
        stage: source.kind.clone(),
        message: format!("{id}: {message}"),
    })
}

fn report(source: &Source, reply: &Value) -> std::result::Result<SourceReport, &'static str> {
    // one module of the field answers with a text that holds the document
    let parsed = reply.as_str().and_then(|text| serde_json::from_str(text).ok());
    let reply: &Value = parsed.as_ref().unwrap_or(reply);
    let results = reply["results"].as_array().ok_or("its answer has no `results`")?;
    let item = |result: &Value| {
        let failed = result["success"] == false;
        let error = result["error"].as_str().unwrap_or_default();
        let error = if failed && error.is_empty() {
            "it failed"
        } else {
            error
        };
        SourceItem {
            name: result["metadata"]["checksum"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            cached: result["metadata"]["cached"].as_bool().unwrap_or(false),
            error: error.to_owned(),
        }
    };
    let mut items: Vec<SourceItem> = results.iter().map(item).collect();
    if reply["success"] == false && items.iter().all(|item| item.error.is_empty()) {
        items.push(SourceItem {
            name: source.kind.clone(),
            cached: false,
            error: "cannot find failing source item".into(),
        });
    }
    Ok(SourceReport {
        kind: source.kind.clone(),
        items,
    })
}
