//! The last lines of a run, as the Python osbuild prints them.

use executor::Report;
use manifest::Manifest;
use store::Store;

/// Pipelines and checkpoints, or that it failed. `marked` are the ids of the checkpoints.
pub(crate) fn text(manifest: &Manifest, report: &Report, store: &Store, marked: &[String]) -> String {
    if !report.success() {
        return "Failed\n".to_owned();
    }
    let mut out = "\nPipelines\n".to_owned();
    for pipeline in &manifest.pipelines {
        let id = pipeline
            .id()
            .map_or_else(|| "None".to_owned(), ToString::to_string);
        out.push_str(&format!("  {:<10}\t{id}\n", format!("{}:", pipeline.name)));
    }
    out.push_str("\nCheckpoints\n");
    for id in marked {
        let there = matches!(store.lookup(id), Ok(Some(_)));
        out.push_str(&format!(
            "  {id}: {}\n",
            if there { "cached" } else { "not cached" }
        ));
    }
    out
}
