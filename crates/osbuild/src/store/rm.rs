//! `osbuild store rm`.

use serde_json::{Value, json};
use store::{Match, Removed};

use super::{StoreOptions, Told, Trouble, find, open};
use crate::fail;
use crate::words::{bytes, short};

pub(super) fn run(options: &StoreOptions, ids: &[String]) -> Result<Told, Trouble> {
    let store = open(options)?;
    let same = |a: &Match, b: &Match| {
        let id = |found: &Match| found.stage.as_ref().map(|stage| stage.id.clone());
        a.tree == b.tree && id(a) == id(b)
    };
    // all are known before the first one goes
    let found: Vec<Match> = ids
        .iter()
        .map(|word| find(&store, word, same))
        .collect::<Result<_, _>>()?;
    let mut told = Told {
        text: String::new(),
        document: Value::Array(Vec::new()),
        code: 0,
    };
    for (word, found) in ids.iter().zip(&found) {
        let removed = store.remove(found)?;
        if !removed.busy.is_empty() {
            told.code = fail::FAILED;
        }
        told.text.push_str(&line(word, found, &removed));
        if let Some(list) = told.document.as_array_mut() {
            list.push(json!({
                "asked": word, "tree": found.tree.to_string(), "stages": removed.stages, "busy": removed.busy,
                "bytes": removed.bytes, "stays": removed.stays,
            }));
        }
    }
    Ok(told)
}

fn line(word: &str, found: &Match, removed: &Removed) -> String {
    let tree = found.tree.to_string();
    let tree = short(&tree);
    let fate = match (&removed.bytes, &removed.stays) {
        (Some(size), _) => format!("tree {tree} removed, {}", bytes(*size)),
        (None, Some(why)) => format!("tree {tree} stays: {why}"),
        (None, None) => format!("tree {tree} is gone"),
    };
    let ids: Vec<&str> = removed.stages.iter().map(|id| short(id)).collect();
    let forgotten = match ids.as_slice() {
        [] => String::new(),
        ids => format!("stage {} forgotten; ", ids.join(", ")),
    };
    let busy: Vec<&str> = removed.busy.iter().map(|id| short(id)).collect();
    let busy = match busy.as_slice() {
        [] => String::new(),
        ids => format!("stage {} is being built and stays; ", ids.join(", ")),
    };
    format!("{}: {forgotten}{busy}{fate}\n", short(word))
}
