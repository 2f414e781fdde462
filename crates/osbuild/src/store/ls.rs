//! `osbuild store ls`.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use store::Stored;

use super::{StoreOptions, Told, Trouble, columns, look};
use crate::words::{age, bytes, count, short};

pub(super) fn run(options: &StoreOptions) -> Result<Told, Trouble> {
    let stages = look(options)?.stages()?;
    Ok(Told {
        text: table(&stages),
        document: stages.iter().map(entry).collect(),
        code: 0,
    })
}

fn table(stages: &[Stored]) -> String {
    let head = ["ID", "STAGE", "SIZE", "USED", ""].map(str::to_owned).to_vec();
    let row = |stage: &Stored| {
        vec![
            short(&stage.id).to_owned(),
            stage.name.clone().unwrap_or_else(|| "?".into()),
            stage.size.map_or_else(|| "not whole".into(), bytes),
            stage.used.map(age).unwrap_or_default(),
            if stage.pinned { "pinned" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(stages.iter().map(row)).collect();
    let trees: BTreeSet<_> = stages
        .iter()
        .map(|stage| (stage.tree, stage.size.unwrap_or(0)))
        .collect();
    let size = trees.iter().map(|(_, size)| size).sum();
    let stages = count(stages.len(), "stage");
    format!(
        "{}{stages}, {}, {}\n",
        columns(&rows, &[2]),
        count(trees.len(), "tree"),
        bytes(size)
    )
}

fn entry(stage: &Stored) -> Value {
    let used = stage.used.and_then(|used| used.duration_since(UNIX_EPOCH).ok());
    json!({
        "id": stage.id, "type": stage.name, "tree": stage.tree.to_string(), "size": stage.size,
        "used": used.map(|used| used.as_secs()), "pinned": stage.pinned, "duration": stage.seconds,
    })
}
