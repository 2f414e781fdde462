//! `osbuild plan`: what would run and why.

use std::collections::BTreeSet;
use std::process::ExitCode;

use executor::{Library, Plan, PlannedStage, plan};
use manifest::{Manifest, python_text};
use serde_json::{Value, json};
use store::Store;

use crate::cli::Options;
use crate::words::{bytes, count, short};
use crate::{exports, fail, fetcher, load, print, run};

/// Prints the plan for `--export`, or for the pipeline that the manifest is about. Nothing is run, fetched or made.
pub(crate) fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => ExitCode::from(code),
    }
}

fn try_run(options: &Options) -> Result<(), u8> {
    let fatal = |error: executor::Error| match options.json {
        true => run::fatal(options, &error.to_string()),
        false => {
            fail::fatal(&error);
            fail::FAILED
        }
    };
    let entered = executor::enter();
    let name = load::name(options);
    let text = load::read(&options.manifest)
        .map_err(|e| run::fatal(options, &format!("cannot read {name}: {e}")))?;
    let library = Library::open(&options.libdir, fetcher::known, Some(&options.store))
        .map_err(fatal)?
        .with_stand_ins(&options.stand_in);
    let manifest = load::load(options, &text, &library)?;
    let mut wanted: Vec<usize> = exports::resolve(options, &manifest)?
        .into_iter()
        .map(|(_, index)| index)
        .collect();
    if wanted.is_empty() {
        wanted.extend(exports::result_of(&manifest));
    }
    if options.store.exists() {
        entered.map_err(|e| fatal(e.into()))?;
    }
    let store = Store::look(&options.store).map_err(|e| fatal(e.into()))?;
    let plan = plan(&manifest, &library, store.as_ref(), &wanted).map_err(fatal)?;
    let free = free(&options.store);
    if options.json {
        print::stdout(&format!("{}\n", python_text(&document(&plan, free))));
    } else {
        print::stdout(&table(&name, &manifest, &plan, free));
    }
    Ok(())
}

fn table(name: &str, manifest: &Manifest, plan: &Plan, free: Option<u64>) -> String {
    let cached = plan.stages.iter().filter(|stage| stage.why.is_none()).count();
    let mut out = format!(
        "{name}  {} · {} · {cached} cached",
        pipelines_of(manifest, plan),
        count(plan.stages.len(), "stage")
    );
    if plan.items > 0 {
        out.push_str(&format!(
            " · {} from sources, {} already here",
            count(plan.items, "item"),
            plan.items_here
        ));
    }
    out.push('\n');
    let width = |of: fn(&PlannedStage) -> &str| {
        let widths = plan.stages.iter().map(|stage| of(stage).chars().count());
        widths.max().unwrap_or_default()
    };
    let (pipelines, names) = (width(|stage| &stage.pipeline), width(|stage| &stage.name));
    for stage in &plan.stages {
        let verdict = match &stage.why {
            None => {
                let size = stage.size.map(bytes).unwrap_or_default();
                format!("cached  {size:>8}  {}", short(&stage.id))
            }
            Some(why) => format!("runs    {why}"),
        };
        out.push_str(&format!(
            "{:<pipelines$}  {:<names$}  {verdict}\n",
            stage.pipeline, stage.name
        ));
    }
    let known: u64 = running(plan).filter_map(|stage| stage.size).max().unwrap_or(0);
    let known = (known > 0).then(|| format!("the largest tree took {} last time", bytes(known)));
    let free = free.map(|free| format!("{} free", bytes(free)));
    let space: Vec<String> = known.into_iter().chain(free).collect();
    if running(plan).next().is_some() && !space.is_empty() {
        out.push_str(&format!("space: {}\n", space.join(", ")));
    }
    out
}

/// How many pipelines the stages are of, and of how many there are: one that is not asked for is not planned.
fn pipelines_of(manifest: &Manifest, plan: &Plan) -> String {
    let planned: BTreeSet<&str> = plan.stages.iter().map(|stage| stage.pipeline.as_str()).collect();
    let empty = manifest
        .pipelines
        .iter()
        .filter(|pipeline| pipeline.stages.is_empty())
        .count();
    match manifest.pipelines.len() {
        all if planned.len() + empty < all => format!("{} of {}", planned.len(), count(all, "pipeline")),
        all => count(all.max(planned.len()), "pipeline"),
    }
}

fn document(plan: &Plan, free: Option<u64>) -> Value {
    let stage = |stage: &PlannedStage| {
        json!({
            "pipeline": stage.pipeline, "type": stage.name, "id": stage.id, "cached": stage.why.is_none(),
            "why": stage.why, "size": stage.size,
        })
    };
    json!({
        "stages": plan.stages.iter().map(stage).collect::<Value>(),
        "sources": {"items": plan.items, "cached": plan.items_here},
        "free": free,
    })
}

fn running(plan: &Plan) -> impl Iterator<Item = &PlannedStage> {
    plan.stages.iter().filter(|stage| stage.why.is_some())
}

/// The free bytes where the store is, or would be.
pub(crate) fn free(store: &std::path::Path) -> Option<u64> {
    let absolute = std::path::absolute(store).ok()?;
    let there = absolute.ancestors().find(|path| path.exists())?;
    let fs = rustix::fs::statvfs(there).ok()?;
    Some(fs.f_bavail * fs.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_why() {
        let stage = |pipeline: &str, name: &str, why: Option<&str>| PlannedStage {
            pipeline: pipeline.into(),
            name: name.into(),
            id: "a37c07ce9a4b0000".into(),
            why: why.map(str::to_owned),
            size: Some(412_000_000),
        };
        let plan = Plan {
            stages: vec![
                stage("os", "org.osbuild.deb", None),
                stage("image", "org.osbuild.qcow2", Some("not in the store")),
            ],
            items: 2,
            items_here: 1,
        };
        let manifest = manifest::load(&json!({"version": "2"}), None).unwrap();
        assert_eq!(
            table("m.json", &manifest, &plan, Some(60_000_000_000)),
            "m.json  2 pipelines · 2 stages · 1 cached · 2 items from sources, 1 already here\n\
             os     org.osbuild.deb    cached    412 MB  a37c07ce9a4b\n\
             image  org.osbuild.qcow2  runs    not in the store\n\
             space: the largest tree took 412 MB last time, 60 GB free\n"
        );
    }
}
