//! What a build would do, found out without doing any of it.

use std::collections::BTreeSet;

use manifest::{Manifest, Path, Pipeline, Stage};
use serde_json::{Value, json};
use store::{Object, Record, Store};

use crate::build::{needed, saw_of};
use crate::devices::sides::{self, Made, Side};
use crate::{Library, Result, saw};

/// How many places that differ are named.
const NAMED: usize = 3;

/// What a build would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// All stages of the pipelines that are needed, in the order in which they would be come to.
    pub stages: Vec<PlannedStage>,
    /// How many items the sources have, and how many of them are in the store.
    pub items: usize,
    pub items_here: usize,
}

/// A stage and what would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStage {
    pub pipeline: String,
    pub name: String,
    pub id: String,
    /// Why it would run; `None`: its tree is in the store.
    pub why: Option<String>,
    /// Bytes of the files in its tree; of one that would run those of its last run, if there was one.
    pub size: Option<u64>,
}

/// Where a pipeline stands.
#[derive(Debug, Default, Clone)]
struct State {
    /// Its finished tree, where that is known.
    tree: Option<Object>,
    /// Whether one of its stages would run.
    runs: bool,
}

/// Looks what building the pipelines `wanted` (indices) would do. Without a `store` nothing is cached.
///
/// A stage behind one that runs may turn out to be cached after all, should that one make the tree it made before.
///
/// # Errors
/// The store cannot be read, or a module is missing.
pub fn plan(manifest: &Manifest, library: &Library, store: Option<&Store>, wanted: &[usize]) -> Result<Plan> {
    let mut plan = Plan::default();
    for (checksum, _) in manifest.sources.iter().flat_map(|source| &source.items) {
        let file = store.map(|store| store.sources().join("org.osbuild.files").join(checksum));
        plan.items += 1;
        plan.items_here += usize::from(file.is_some_and(|file| file.exists()));
    }
    let looker = Looker {
        manifest,
        library,
        records: store.map(Store::records).unwrap_or_default(),
    };
    let mut states = vec![State::default(); manifest.pipelines.len()];
    for index in needed(manifest, wanted) {
        let pipeline = &manifest.pipelines[index];
        let mut runs = None;
        let mut tree = base(pipeline, store)?.map(Made::plain);
        for stage in &pipeline.stages {
            let known = match store {
                Some(store) => known(store, stage, pipeline.id() == Some(&stage.id))?,
                None => None,
            };
            let why = match &runs {
                Some(before) => Some(format!("after {before}")),
                None => looker.why(pipeline, stage, tree.as_ref(), &states, known.as_ref())?,
            };
            let made = known.map(|(made, _)| made);
            plan.stages.push(PlannedStage {
                pipeline: pipeline.name.clone(),
                name: stage.name.clone(),
                id: stage.id.to_string(),
                size: made
                    .as_ref()
                    .and_then(|made| Some(made.object.index().ok()?.total_size())),
                why: why.clone(),
            });
            if why.is_some() {
                runs = Some(stage.name.clone());
            }
            tree = made;
        }
        states[index] = State {
            tree: tree.filter(|_| runs.is_none()).map(|made| made.object),
            runs: runs.is_some(),
        };
    }
    Ok(plan)
}

/// The tree that the oldest format's `base` names, where it is there.
fn base(pipeline: &Pipeline, store: Option<&Store>) -> Result<Option<Object>> {
    let id = pipeline.stages.first().and_then(|stage| stage.base.as_ref());
    match id.zip(store) {
        Some((id, store)) => Ok(store.lookup(&id.to_string())?.map(|(object, _)| object)),
        None => Ok(None),
    }
}

/// What the store has of a stage, which as a pipeline's `last` must have its disks whole.
fn known(store: &Store, stage: &Stage, last: bool) -> Result<Option<(Made, Record)>> {
    let Some((object, record)) = store.lookup(&stage.id.to_string())? else {
        return Ok(None);
    };
    let made = Made::recall(store, object, &record.about)?;
    Ok(made
        .filter(|made| !(last && made.is_behind()))
        .map(|made| (made, record)))
}

/// What is asked again and again.
struct Looker<'a> {
    manifest: &'a Manifest,
    library: &'a Library,
    records: Vec<Record>,
}

impl Looker<'_> {
    /// Why a stage, on a tree that is there, would run.
    fn why(
        &self,
        pipeline: &Pipeline,
        stage: &Stage,
        tree: Option<&Made>,
        states: &[State],
        known: Option<&(Made, Record)>,
    ) -> Result<Option<String>> {
        let inputs = stage.inputs.iter().flat_map(|input| &input.pipelines);
        let changed = pipeline
            .build
            .iter()
            .chain(inputs)
            .find(|index| states[**index].runs);
        if let Some(index) = changed {
            return Ok(Some(format!(
                "tree of {} changes",
                self.manifest.pipelines[*index].name
            )));
        }
        let module = self.library.stage_module(stage)?;
        let objects: Vec<Option<Object>> = states.iter().map(|state| state.tree.clone()).collect();
        let build = pipeline.build.and_then(|index| objects[index].as_ref());
        let seen = saw_of(pipeline, stage, &module, tree, build, &objects);
        Ok(match known {
            Some((_, record)) => (record.saw != seen).then(|| saw::difference(&record.saw, &seen)),
            None => Some(nearest(stage, &seen, &self.records)),
        })
    }
}

/// What a record keeps of a stage for [`plan`].
pub(crate) fn about(stage: &Stage, sides: &[Side]) -> Value {
    let mut about = json!({"stage": stage.name, "options": stage.options});
    if !sides.is_empty() {
        about["filesystems"] = sides::to_json(sides);
    }
    about
}

/// What tells a stage that never ran from one that did: of the same name, on the same tree, with the options that differ
/// least.
fn nearest(stage: &Stage, seen: &Value, records: &[Record]) -> String {
    let options = Value::Object(stage.options.clone());
    let like = records
        .iter()
        .filter(|record| record.about["stage"] == stage.name && record.saw["base"] == seen["base"]);
    let nearest = like
        .map(|record| (differences(&record.about["options"], &options), record))
        .min_by_key(|(paths, _)| paths.len());
    match nearest {
        None => "not in the store".to_owned(),
        Some((paths, record)) if paths.is_empty() => match saw::difference(&record.saw, seen) {
            difference if difference.is_empty() => "not in the store".to_owned(),
            difference => difference,
        },
        Some((paths, _)) => {
            let more = match paths.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
            format!("options changed at {}{more}", named.join(", "))
        }
    }
}

/// The places at which two documents differ.
fn differences(before: &Value, now: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    let mut todo = vec![(Path::root(), before, now)];
    while let Some((path, before, now)) = todo.pop() {
        match (before, now) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                let both =
                    |key: &&String| (path.key(key.as_str()), &before[key.as_str()], &now[key.as_str()]);
                todo.extend(keys.iter().rev().map(both));
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let pairs = a.iter().zip(b).enumerate().rev();
                todo.extend(pairs.map(|(index, (a, b))| (path.index(index), a, b)));
            }
            (a, b) if a == b => {}
            _ => found.push(path),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_their_places() {
        let before =
            json!({"users": {"ada": {"groups": ["a"], "uid": 1}, "bob": {}}, "list": [1, 2], "same": [null]});
        let now = json!({"users": {"ada": {"groups": ["a", "b"], "uid": 1}}, "list": [1, 3], "same": [null]});
        let places: Vec<String> = differences(&before, &now)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(places, [".list[1]", ".users.ada.groups", ".users.bob"]);
        assert!(differences(&now, &now).is_empty());
    }
}
