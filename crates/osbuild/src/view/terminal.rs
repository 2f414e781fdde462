//! A terminal: one bar for the sources, one for each pipeline, and the last line that a running stage printed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use executor::{Monitor, Report, SourceReport, StageReport};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use manifest::{Manifest, Pipeline, Source, Stage};
use sources::Events;

use super::Show;
use crate::fail::clock;
use crate::fetcher::Progress;
use crate::print::stdout;

/// How much of a stage's last line is shown, in characters, and how much of one without an end is kept, in bytes.
const LINE: usize = 400;
const PARTIAL: usize = 64 << 10;

/// Width of the column of names.
const NAMES: usize = 10;

pub(crate) struct Terminal {
    name: String,
    begun: Instant,
    bars: MultiProgress,
    state: Mutex<State>,
    items: AtomicUsize,
    done: AtomicUsize,
    bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    sources: Option<ProgressBar>,
    pipelines: Vec<(String, ProgressBar)>,
    line: Option<ProgressBar>,
    ran: usize,
    cached: usize,
    slowest: Option<(String, f64)>,
    /// What the running stages printed since their last line break, by their ids.
    partial: HashMap<String, String>,
}

impl Terminal {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            begun: Instant::now(),
            bars: MultiProgress::new(),
            state: Mutex::default(),
            items: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bar(&self, name: &str, length: usize) -> ProgressBar {
        let bar = ProgressBar::new(length.max(1) as u64).with_style(style("{prefix} {bar:20.█.░}  {msg}"));
        let bar = self.bars.add(bar);
        bar.set_prefix(format!("{name:<NAMES$}"));
        bar
    }

    fn pipeline_bar(&self, name: &str) -> Option<ProgressBar> {
        self.state()
            .pipelines
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, bar)| bar.clone())
    }

    fn show_transfer(&self) {
        if let Some(bar) = &self.state().sources {
            let (done, total) = (
                self.done.load(Ordering::Relaxed),
                self.items.load(Ordering::Relaxed),
            );
            let bytes = self.bytes.load(Ordering::Relaxed);
            let rate = bytes as f64 / self.begun.elapsed().as_secs_f64().max(0.1) / 1e6;
            bar.set_length(total.max(1) as u64);
            bar.set_position(done as u64);
            let rate = if bytes > 0 {
                format!(" · {rate:.0} MB/s")
            } else {
                String::new()
            };
            bar.set_message(format!("{done}/{total}{rate}"));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Where a stage stands in its pipeline, from 1, and its short name.
fn place(pipeline: &Pipeline, stage: &Stage) -> (usize, String) {
    let at = pipeline
        .stages
        .iter()
        .position(|other| other.path == stage.path)
        .map_or(0, |index| index + 1);
    (
        at,
        format!("stage {at}/{}  {}", pipeline.stages.len(), stage.name),
    )
}

impl Monitor for Terminal {
    fn takes_turns(&self) -> bool {
        false
    }

    fn begin(&self, sources: usize, pipelines: &[&Pipeline]) {
        let stages: usize = pipelines.iter().map(|pipeline| pipeline.stages.len()).sum();
        let _ = self.bars.println(format!(
            "{}  {} pipelines · {stages} stages",
            self.name,
            pipelines.len()
        ));
        let source_bar = (sources > 0).then(|| self.bar("sources", 0));
        let bars = pipelines.iter().map(|pipeline| {
            let bar = self.bar(&pipeline.name, pipeline.stages.len());
            bar.set_message("waits");
            (pipeline.name.clone(), bar)
        });
        let bars = bars.collect();
        let line = self
            .bars
            .add(ProgressBar::new(1).with_style(style("           {wide_msg}")));
        *self.state() = State {
            sources: source_bar,
            pipelines: bars,
            line: Some(line),
            ..State::default()
        };
    }

    fn source_finish(&self, _: &Source, _: &SourceReport) {
        self.show_transfer();
    }

    fn stage_cached(&self, pipeline: &Pipeline, stage: &Stage) {
        self.state().cached += 1;
        if let Some(bar) = self.pipeline_bar(&pipeline.name) {
            bar.set_position(place(pipeline, stage).0 as u64);
            bar.set_message("cached");
        }
    }

    fn stage_begin(&self, pipeline: &Pipeline, stage: &Stage, _: &str) {
        if let Some(bar) = self.pipeline_bar(&pipeline.name) {
            let (at, text) = place(pipeline, stage);
            bar.set_style(style("{prefix} {bar:20.█.░}  {msg}  {elapsed}"));
            bar.set_position(at.saturating_sub(1) as u64);
            bar.reset_elapsed();
            bar.set_message(text);
            bar.enable_steady_tick(Duration::from_millis(250));
        }
    }

    fn stage_output(&self, stage: &Stage, text: &str) {
        let mut state = self.state();
        let partial = state.partial.entry(stage.id.to_string()).or_default();
        partial.push_str(text);
        // a carriage return begins a line anew: what a progress display wrote before it is gone
        let ends = ['\n', '\r'];
        let whole = partial
            .trim_end_matches(ends)
            .rsplit(ends)
            .next()
            .unwrap_or_default();
        let whole: String = whole.trim_end().chars().take(LINE).collect();
        if let Some(at) = partial.rfind(ends) {
            partial.drain(..=at);
        }
        if partial.len() > PARTIAL {
            partial.clear();
        }
        if let Some(line) = state.line.as_ref().filter(|_| !whole.is_empty()) {
            // what a stage prints must not steer the terminal
            line.set_message(whole.replace(|c: char| c.is_control(), " "));
        }
    }

    fn stage_finish(&self, pipeline: &Pipeline, stage: &Stage, report: &StageReport) {
        let mut state = self.state();
        state.ran += 1;
        state.partial.remove(&stage.id.to_string());
        if state
            .slowest
            .as_ref()
            .is_none_or(|(_, seconds)| *seconds < report.seconds)
        {
            state.slowest = Some((report.name.clone(), report.seconds));
        }
        drop(state);
        if let Some(bar) = self.pipeline_bar(&pipeline.name).filter(|_| report.success) {
            bar.set_position(place(pipeline, stage).0 as u64);
        }
    }

    fn pipeline_finish(&self, pipeline: &Pipeline) {
        if let Some(bar) = self.pipeline_bar(&pipeline.name) {
            bar.disable_steady_tick();
            bar.set_style(style("{prefix} {bar:20.█.░}  {msg}"));
            if bar.position() >= pipeline.stages.len() as u64 {
                bar.set_message("done");
            }
        }
    }

    fn finish(&self, _: bool) {
        let mut state = self.state();
        if let Some(line) = state.line.take() {
            line.finish_and_clear();
        }
        state.pipelines.iter().for_each(|(_, bar)| bar.abandon());
        if let Some(bar) = &state.sources {
            bar.abandon();
        }
    }
}

impl Events for Terminal {
    fn begin(&self, total: usize, cached: usize, _: Option<u64>) {
        self.items.fetch_add(total, Ordering::Relaxed);
        self.done.fetch_add(cached, Ordering::Relaxed);
        self.show_transfer();
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
        self.show_transfer();
    }

    fn done(&self, _: &str) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.show_transfer();
    }

    fn retry(&self, message: &str) {
        let _ = self.bars.println(message);
    }
}

impl Show for Terminal {
    fn close(&self, _: &Manifest, report: &Report) {
        let state = self.state();
        if report.success() {
            let slowest = state.slowest.as_ref().filter(|(_, seconds)| *seconds >= 1.0);
            let slowest = slowest
                .map(|(name, s)| format!(" · longest {name} {}", clock(*s)))
                .unwrap_or_default();
            let time = clock(self.begun.elapsed().as_secs_f64());
            stdout(&format!(
                "done in {time} · {} ran · {} cached{slowest}\n",
                state.ran, state.cached
            ));
        }
    }

    fn monitor(&self) -> &dyn Monitor {
        self
    }

    fn progress(&self) -> Progress<'_> {
        self
    }
}
