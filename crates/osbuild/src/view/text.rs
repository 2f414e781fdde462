//! Plain lines, in the form of the Python osbuild's LogMonitor and final report.

use executor::{Monitor, Report, SourceReport, StageReport};
use manifest::{Manifest, Pipeline, Source, Stage};
use sources::Events;

use super::Show;
use crate::fetcher::Progress;
use crate::print::stdout;

pub(crate) struct Text<'a> {
    name: String,
    manifest: &'a Manifest,
}

impl<'a> Text<'a> {
    pub(crate) fn new(name: &str, manifest: &'a Manifest) -> Self {
        Self {
            name: name.to_owned(),
            manifest,
        }
    }
}

impl Monitor for Text<'_> {
    fn begin(&self, _: usize, _: &[&Pipeline]) {
        stdout(&format!("starting {}\n", self.name));
    }

    fn source_begin(&self, source: &Source) {
        stdout(&format!(
            "Pipeline source {}: {}\nBuild\n  root: <host>\n",
            source.kind, source.id
        ));
    }

    fn source_finish(&self, _: &Source, report: &SourceReport) {
        let here = report.items.iter().filter(|item| item.cached).count();
        stdout(&format!(
            "{} items, {here} of them already here\n",
            report.items.len()
        ));
    }

    fn pipeline_begin(&self, pipeline: &Pipeline) {
        let build = pipeline
            .build
            .and_then(|index| self.manifest.pipelines[index].id());
        let root = build.map_or_else(|| "<host>".to_owned(), ToString::to_string);
        let id = pipeline
            .id()
            .map_or_else(|| "None".to_owned(), ToString::to_string);
        let epoch = pipeline
            .source_epoch
            .map(|epoch| format!("  source-epoch: {epoch}\n"))
            .unwrap_or_default();
        stdout(&format!(
            "Pipeline {}: {id}\nBuild\n  root: {root}\n{epoch}",
            pipeline.name
        ));
    }

    fn stage_begin(&self, _: &Pipeline, stage: &Stage, _: &str) {
        let options = match stage.options.is_empty() {
            true => "{}".to_owned(),
            false => serde_json::to_string_pretty(&stage.options).unwrap_or_default(),
        };
        stdout(&format!("{}: {} {options}\n", stage.name, stage.id));
    }

    fn stage_output(&self, _: &Stage, text: &str) {
        stdout(text);
    }

    fn stage_finish(&self, _: &Pipeline, _: &Stage, report: &StageReport) {
        stdout(&format!("\n⏱  Duration: {:.2}s\n", report.seconds));
    }

    fn finish(&self, success: bool) {
        let end = if success {
            "finished successfully"
        } else {
            "failed"
        };
        stdout(&format!("manifest {} {end}\n", self.name));
    }
}

impl Events for Text<'_> {
    fn begin(&self, _: usize, _: usize, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn done(&self, _: &str) {}

    fn retry(&self, message: &str) {
        stdout(&format!("{message}\n"));
    }
}

impl Show for Text<'_> {
    fn close(&self, manifest: &Manifest, report: &Report) {
        if !report.success() {
            stdout("Failed\n");
            return;
        }
        let mut out = "\nPipelines\n".to_owned();
        for pipeline in &manifest.pipelines {
            let id = pipeline
                .id()
                .map_or_else(|| "None".to_owned(), ToString::to_string);
            out.push_str(&format!("  {:<10}\t{id}\n", format!("{}:", pipeline.name)));
        }
        stdout(&out);
    }

    fn monitor(&self) -> &dyn Monitor {
        self
    }

    fn progress(&self) -> Progress<'_> {
        self
    }
}
