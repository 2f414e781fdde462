//! `osbuild store gc`.

use serde_json::{Value, json};
use store::{Garbage, GarbageKind};

use super::{StoreOptions, Told, Trouble, columns, look, open};
use crate::words::{bytes, count, short};

pub(super) fn run(options: &StoreOptions, dry_run: bool) -> Result<Told, Trouble> {
    let store = match dry_run {
        true => look(options)?,
        false => open(options)?,
    };
    let garbage = store.collect(dry_run)?;
    Ok(Told {
        text: table(&garbage, dry_run),
        document: json!({
            "removed": !dry_run,
            "bytes": garbage.iter().map(|garbage| garbage.bytes).sum::<u64>(),
            "garbage": garbage.iter().map(entry).collect::<Value>(),
        }),
        code: 0,
    })
}

fn table(garbage: &[Garbage], dry_run: bool) -> String {
    let row = |garbage: &Garbage| {
        let name = match garbage.kind {
            GarbageKind::Unfinished => &garbage.name,
            _ => short(&garbage.name),
        };
        vec![
            bytes(garbage.bytes),
            noun(garbage.kind).1.to_owned(),
            name.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = garbage.iter().map(row).collect();
    let sum = bytes(garbage.iter().map(|garbage| garbage.bytes).sum());
    let last = match (garbage.is_empty(), dry_run) {
        (true, _) => "nothing to remove".to_owned(),
        (_, true) => format!(
            "{} to remove, {sum}: without `--dry-run` they are",
            count(garbage.len(), "item")
        ),
        (_, false) => format!("{} removed, {sum}", count(garbage.len(), "item")),
    };
    format!("{}{last}\n", columns(&rows, &[0]))
}

fn entry(garbage: &Garbage) -> Value {
    json!({"kind": noun(garbage.kind).0, "name": garbage.name, "bytes": garbage.bytes})
}

/// For programs and for people.
fn noun(kind: GarbageKind) -> (&'static str, &'static str) {
    match kind {
        GarbageKind::Unfinished => ("unfinished", "left by a builder that died"),
        GarbageKind::StaleStage => ("stage", "stage without a tree"),
        GarbageKind::Tree => ("tree", "tree of no stage"),
        GarbageKind::Log => ("log", "log older than a week"),
        GarbageKind::Quarantined => ("damaged", "damaged"),
    }
}
