//! JSONSeqMonitor: a record for everything that happens (RFC 7464: byte 0x1E, a JSON object, a newline), in the shape
//! that callers of the Python osbuild read.
//!
//! A context is told in full once, later by its id alone. Pipelines that the store has whole are not announced, as
//! there; they only count as done.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use executor::{Monitor, Report, SourceReport, StageReport};
use manifest::{Manifest, Pipeline, Source, Stage, python_text};
use serde_json::{Map, Value, json};
use sources::Events;

use super::Show;
use super::context::{self, Context, Named};
use super::out::Out;
use crate::fetcher::Progress;

/// Longer outputs, in characters, lose their beginning; longer source results their items.
const LIMIT: usize = 31_000;

const MONITOR: &str = "osbuild.monitor";
const COMMAND: &str = "osbuild.main_cli";
const DEFAULT: &str = "org.osbuild";

#[derive(Debug)]
pub(crate) struct JsonSeq {
    out: Out,
    manifest: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    context: Context,
    /// The ids of the contexts that were told in full.
    told: HashSet<String>,
    total: usize,
    done: usize,
    inner: Option<Inner>,
    options: Map<String, Value>,
    /// Whether the pipeline at hand was announced.
    announced: bool,
}

/// How far a pipeline is.
#[derive(Debug)]
struct Inner {
    pipeline: String,
    total: usize,
    done: usize,
}

/// What only some records have.
#[derive(Debug, Default)]
struct Extra {
    result: Value,
    options: Map<String, Value>,
    duration: Option<f64>,
    metadata: Option<Value>,
}

impl JsonSeq {
    /// `manifest` is its name as it was given.
    pub(crate) fn new(out: Out, manifest: &str) -> Self {
        Self {
            out,
            manifest: manifest.to_owned(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, state: &mut State, message: &str, origin: &str) {
        self.record(state, message, origin, Extra::default());
    }

    /// Writes one record; the caller's hold on the state keeps records whole.
    fn record(&self, state: &mut State, message: &str, origin: &str, extra: Extra) {
        let mut context = state.context.document(Some(origin));
        let id = context::id(&context);
        if state.told.insert(id.clone()) {
            context["id"] = id.into();
        } else {
            context = json!({"id": id});
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |now| now.as_secs_f64());
        let some = |map: Map<String, Value>| (!map.is_empty()).then_some(map);
        let metadata = extra
            .metadata
            .filter(|value| value.as_object().is_none_or(|map| !map.is_empty()));
        let record = without_nothing(json!({
            "message": message,
            "result": extra.result,
            "context": context,
            "progress": state.progress(),
            "options": some(extra.options),
            "timestamp": now,
            "duration": extra.duration,
            "metadata": metadata,
        }));
        self.out.write(&format!("\u{1e}{}\n", python_text(&record)));
    }

    fn announce(&self, state: &mut State, pipeline: &Pipeline) {
        if std::mem::replace(&mut state.announced, true) {
            return;
        }
        state.context.pipeline = Named::new(&pipeline.name, pipeline.id().map(ToString::to_string));
        state.inner = (!pipeline.stages.is_empty()).then(|| Inner {
            pipeline: pipeline.name.clone(),
            total: pipeline.stages.len(),
            done: 0,
        });
        self.say(state, &format!("Starting pipeline {}", pipeline.name), MONITOR);
    }

    fn finished(&self, state: &mut State, name: &str) {
        state.done += 1;
        state.inner = None;
        self.say(state, &format!("Finished pipeline {name}"), MONITOR);
    }

    /// `seconds` is what a stage took.
    fn module_finished(
        &self,
        state: &mut State,
        name: &str,
        result: Value,
        (seconds, metadata): (Option<f64>, Option<Value>),
    ) {
        if let Some(inner) = &mut state.inner {
            inner.done += 1;
        }
        let extra = Extra {
            result,
            options: state.options.clone(),
            duration: seconds,
            metadata,
        };
        self.record(state, &format!("Finished module {name}"), MONITOR, extra);
    }
}

impl State {
    fn progress(&self) -> Value {
        let mut progress = json!({"name": "pipelines/sources", "total": self.total, "done": self.done});
        if let Some(inner) = &self.inner {
            progress["progress"] = json!({"name": format!("pipeline: {}", inner.pipeline), "total": inner.total, "done": inner.done});
        }
        progress
    }
}

impl Monitor for JsonSeq {
    fn begin(&self, sources: usize, pipelines: &[&Pipeline]) {
        let mut state = self.state();
        state.total = sources + pipelines.len();
        self.say(&mut state, &format!("starting {}", self.manifest), COMMAND);
    }

    fn source_begin(&self, source: &Source) {
        let mut state = self.state();
        let name = format!("source {}", source.kind);
        state.context.pipeline = Named::new(&name, Some(source.id.to_string()));
        self.say(&mut state, &format!("Starting pipeline {name}"), MONITOR);
    }

    fn source_finish(&self, source: &Source, report: &SourceReport) {
        let mut state = self.state();
        let name = format!("source {}", source.kind);
        self.module_finished(&mut state, &name, source_result(report), (None, None));
        self.finished(&mut state, &source.kind);
    }

    fn pipeline_begin(&self, _: &Pipeline) {
        self.state().announced = false;
    }

    fn stage_begin(&self, pipeline: &Pipeline, stage: &Stage, _: &str) {
        let mut state = self.state();
        self.announce(&mut state, pipeline);
        state.context.stage = Named::new(&stage.name, Some(stage.id.to_string()));
        state.options = stage.options.clone();
        self.say(&mut state, &format!("Starting module {}", stage.name), MONITOR);
    }

    fn service_output(&self, text: &str) {
        self.say(&mut self.state(), text, DEFAULT);
    }

    fn stage_output(&self, stage: &Stage, text: &str) {
        if !text.is_empty() {
            self.say(&mut self.state(), text, &format!("stages/{}", stage.name));
        }
    }

    fn stage_finish(&self, _: &Pipeline, stage: &Stage, report: &StageReport) {
        let result = json!({
            "name": report.name, "id": report.id, "success": report.success, "output": end_of(&report.output),
            "error": report.error,
        });
        let of_stage = (Some(report.seconds), report.metadata.clone());
        self.module_finished(&mut self.state(), &stage.name, result, of_stage);
    }

    fn pipeline_finish(&self, pipeline: &Pipeline) {
        let mut state = self.state();
        if pipeline.stages.is_empty() {
            self.announce(&mut state, pipeline);
        }
        if state.announced {
            self.finished(&mut state, &pipeline.name);
        } else {
            state.done += 1;
        }
    }

    fn finish(&self, success: bool) {
        let end = if success {
            "finished successfully"
        } else {
            "failed"
        };
        self.say(
            &mut self.state(),
            &format!("manifest {} {end}\n", self.manifest),
            COMMAND,
        );
    }
}

impl Events for JsonSeq {
    fn begin(&self, _: usize, _: usize, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn done(&self, _: &str) {}

    fn retry(&self, message: &str) {
        self.say(&mut self.state(), &format!("{message}\n"), DEFAULT);
    }
}

impl Show for JsonSeq {
    fn close(&self, _: &Manifest, _: &Report) {}

    fn monitor(&self) -> &dyn Monitor {
        self
    }

    fn progress(&self) -> Progress<'_> {
        self
    }
}

/// The last [`LIMIT`] characters, after a line that says how much is missing.
fn end_of(output: &str) -> String {
    let hidden = output.chars().count().saturating_sub(LIMIT);
    if hidden == 0 {
        return output.to_owned();
    }
    let rest: String = output.chars().skip(hidden).collect();
    format!("[...{hidden} bytes hidden...]\n{rest}")
}

fn source_result(report: &SourceReport) -> Value {
    let kind = &report.kind;
    let failed = report.items.iter().rev().find(|item| !item.error.is_empty());
    let output = match failed {
        None => format!("source {kind} finished successfully"),
        Some(item) => format!("source {kind} finished unsuccessfully: {}", item.error),
    };
    let items = report.items.iter().map(|item| {
        json!({
            "success": item.error.is_empty(),
            "metadata": {"checksum": item.name, "cached": item.cached},
            "error": item.error,
        })
    });
    let mut result = json!({
        "name": format!("source {kind}"), "source_type": kind, "success": report.success(), "output": output,
        "results": items.collect::<Value>(),
    });
    if python_text(&result).len() > LIMIT {
        result["results"] = json!([]);
    }
    result
}

/// Drops nulls and empty texts from objects and the objects in them; lists stay as they are.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map
                .into_iter()
                .filter(|(_, value)| !value.is_null() && value.as_str() != Some(""));
            kept.map(|(key, value)| (key, without_nothing(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::out::tests::{memory, written};
    use super::*;

    #[test]
    fn a_long_output_keeps_its_end() {
        assert_eq!(end_of("ä"), "ä");
        let long = "ä".repeat(LIMIT) + "end";
        let short = end_of(&long);
        assert!(short.starts_with("[...3 bytes hidden...]\nä") && short.ends_with("end"));
        assert_eq!(short.chars().count(), LIMIT + "[...3 bytes hidden...]\n".len());
    }

    #[test]
    fn nothing_is_left_out_but_empty_lists_and_objects_stay() {
        let value = json!({"a": null, "b": "", "c": {"d": null, "e": []}, "f": [null, {"g": ""}], "h": false, "i": 0});
        assert_eq!(
            python_text(&without_nothing(value)),
            r#"{"c": {"e": []}, "f": [null, {"g": ""}], "h": false, "i": 0}"#
        );
    }

    #[test]
    fn a_run_as_the_python_osbuild_tells_it() {
        let value = json!({
            "version": "2",
            "pipelines": [
                {"name": "empty"},
                {"name": "tree", "stages": [{"type": "org.osbuild.noop", "options": {"n": 1}}, {"type": "org.osbuild.error"}]},
            ],
            "sources": {"org.osbuild.inline": {"items": {}}},
        });
        let manifest = manifest::load(&value, None).unwrap();
        let (out, fd) = memory();
        let monitor = JsonSeq::new(out, "m.json");
        let all: Vec<&Pipeline> = manifest.pipelines.iter().collect();
        Monitor::begin(&monitor, 1, &all);
        monitor.source_begin(&manifest.sources[0]);
        let fetched = SourceReport {
            kind: "org.osbuild.inline".into(),
            items: Vec::new(),
        };
        monitor.source_finish(&manifest.sources[0], &fetched);
        monitor.pipeline_begin(all[0]);
        monitor.pipeline_finish(all[0]);
        monitor.pipeline_begin(all[1]);
        let stage = &all[1].stages[0];
        monitor.stage_begin(all[1], stage, "");
        monitor.stage_output(stage, "text\n");
        let report = StageReport {
            name: stage.name.clone(),
            id: stage.id.to_string(),
            assembler: false,
            ran: true,
            success: true,
            output: "text\n".into(),
            error: None,
            metadata: Some(json!({"x": 1})),
            seconds: 0.0,
            size: None,
        };
        monitor.stage_finish(all[1], stage, &report);
        monitor.pipeline_finish(all[1]);
        Monitor::finish(&monitor, true);
        let text = written(fd);
        let records: Vec<Value> = text
            .split('\u{1e}')
            .skip(1)
            .map(|record| serde_json::from_str(record.strip_suffix('\n').unwrap()).unwrap())
            .collect();
        let messages: Vec<&str> = records.iter().map(|r| r["message"].as_str().unwrap()).collect();
        assert_eq!(
            messages,
            [
                "starting m.json",
                "Starting pipeline source org.osbuild.inline",
                "Finished module source org.osbuild.inline",
                "Finished pipeline org.osbuild.inline",
                "Starting pipeline empty",
                "Finished pipeline empty",
                "Starting pipeline tree",
                "Starting module org.osbuild.noop",
                "text\n",
                "Finished module org.osbuild.noop",
                "Finished pipeline tree",
                "manifest m.json finished successfully\n",
            ]
        );
        let done: Vec<&Value> = records.iter().map(|r| &r["progress"]["done"]).collect();
        assert_eq!(json!(done), json!([0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 3, 3]));
        assert_eq!(
            records[0]["context"],
            json!({"origin": COMMAND, "pipeline": {"stage": {}},
                "id": "ede22f789202b9017bd24089276f57f559018c593914632c80206be12f5b3bb0"})
        );
        // told in full once
        assert_eq!(records[9]["context"], json!({"id": records[7]["context"]["id"]}));
        assert_eq!(
            records[8]["progress"]["progress"],
            json!({"name": "pipeline: tree", "total": 2, "done": 0})
        );
        let last = &records[9];
        let keys: Vec<&String> = last.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "message",
                "result",
                "context",
                "progress",
                "options",
                "timestamp",
                "duration",
                "metadata"
            ]
        );
        assert_eq!(
            last["result"],
            json!({"name": stage.name, "id": stage.id.to_string(), "success": true, "output": "text\n"})
        );
        assert!(records[2].get("duration").is_none() && records[5]["progress"].get("progress").is_none());
        assert_eq!(records[2]["result"]["results"], json!([]));
    }
}
