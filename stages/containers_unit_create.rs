//! Write a unit of Podman: a container, volume or network that systemd starts.
//!
//! `config` becomes `/usr/share/containers/systemd/FILENAME`, or `/etc/containers/systemd/FILENAME`; see
//! podman-systemd.unit(5). A list makes a line for each of its items. The directory comes with Podman.

use module::{Args, Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, InOrder, Ini, plain};

/// The longest name of a file.
const LONGEST: usize = 255;

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

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum UnitPath {
    #[default]
    Usr,
    Etc,
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
struct Unit {
    description: Option<String>,
    wants: Option<Vec<String>>,
    after: Option<Vec<String>>,
    before: Option<Vec<String>>,
    requires: Option<Vec<String>>,
    condition_path_exists: Option<Vec<String>>,
    condition_path_is_directory: Option<Vec<String>>,
    default_dependencies: Option<bool>,
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

/// An environment variable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Variable {
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*"))]
    key: Option<String>,
    value: Option<String>,
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Install {
    wanted_by: Option<Vec<String>>,
    required_by: Option<Vec<String>>,
}

module::stage! {
    file: "containers_unit_create.rs", name: "org.osbuild.containers.unit.create", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    check(options)?;
    let mut ini = Ini::default();
    for (name, settings) in options.config.iter() {
        let section = ini.section(name);
        for (key, value) in settings.as_object().into_iter().flatten() {
            match value {
                Value::Array(items) => {
                    for item in items {
                        section.add(key, line(item).with_context(|| format!("config: {name}: {key}"))?);
                    }
                }
                value => section.set(key, line(value)?),
            }
        }
    }
    let dir = match options.unit_path {
        UnitPath::Usr => "usr/share/containers/systemd",
        UnitPath::Etc => "etc/containers/systemd",
    };
    let path = format!("{dir}/{}", options.filename);
    Ok(args.tree.write(path, ini.text("="))?)
}

fn check(options: &Options) -> Result<()> {
    let name = &options.filename;
    ensure!(
        name.len() <= LONGEST,
        "`{name}`: a name has at most {LONGEST} bytes"
    );
    for (ending, section) in [
        (".container", "Container"),
        (".volume", "Volume"),
        (".network", "Network"),
    ] {
        ensure!(
            !name.ends_with(ending) || options.config.get(section).is_some(),
            "`{name}` needs a section `{section}`"
        );
    }
    Ok(())
}

/// A value as it stands behind the `=`; an environment variable in quotes.
fn line(value: &Value) -> Result<String> {
    match value {
        Value::Object(variable) => {
            let part = |name: &str| variable.get(name).and_then(Value::as_str);
            match (part("key"), part("value")) {
                (Some(key), Some(value)) => Ok(format!("\"{key}={value}\"")),
                _ => bail!("an environment variable needs `key` and `value`"),
            }
        }
        value => Ok(plain(value, ("False", "True"), " ")),
    }
}
