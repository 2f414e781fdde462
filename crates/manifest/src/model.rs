//! The model both formats are loaded into.

use serde_json::{Map, Value};

use crate::id::{DeviceId, InputId, MountId, SourceId, StageId};
use crate::path::Path;
use crate::problem::Problem;

/// The format a manifest was written in; the oldest form counts as format 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    One,
    Two,
}

/// The class of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModuleKind {
    Stage,
    Assembler,
    Source,
    Input,
    Device,
    Mount,
}

/// Where the references of an input lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// To items of the manifest's sources.
    Source,
    /// To trees of pipelines.
    Pipeline,
}

/// A manifest, everything in the order it was written in.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub version: Version,
    /// Only the oldest form has one.
    pub name: Option<String>,
    /// In format 1: the build pipelines, deepest first, then `tree`, then `assembler`, if there is one.
    pub pipelines: Vec<Pipeline>,
    pub sources: Vec<Source>,
    /// Format 2's annotations, as they stand.
    pub metadata: Option<Value>,
    /// What works, but hardly as meant.
    pub warnings: Vec<Problem>,
}

/// Stages that make one tree.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub name: String,
    /// The pipeline whose tree the stages run on, as an index into [`Manifest::pipelines`]. `None`: the host, also where
    /// the build pipeline has no stages. Format 2 may name one by id that stands later.
    pub build: Option<usize>,
    /// The runner its stages are started with. `None`: the host's.
    pub runner: Option<String>,
    /// The runner that was written here. In format 1 that is the one in this pipeline's `build`; in format 2 it says what
    /// runs in this pipeline's tree, and so takes effect in the pipelines that build on it.
    pub declared_runner: Option<String>,
    /// Seconds since 1970 that the times of its files are clamped to.
    pub source_epoch: Option<i64>,
    pub stages: Vec<Stage>,
}

/// One step of a pipeline.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Of its module.
    pub name: String,
    /// `Stage` or `Assembler`.
    pub kind: ModuleKind,
    pub id: StageId,
    /// The stage before it, or the tree that the oldest form starts from.
    pub base: Option<StageId>,
    /// The id of its pipeline's build pipeline.
    pub build: Option<StageId>,
    pub source_epoch: Option<i64>,
    pub options: Map<String, Value>,
    pub inputs: Vec<Input>,
    /// Parents first.
    pub devices: Vec<Device>,
    pub mounts: Vec<Mount>,
    /// Where it is in the JSON, for messages.
    pub path: Path,
}

/// Files or trees a stage is given.
#[derive(Debug, Clone)]
pub struct Input {
    /// Starts with an ASCII letter; may have a `/` in it, but no `..` between slashes.
    pub name: String,
    /// Of its module, such as `org.osbuild.files`.
    pub kind: String,
    pub origin: Origin,
    /// Items and their options: checksums and the like of source items; ids of pipelines, `null` for one without stages.
    pub references: Vec<(String, Value)>,
    pub options: Map<String, Value>,
    pub id: InputId,
    /// Of origin `Pipeline`: for each reference the pipeline, as an index into [`Manifest::pipelines`].
    pub pipelines: Vec<usize>,
}

/// A block device a stage is given.
#[derive(Debug, Clone)]
pub struct Device {
    pub name: String,
    /// Of its module, such as `org.osbuild.loopback`.
    pub kind: String,
    /// An index into [`Stage::devices`], less than its own.
    pub parent: Option<usize>,
    pub options: Map<String, Value>,
    pub id: DeviceId,
}

/// A file system a stage is given.
#[derive(Debug, Clone)]
pub struct Mount {
    pub name: String,
    /// Of its module, such as `org.osbuild.ext4`.
    pub kind: String,
    /// An index into [`Stage::devices`].
    pub device: Option<usize>,
    pub target: Option<String>,
    /// Of the device, from 1.
    pub partition: Option<u64>,
    pub options: Map<String, Value>,
    pub id: MountId,
}

/// Where items come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Of its module; `org.osbuild.files` is called `org.osbuild.curl` here.
    pub kind: String,
    /// Checksums and how to get them.
    pub items: Vec<(String, Value)>,
    /// In format 1 the whole source.
    pub options: Value,
    pub id: SourceId,
    /// Where it is in the JSON, for messages.
    pub path: Path,
}

impl Version {
    /// The format of a manifest, by its `version`; `None` for one that nobody knows.
    pub fn of(manifest: &Value) -> Option<Self> {
        match manifest.get("version") {
            None => Some(Self::One),
            Some(version) => match version.as_str() {
                Some("1") => Some(Self::One),
                Some("2") => Some(Self::Two),
                _ => None,
            },
        }
    }
}

impl ModuleKind {
    /// The name of its folder in a library directory.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Stage => "stages",
            Self::Assembler => "assemblers",
            Self::Source => "sources",
            Self::Input => "inputs",
            Self::Device => "devices",
            Self::Mount => "mounts",
        }
    }

    /// What it is called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Assembler => "assembler",
            Self::Source => "source",
            Self::Input => "input",
            Self::Device => "device",
            Self::Mount => "mount",
        }
    }

    /// The field's name of the class, as in the titles of schemas.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Stage => "Stage",
            Self::Assembler => "Assembler",
            Self::Source => "Source",
            Self::Input => "Input",
            Self::Device => "Device",
            Self::Mount => "Mount",
        }
    }
}

impl Origin {
    /// As it is written in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "org.osbuild.source",
            Self::Pipeline => "org.osbuild.pipeline",
        }
    }

    /// The origin called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Source, Self::Pipeline]
            .into_iter()
            .find(|origin| origin.name() == name)
    }
}

impl Manifest {
    /// The pipeline called `name`.
    pub fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.name == name)
    }
}

impl Pipeline {
    /// The id of its last stage; `None` where it has none.
    pub fn id(&self) -> Option<&StageId> {
        self.stages.last().map(|stage| &stage.id)
    }
}
