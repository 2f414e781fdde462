//! Change a unit of systemd by a drop-in file.
//!
//! Writes `/usr/lib/systemd/system/UNIT.d/DROPIN`, or below `user` for the users' units; what was in it is replaced.

use module::{Args, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder};
use crate::units::{self, LONGEST_NAME, Variable};

/// Options of `org.osbuild.systemd.unit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the unit.
    #[schemars(regex(pattern = r"^[\w:.\\-]+[@]{0,1}[\w:.\\-]*\.(service|timer)$"))]
    unit: String,
    /// Name of the drop-in file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.conf$"))]
    dropin: String,
    /// The sections.
    config: InOrder<Config>,
    /// Whether the unit is the system's or the users'.
    #[serde(default, rename = "unit-type")]
    unit_type: UnitType,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum UnitType {
    #[default]
    System,
    Global,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)] // all members are written in the manifest's order
struct Config {
    /// The section `Unit`.
    unit: Option<Unit>,
    /// The section `Service`.
    service: Option<Service>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Unit {
    /// A path that must be there, or with `!` must not.
    condition_path_exists: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Service {
    /// Environment variables.
    environment: Option<Environment>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Environment {
    Text(String),
    Variables(Vec<Variable>),
}

module::stage! {
    file: "systemd_unit.rs", name: "org.osbuild.systemd.unit", options: Options, run: run,
    libraries: [common::SOURCE, units::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (unit, dropin) = (&args.options.unit, &args.options.dropin);
    ensure!(
        unit.len() + ".d".len() <= LONGEST_NAME,
        "{unit}: the name of a drop-in directory has at most {LONGEST_NAME} bytes"
    );
    let dir = match args.options.unit_type {
        UnitType::System => "system",
        UnitType::Global => "user",
    };
    let path = format!("usr/lib/systemd/{dir}/{unit}.d/{dropin}");
    common::write_below(&args.tree, &path, &units::text(&args.options.config)?)
}
