//! LogMonitor: plain lines, in the form of the Python osbuild's.

use std::sync::{Mutex, PoisonError};

use executor::{Library, Monitor, Report, StageReport};
use manifest::{Manifest, Pipeline, Source, Stage, python_text};
use serde_json::Value;
use sources::Events;

use super::Show;
use super::local_time::local_time;
use super::out::Out;
use crate::fetcher::Progress;

pub(crate) struct Log<'a> {
    out: Out,
    name: String,
    manifest: &'a Manifest,
    library: &'a Library,
    /// The pipelines that run in a virtual machine.
    in_vm: &'a [String],
    /// Bold and its end; empty where they would not be understood.
    bold: [&'static str; 2],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the pipeline at hand was announced: one that the store has whole is not.
    announced: bool,
}

impl<'a> Log<'a> {
    /// `name` is the manifest's, as it was given.
    pub(crate) fn new(
        out: Out,
        name: &str,
        manifest: &'a Manifest,
        library: &'a Library,
        in_vm: &'a [String],
    ) -> Self {
        use std::io::IsTerminal;
        let colour = out.is_terminal() && std::io::stdout().is_terminal();
        Self {
            out,
            name: name.to_owned(),
            manifest,
            library,
            in_vm,
            bold: if colour {
                ["\x1b[0m\x1b[1m", "\x1b[0m"]
            } else {
                ["", ""]
            },
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, pipeline: &Pipeline) {
        if std::mem::replace(&mut self.state().announced, true) {
            return;
        }
        let [bold, end] = self.bold;
        let id = |pipeline: &Pipeline| pipeline.id().map(ToString::to_string);
        let build = pipeline
            .build
            .and_then(|index| id(&self.manifest.pipelines[index]));
        let (runner, file) = self.library.runner(pipeline.runner.as_deref());
        let epoch = pipeline
            .source_epoch
            .map(|epoch| format!("  source-epoch: {} [{epoch}]\n", local_time(epoch)))
            .unwrap_or_default();
        let place = if self.in_vm.contains(&pipeline.name) {
            " in vm"
        } else {
            ""
        };
        self.out.write(&format!(
            "{bold}Pipeline {}: {}{end}\nBuild\n  root: {}\n  runner: {runner} ({file}){place}\n{epoch}",
            pipeline.name,
            id(pipeline).as_deref().unwrap_or("None"),
            build.as_deref().unwrap_or("<host>"),
        ));
    }
}

impl Monitor for Log<'_> {
    fn begin(&self, _: usize, _: &[&Pipeline]) {
        self.out.write(&format!("starting {}\n", self.name));
    }

    fn source_begin(&self, source: &Source) {
        let [bold, end] = self.bold;
        self.out.write(&format!(
            "{bold}Pipeline source {}: {}{end}\nBuild\n  root: <host>\n",
            source.kind, source.id
        ));
    }

    fn pipeline_begin(&self, _: &Pipeline) {
        self.state().announced = false;
    }

    fn stage_begin(&self, pipeline: &Pipeline, stage: &Stage, _: &str) {
        self.announce(pipeline);
        let [bold, end] = self.bold;
        let options = indented(&Value::Object(stage.options.clone()), 0);
        self.out
            .write(&format!("{bold}{}: {}{end} {options}\n", stage.name, stage.id));
    }

    fn service_output(&self, text: &str) {
        self.out.write(text);
    }

    fn stage_output(&self, _: &Stage, text: &str) {
        self.out.write(text);
    }

    fn stage_finish(&self, _: &Pipeline, _: &Stage, report: &StageReport) {
        self.out
            .write(&format!("\n⏱  Duration: {:.2}s\n", report.seconds));
    }

    fn pipeline_finish(&self, pipeline: &Pipeline) {
        if pipeline.stages.is_empty() {
            self.announce(pipeline);
        }
    }

    fn finish(&self, success: bool) {
        let end = if success {
            "finished successfully"
        } else {
            "failed"
        };
        self.out.write(&format!("manifest {} {end}\n", self.name));
    }
}

impl Events for Log<'_> {
    fn begin(&self, _: usize, _: usize, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn done(&self, _: &str) {}

    fn retry(&self, message: &str) {
        self.out.write(&format!("{message}\n"));
    }
}

impl Show for Log<'_> {
    fn close(&self, _: &Manifest, _: &Report) {}

    fn monitor(&self) -> &dyn Monitor {
        self
    }

    fn progress(&self) -> Progress<'_> {
        self
    }
}

/// JSON as Python writes it with an indent of two.
fn indented(value: &Value, depth: usize) -> String {
    let inner = "  ".repeat(depth + 1);
    let (open, close, items): (_, _, Vec<String>) = match value {
        Value::Array(list) if !list.is_empty() => {
            let items = list
                .iter()
                .map(|item| format!("{inner}{}", indented(item, depth + 1)));
            ('[', ']', items.collect())
        }
        Value::Object(map) if !map.is_empty() => {
            let member = |(key, item): (&String, &Value)| {
                let key = python_text(&Value::String(key.clone()));
                format!("{inner}{key}: {}", indented(item, depth + 1))
            };
            ('{', '}', map.iter().map(member).collect())
        }
        other => return python_text(other),
    };
    format!("{open}\n{}\n{}{close}", items.join(",\n"), "  ".repeat(depth))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::indented;

    #[test]
    fn options_look_as_python_writes_them() {
        assert_eq!(indented(&json!({}), 0), "{}");
        assert_eq!(
            indented(&json!({"a": [], "b": [1, {"c": "ä"}]}), 0),
            "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {\n      \"c\": \"\\u00e4\"\n    }\n  ]\n}"
        );
    }
}
