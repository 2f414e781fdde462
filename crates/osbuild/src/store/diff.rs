//! `osbuild store diff`.

use serde_json::{Value, json};
use store::{Change, Object, Store, What};

use super::{StoreOptions, Told, Trouble, find, look};
use crate::fail;
use crate::print::tame;

pub(super) fn run(options: &StoreOptions, from: &str, to: &str) -> Result<Told, Trouble> {
    // two is trouble, as with diff(1): one says that they differ
    let in_trouble = |trouble: Trouble| Trouble {
        code: fail::INVALID,
        ..trouble
    };
    let store = look(options)?;
    let (from, to) = (tree(&store, from), tree(&store, to));
    let (from, to) = (from.map_err(in_trouble)?, to.map_err(in_trouble)?);
    let index = |object: &Object| object.index().map_err(|e| in_trouble(e.into()));
    let changes = index(&from)?.diff(&index(&to)?);
    Ok(Told {
        text: changes.iter().map(line).collect(),
        document: document(&from, &to, &changes),
        code: u8::from(!changes.is_empty()),
    })
}

fn tree(store: &Store, word: &str) -> Result<Object, Trouble> {
    let found = find(store, word, |a, b| a.tree == b.tree)?;
    let whole = store.object(&found.tree)?;
    whole.ok_or_else(|| {
        Trouble::usage(
            format!("the tree of {word} is not whole"),
            "`osbuild store fsck` says what is damaged",
        )
    })
}

fn line(change: &Change) -> String {
    let path = tame(&change.path.to_string_lossy());
    match &change.what {
        What::Added => format!("+ /{path}\n"),
        What::Removed => format!("- /{path}\n"),
        What::Changed(aspects) => format!("~ /{path}  {}\n", aspects.join(", ")),
    }
}

fn document(from: &Object, to: &Object, changes: &[Change]) -> Value {
    let path = |change: &Change| format!("/{}", change.path.display());
    let only = |what: What| -> Value {
        let these = changes.iter().filter(|change| change.what == what);
        these.map(path).collect()
    };
    let changed = changes.iter().filter_map(|change| match &change.what {
        What::Changed(aspects) => Some(json!({"path": path(change), "what": aspects})),
        _ => None,
    });
    json!({
        "from": from.digest().to_string(), "to": to.digest().to_string(),
        "added": only(What::Added), "removed": only(What::Removed), "changed": changed.collect::<Value>(),
    })
}
