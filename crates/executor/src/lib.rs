//! Runs manifests: fetch the sources, build the pipelines stage by stage, keep every tree, hand out what was asked for.
//!
//! ```text
//! manifest ── which pipelines ── sources ── for each stage: seen before? else box, run, commit ── export
//! ```
//!
//! [`Build`] is one run. It knows no stage: modules come from a [`Library`], sources through [`Fetch`], and what
//! happens is told to a [`Monitor`].

mod ahead;
mod attached;
mod bill;
mod bounds;
mod build;
mod cancel;
mod deeds;
mod devices;
mod documents;
mod driver;
mod elf;
mod embedded;
mod error;
mod export;
mod foreign;
mod inputs;
mod keep;
mod library;
mod machine;
mod monitor;
mod mounts;
mod output;
mod own;
mod plan;
mod profile;
mod pump;
mod report;
mod runner;
mod saw;
mod services;
mod stage;
mod stand_in;

pub use bill::{bill_of_materials, sha256_of_files, system_of};
pub use bounds::Boundary;
pub use build::Build;
pub use cancel::Cancel;
pub use devices::own::{any_lasts as devices_last, open_no_more as open_no_devices};
pub use documents::{recall, result_document};
pub use error::{Error, Result};
pub use export::Destination;
pub use library::{Library, ModuleInfo, SourceInfo};
pub use machine::run_guest;
pub use monitor::{Monitor, StageOutcome};
pub use plan::{Plan, PlannedStage, plan};
pub use profile::Profile;
pub use report::{
    BoundaryReport, Failure, How, KeptLimits, PipelineReport, Report, SourceItem, SourceReport, StageReport,
};
pub use sandbox::{Guard, Limits, Root, as_caller, enter};
pub use services::{abandon, any_runs as services_run};
pub use stand_in::{Program, StandIn};
pub use vm::guest::NAME as GUEST;

/// Fetches the items of a source into the store; given by the command, which links the sources.
pub trait Fetch: Sync {
    /// Fetches what is not there yet. Failures are in the report, item by item.
    fn fetch(&self, source: &manifest::Source, cache: &std::path::Path, cancel: &Cancel) -> SourceReport;
}
