//! Write a unit of Podman: a container, volume or network that systemd starts.
//!
//! `config` becomes `/usr/share/containers/systemd/FILENAME`, or `/etc/containers/systemd/FILENAME`; see
//! podman-systemd.unit(5). A list makes a line for each of its items. The directory comes with Podman.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder};
use crate::units::{self, Install, Unit, UnitPath, Variable};

/// Options of `org.osbuild.containers.unit.create`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the unit; its ending says which section must be there.
    #[schemars(regex(pattern = r"^[\w:.\\-]+[@]{0,1}[\w:.\\-]*\.(container|volume|network)$"))]
    filename: String,
    /// Whose unit it is: the distribution's or the machine's.
    #[serde(default, rename = "unit-path")]
    unit_path: UnitPath,
    /// The sections.
    config: InOrder<Config>,
}

/// A container needs `Unit`, `Container` and `Install`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schemars(extend("oneOf" = [
    {
        "required": ["Unit", "Container", "Install"],
        "not": {"anyOf": [{"required": ["Volume"]}, {"required": ["Network"]}]},
    },
    {"required": ["Volume"], "not": {"anyOf": [{"required": ["Container"]}, {"required": ["Network"]}]}},
    {"required": ["Network"], "not": {"anyOf": [{"required": ["Container"]}, {"required": ["Volume"]}]}},
]))]
#[allow(dead_code)]
struct Config {
    unit: Option<Unit>,
    service: Option<Service>,
    container: Option<Container>,
    volume: Option<Volume>,
    network: Option<Network>,
    install: Option<Install>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Service {
    restart: Option<Restart>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Restart {
    No,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnWatchdog,
    OnAbort,
    Always,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Container {
    environment: Option<Vec<Variable>>,
    image: String,
    exec: Option<String>,
    volume: Option<Vec<String>>,
    user: Option<String>,
    group: Option<String>,
    add_device: Option<String>,
    network: Option<String>,
    working_dir: Option<String>,
    security_label_file_type: Option<String>,
    security_label_type: Option<String>,
    tmpfs: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Volume {
    volume_name: Option<String>,
    driver: Option<String>,
    image: Option<String>,
    user: Option<String>,
    group: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Network {
    gateway: Option<bool>,
    #[serde(rename = "DNS")]
    dns: Option<bool>,
    #[serde(rename = "IPRange")]
    ip_range: Option<bool>,
    subnet: Option<bool>,
    driver: Option<bool>,
    network_name: Option<bool>,
}

module::stage! {
    file: "containers_unit_create.rs", name: "org.osbuild.containers.unit.create", options: Options, run: run,
    libraries: [common::SOURCE, units::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let sections = [
        (".container", "Container"),
        (".volume", "Volume"),
        (".network", "Network"),
    ];
    units::check_name(&options.filename, &options.config, &sections)?;
    let dir = match options.unit_path {
        UnitPath::Usr => "usr/share/containers/systemd",
        UnitPath::Etc => "etc/containers/systemd",
    };
    let path = format!("{dir}/{}", options.filename);
    Ok(args.tree.write(path, units::text(&options.config)?)?)
}
