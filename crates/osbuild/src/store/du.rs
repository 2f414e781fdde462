//! `osbuild store du`.

use serde_json::{Value, json};
use store::{TreeUsage, Usage};

use super::{StoreOptions, Told, Trouble, columns, look};
use crate::plan::free;
use crate::words::{bytes, count, short};

pub(super) fn run(options: &StoreOptions) -> Result<Told, Trouble> {
    let store = look(options)?;
    let usage = store.usage()?;
    let (limit, free) = (store.max_size()?, free(store.path()));
    Ok(Told {
        text: table(&usage, limit, free),
        document: document(&usage, limit, free),
        code: 0,
    })
}

fn table(usage: &Usage, limit: Option<u64>, free: Option<u64>) -> String {
    let head = ["OWN", "BELOW", "TREE", "MADE BY", ""]
        .map(str::to_owned)
        .to_vec();
    let row = |tree: &TreeUsage| {
        let names = tree
            .stages
            .iter()
            .map(|(id, name)| name.as_deref().unwrap_or(short(id)));
        let names: Vec<&str> = names.collect();
        vec![
            bytes(tree.own),
            bytes(tree.below),
            short(&tree.tree.to_string()).to_owned(),
            if names.is_empty() {
                "no stage: gc removes it, unless others lie on it".into()
            } else {
                names.join(", ")
            },
            if tree.pinned { "pinned" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(usage.trees.iter().map(row)).collect();
    let limit = limit.map_or_else(|| "no limit".into(), |limit| format!("limit {}", bytes(limit)));
    let trees = format!("{} ({limit})", count(usage.trees.len(), "tree"));
    let free = free
        .map(|free| format!(", {} free", bytes(free)))
        .unwrap_or_default();
    let sums = [
        (usage.of_trees(), trees),
        (usage.downloads, "downloads".into()),
        (usage.logs, "logs".into()),
        (
            usage.unfinished,
            "unfinished: being made, or left by builders that died".into(),
        ),
        (usage.quarantined, "damaged: gc removes it".into()),
        (usage.others, "other files".into()),
        (usage.total(), format!("in all{free}")),
    ];
    let always = [0, 1, sums.len() - 1];
    let sums: Vec<Vec<String>> = sums
        .into_iter()
        .enumerate()
        .filter(|(at, (size, _))| *size > 0 || always.contains(at))
        .map(|(_, (size, what))| vec![bytes(size), what])
        .collect();
    format!("{}\n{}", columns(&rows, &[0, 1]), columns(&sums, &[0]))
}

fn document(usage: &Usage, limit: Option<u64>, free: Option<u64>) -> Value {
    let tree = |tree: &TreeUsage| {
        json!({
            "tree": tree.tree.to_string(), "own": tree.own, "below": tree.below, "above": tree.above,
            "stages": tree.stages.iter().map(|(id, name)| json!({"id": id, "type": name})).collect::<Value>(),
            "pinned": tree.pinned,
        })
    };
    json!({
        "trees": usage.trees.iter().map(tree).collect::<Value>(),
        "sums": {
            "trees": usage.of_trees(), "downloads": usage.downloads, "logs": usage.logs,
            "unfinished": usage.unfinished, "damaged": usage.quarantined, "others": usage.others,
        },
        "total": usage.total(), "limit": limit, "free": free,
    })
}
