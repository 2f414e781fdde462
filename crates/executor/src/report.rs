//! What a build did.

use std::path::PathBuf;

use serde_json::Value;
use store::Object;

/// Everything a build did, failures included.
#[derive(Debug, Default)]
pub struct Report {
    pub sources: Vec<SourceReport>,
    /// In manifest order; those that were not wanted are there without stages.
    pub pipelines: Vec<PipelineReport>,
    pub failure: Option<Failure>,
    pub boundary: BoundaryReport,
}

/// What boxes were held by.
#[derive(Debug, Clone, Default)]
pub struct BoundaryReport {
    /// `None`: no box was made.
    pub limits: Option<KeptLimits>,
    /// The parts that some box had to do without.
    pub missing: Vec<sandbox::Guard>,
    /// Who root of the boxes was outside of them; `None`: nothing was to be built.
    pub root: Option<sandbox::Root>,
}

/// Limits that hold.
#[derive(Debug, Clone)]
pub struct KeptLimits {
    /// Whether a control group keeps them, or a resource limit of each box's user.
    pub group: bool,
    pub limits: sandbox::Limits,
}

/// What became of a source.
#[derive(Debug, Clone)]
pub struct SourceReport {
    /// Its type.
    pub kind: String,
    pub items: Vec<SourceItem>,
}

/// What became of one item of a source.
#[derive(Debug, Clone)]
pub struct SourceItem {
    pub name: String,
    pub cached: bool,
    /// Empty when it is there.
    pub error: String,
}

/// What became of a pipeline.
#[derive(Debug, Default)]
pub struct PipelineReport {
    pub name: String,
    pub id: Option<String>,
    /// The stages that this run came to, cached or run.
    pub stages: Vec<StageReport>,
    /// The finished tree.
    pub object: Option<Object>,
}

/// What became of a stage.
#[derive(Debug, Clone)]
pub struct StageReport {
    pub name: String,
    pub id: String,
    pub assembler: bool,
    /// Whether it ran in this build.
    pub ran: bool,
    pub success: bool,
    pub output: String,
    /// What it reported as an exception.
    pub error: Option<Value>,
    pub metadata: Option<Value>,
    /// How long it took: in this build, or for one that is `ran: false` in the one that made its tree.
    pub seconds: f64,
    /// Bytes on disk that its tree takes beside the one below; `None` without a tree.
    pub size: Option<u64>,
}

/// Why the build did not succeed.
#[derive(Debug, Clone)]
pub enum Failure {
    Source {
        kind: String,
        item: String,
        error: String,
        /// How many other items failed as well.
        others: usize,
    },
    Stage {
        name: String,
        id: String,
        /// Its place in the manifest.
        path: manifest::Path,
        how: How,
        seconds: f64,
        /// Its last lines.
        tail: Vec<String>,
        /// The file with its whole output.
        log: PathBuf,
    },
}

/// How a stage failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    Exited(i32),
    Killed(i32),
    TimedOut(u64),
    /// The box could not be made, or the tree not be kept.
    Other(String),
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Killed(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut(seconds) => write!(f, "stopped: over its limit of {seconds} s"),
            Self::Other(message) => write!(f, "{message}"),
        }
    }
}

impl SourceReport {
    /// Whether every item is there.
    pub fn success(&self) -> bool {
        self.items.iter().all(|item| item.error.is_empty())
    }
}

impl Report {
    /// Whether nothing failed.
    pub fn success(&self) -> bool {
        self.failure.is_none()
    }
}
