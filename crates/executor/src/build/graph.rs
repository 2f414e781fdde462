//! Which pipelines are built, in which order, and which has to wait for which.

use manifest::{Manifest, Pipeline};

/// The pipelines to build: those wanted, before each one its build pipeline and those whose trees it reads. As in the
/// Python osbuild, what later stages read is built before what earlier ones do.
pub(crate) fn needed(manifest: &Manifest, wanted: &[usize]) -> Vec<usize> {
    let mut seen = vec![false; manifest.pipelines.len()];
    let mut order = Vec::new();
    // a pipeline comes twice: to look at what it needs, then to take its place behind that
    let mut todo: Vec<(usize, bool)> = wanted.iter().rev().map(|index| (*index, false)).collect();
    while let Some((index, ready)) = todo.pop() {
        if ready {
            order.push(index);
        } else if !std::mem::replace(&mut seen[index], true) {
            let pipeline = &manifest.pipelines[index];
            todo.push((index, true));
            let inputs = pipeline
                .stages
                .iter()
                .rev()
                .flat_map(|stage| &stage.inputs)
                .flat_map(|input| &input.pipelines);
            let needs: Vec<usize> = pipeline.build.into_iter().chain(inputs.copied()).collect();
            todo.extend(needs.into_iter().rev().map(|index| (index, false)));
        }
    }
    order
}

/// Whether the pipeline `index` has the id of one that comes before it in `order`: that one is built, this one is then found.
pub(super) fn is_twin(manifest: &Manifest, order: &[usize], index: usize) -> bool {
    let id = |index: usize| manifest.pipelines[index].id();
    let before = order.iter().take_while(|other| **other != index);
    id(index).is_some() && before.into_iter().any(|other| id(*other) == id(index))
}

/// For each pipeline of `order` the places in it of those that must be done before it begins: those whose trees it sees, and
/// those that have a stage of its own. So what runs and what is then found does not depend on who is quicker.
pub(super) fn waits(manifest: &Manifest, order: &[usize]) -> Vec<Vec<usize>> {
    let of = |index: usize| &manifest.pipelines[index];
    let needs = |place: usize| {
        let pipeline = of(order[place]);
        let before = 0..place;
        before
            .filter(|before| sees(pipeline, order[*before]) || shares(pipeline, of(order[*before])))
            .collect()
    };
    (0..order.len()).map(needs).collect()
}

/// Whether a pipeline sees the tree of the pipeline `other`.
fn sees(pipeline: &Pipeline, other: usize) -> bool {
    let mut inputs = pipeline.stages.iter().flat_map(|stage| &stage.inputs);
    pipeline.build == Some(other) || inputs.any(|input| input.pipelines.contains(&other))
}

/// Whether two pipelines have a stage of the same id, or one begins on the tree of such a stage.
fn shares(pipeline: &Pipeline, other: &Pipeline) -> bool {
    pipeline.stages.iter().any(|stage| {
        let mut stages = other.stages.iter();
        stages.any(|before| before.id == stage.id || stage.base.as_ref() == Some(&before.id))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_waits_for_what_it_sees_or_shares() {
        let noop = |n: u32| json!({"type": "org.osbuild.noop", "options": {"n": n}});
        let reads = |pipeline: &str| {
            json!({"type": "org.osbuild.noop", "inputs": {"tree": {
                "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [format!("name:{pipeline}")],
            }}})
        };
        let value = json!({"version": "2", "pipelines": [
            {"name": "build", "stages": [noop(0)]},
            {"name": "a", "build": "name:build", "stages": [noop(1), noop(2)]},
            {"name": "b", "build": "name:build", "stages": [noop(3)]},
            {"name": "like-a", "build": "name:build", "stages": [noop(1), noop(4)]},
            {"name": "image", "stages": [reads("b"), reads("a")]},
            {"name": "alone", "stages": [noop(5)]},
        ]});
        let manifest = manifest::load(&value, None).unwrap();
        let order = needed(&manifest, &[4, 3, 5]);
        let names: Vec<&str> = order
            .iter()
            .map(|index| manifest.pipelines[*index].name.as_str())
            .collect();
        assert_eq!(names, ["build", "a", "b", "image", "like-a", "alone"]);
        let none = Vec::<usize>::new();
        assert_eq!(
            waits(&manifest, &order),
            [none.clone(), vec![0], vec![0], vec![1, 2], vec![0, 1], none]
        );
    }
}
