//! `--checkpoint`: which stages its patterns mean.

use std::collections::BTreeSet;

use manifest::Manifest;

use crate::cli::Options;
use crate::{fail, glob, print};

/// The ids of the stages that the patterns fit: by the name of a pipeline (its last stage), by stage id or by stage
/// name; in the manifest's order. The error is the exit code, after it was said that there are none.
pub(crate) fn mark(options: &Options, manifest: &Manifest) -> Result<Vec<String>, u8> {
    let fits = |name: &str| {
        options
            .checkpoint
            .iter()
            .any(|pattern| glob::matches(pattern, name))
    };
    let mut marked: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for pipeline in &manifest.pipelines {
        let last = pipeline.stages.len().saturating_sub(1);
        for (index, stage) in pipeline.stages.iter().enumerate() {
            let id = stage.id.to_string();
            let meant = fits(&id) || fits(&stage.name) || (index == last && fits(&pipeline.name));
            if meant && seen.insert(id.clone()) {
                marked.push(id);
            }
        }
    }
    if marked.is_empty() && !options.checkpoint.is_empty() {
        print::stdout("No checkpoints matched provided patterns!\nFailed\n");
        return Err(fail::FAILED);
    }
    Ok(marked)
}
