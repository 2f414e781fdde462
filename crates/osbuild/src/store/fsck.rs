//! `osbuild store fsck`.

use std::io::IsTerminal;

use serde_json::{Value, json};
use store::{Check, Damage, Damaged, Repair, Store};

use super::{StoreOptions, Told, Trouble, look, open};
use crate::words::{count, short};
use crate::{fail, print};

pub(super) fn run(options: &StoreOptions, deep: bool, repair: bool) -> Result<Told, Trouble> {
    let store = match repair {
        true => open(options)?,
        false => look(options)?,
    };
    let shown = !options.json && std::io::stderr().is_terminal();
    let check = store.check(deep, &|done, total| {
        if shown {
            print::stderr(&format!("\rchecking tree {}/{total}\u{1b}[K", done + 1));
        }
    })?;
    if shown {
        print::stderr("\r\u{1b}[K");
    }
    let repairs = match repair {
        true => repair_all(&store, &check)?,
        false => check.damage.iter().map(|_| None).collect(),
    };
    Ok(Told {
        text: text(&check, &repairs, deep),
        document: document(&check, &repairs, deep),
        code: if check.damage.is_empty() { 0 } else { fail::FAILED },
    })
}

/// What became of each damage; `None`: nothing was done.
type Repairs = Vec<Option<Repair>>;

fn repair_all(store: &Store, check: &Check) -> Result<Repairs, Trouble> {
    let repairs = check.damage.iter().map(|damage| store.repair(damage).map(Some));
    Ok(repairs.collect::<store::Result<_>>()?)
}

fn text(check: &Check, repairs: &Repairs, deep: bool) -> String {
    let mut out = String::new();
    for (damage, repair) in check.damage.iter().zip(repairs) {
        out.push_str(&format!(
            "damaged: {}: {}\n",
            what(damage),
            print::tame(&damage.reason)
        ));
        if let Some(repair) = repair {
            out.push_str(&format!("         {}\n", done(*repair)));
        }
    }
    for (tree, why) in &check.unchecked {
        out.push_str(&format!(
            "not checked: tree {}: {why}\n",
            short(&tree.to_string())
        ));
    }
    if !check.waiting.is_empty() {
        let lie = if check.waiting.len() == 1 { "waits" } else { "wait" };
        out.push_str(&format!(
            "{} {lie} for what was damaged below to be built again\n",
            count(check.waiting.len(), "tree")
        ));
    }
    let how = match deep {
        true => format!(
            " and {}, all of their contents",
            count(check.downloads, "download")
        ),
        false => ", without reading their contents (`--deep` does)".to_owned(),
    };
    let sum = format!(
        "{}, {}{how}",
        count(check.stages, "stage"),
        count(check.trees, "tree")
    );
    let verdict = match check.damage.len() {
        0 => "no damage".to_owned(),
        number if repairs.iter().any(Option::is_none) => {
            format!("{number} damaged; `--repair` takes it out of the way")
        }
        number => format!("{number} damaged, out of the way now: the next build makes it again"),
    };
    out.push_str(&format!("{sum}: {verdict}\n"));
    out
}

fn what(damage: &Damage) -> String {
    match &damage.what {
        Damaged::Tree(tree) => {
            let ids: Vec<&str> = damage.stages.iter().map(|id| short(id)).collect();
            let of = match ids.as_slice() {
                [] => String::new(),
                ids => format!(" of stage {}", ids.join(", ")),
            };
            format!("tree {}{of}", short(&tree.to_string()))
        }
        Damaged::Stage(id) => format!("stage {}", short(id)),
        Damaged::Download(name) => format!("download {name}"),
    }
}

fn done(repair: Repair) -> &'static str {
    match repair {
        Repair::Quarantined => "moved to damaged/ in the store; `osbuild store gc` removes it",
        Repair::Removed => "removed",
        Repair::Disabled => "in use, so it stays; nobody else will be given it",
        Repair::LeftToBuilder => "a builder makes it again just now",
    }
}

fn document(check: &Check, repairs: &Repairs, deep: bool) -> Value {
    let damage = check.damage.iter().zip(repairs).map(|(damage, repair)| {
        let (kind, name) = match &damage.what {
            Damaged::Tree(tree) => ("tree", tree.to_string()),
            Damaged::Stage(id) => ("stage", id.clone()),
            Damaged::Download(name) => ("download", name.clone()),
        };
        json!({
            "kind": kind, "name": name, "reason": damage.reason, "stages": damage.stages,
            "repair": repair.map(|repair| match repair {
                Repair::Quarantined => "quarantined",
                Repair::Removed => "removed",
                Repair::Disabled => "disabled",
                Repair::LeftToBuilder => "left to a builder",
            }),
        })
    });
    let unchecked = check
        .unchecked
        .iter()
        .map(|(tree, why)| json!({"tree": tree.to_string(), "reason": why}));
    json!({
        "clean": check.damage.is_empty(),
        "deep": deep,
        "damage": damage.collect::<Value>(),
        "waiting": check.waiting.iter().map(ToString::to_string).collect::<Value>(),
        "unchecked": unchecked.collect::<Value>(),
        "checked": {"stages": check.stages, "trees": check.trees, "downloads": check.downloads},
    })
}
