//! Write a unit file for systemd.
//!
//! A service, mount, socket or swap unit, in `/usr/lib/systemd` or `/etc/systemd`, which the tree must have; what was in
//! the file is replaced. The section must fit the name: a `.mount` has a `Mount` section, and so on. Lists make one line
//! for each item.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder};
use crate::units::{self, Install, Unit, UnitPath, Variable};

/// Options of `org.osbuild.systemd.unit.create`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the unit.
    #[schemars(regex(pattern = r"^[\w:.\\-]+[@]{0,1}[\w:.\\-]*\.(service|mount|socket|swap)$"))]
    filename: String,
    /// Whether it is the system's or the users'.
    #[serde(default, rename = "unit-type")]
    unit_type: UnitType,
    /// Below which directory it lies.
    #[serde(default, rename = "unit-path")]
    unit_path: UnitPath,
    /// The sections.
    config: InOrder<Config>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum UnitType {
    #[default]
    System,
    Global,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schemars(extend("oneOf" = [
    {
        "required": ["Unit", "Service", "Install"],
        "not": {"anyOf": [{"required": ["Mount"]}, {"required": ["Socket"]}, {"required": ["Swap"]}]},
    },
    {
        "required": ["Socket"],
        "not": {"anyOf": [{"required": ["Mount"]}, {"required": ["Service"]}, {"required": ["Swap"]}]},
    },
    {
        "required": ["Mount"],
        "not": {"anyOf": [{"required": ["Service"]}, {"required": ["Socket"]}, {"required": ["Swap"]}]},
    },
    {
        "required": ["Swap"],
        "not": {"anyOf": [{"required": ["Service"]}, {"required": ["Socket"]}, {"required": ["Mount"]}]},
    },
]))]
#[allow(dead_code)] // all members are written in the manifest's order
struct Config {
    /// The section `Unit`: systemd.unit(5).
    unit: Option<Unit>,
    /// The section `Service`: systemd.service(5).
    service: Option<Service>,
    /// The section `Mount`: systemd.mount(5).
    mount: Option<Mount>,
    /// The section `Socket`: systemd.socket(5).
    socket: Option<Socket>,
    /// The section `Swap`: systemd.swap(5).
    swap: Option<Swap>,
    /// The section `Install`: systemd.unit(5).
    install: Option<Install>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Service {
    /// When it counts as started.
    #[schemars(extend("enum" = [
        "simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle",
    ]))]
    r#type: Option<String>,
    /// Whether it counts as running when its processes have ended.
    remain_after_exit: Option<bool>,
    /// Commands that run before it.
    exec_start_pre: Option<Vec<String>>,
    /// Commands that run when it has stopped.
    exec_stop_post: Option<Vec<String>>,
    /// The commands of the service.
    exec_start: Option<Vec<String>>,
    /// Environment variables.
    environment: Option<Vec<Variable>>,
    /// Files of environment variables.
    environment_file: Option<Vec<String>>,
    /// Where its output goes.
    #[schemars(regex(pattern = concat!(
        r"^(inherit|null|tty|journal|kmsg|journal\+console|kmsg\+console|file:\/(?!\.\.)((?!\/\.\.\/).)+|",
        r"append:\/(?!\.\.)((?!\/\.\.\/).)+|truncate:\/(?!\.\.)((?!\/\.\.\/).)+|socket|fd:.+)$",
    )))]
    standard_output: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Mount {
    /// What is mounted.
    what: String,
    /// The mount point, which the unit's name must follow.
    r#where: String,
    /// Type of the file system.
    r#type: Option<String>,
    /// Mount options.
    options: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Socket {
    /// The service that is started.
    service: Option<String>,
    /// Address of a stream socket.
    listen_stream: Option<String>,
    /// Address of a datagram socket.
    listen_datagram: Option<String>,
    /// Address of a sequential packet socket.
    listen_sequential_packet: Option<String>,
    /// Path of a named pipe.
    listen_fifo: Option<String>,
    /// Its owner.
    socket_user: Option<String>,
    /// Its group.
    socket_group: Option<String>,
    /// Its mode, in octal digits.
    socket_mode: Option<String>,
    /// Mode of the directories that are made for it.
    directory_mode: Option<String>,
    /// Whether each connection gets a process of its own.
    accept: Option<bool>,
    /// Directories that are made in `/run`.
    runtime_directory: Option<String>,
    /// Whether it is removed when the unit stops.
    remove_on_stop: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code)]
struct Swap {
    /// The device or file.
    what: String,
    /// Its priority.
    priority: Option<i64>,
    /// Options for swapon(8).
    options: Option<String>,
    /// How long swapon(8) may take.
    timeout_sec: Option<String>,
}

module::stage! {
    file: "systemd_unit_create.rs", name: "org.osbuild.systemd.unit.create", options: Options, run: run,
    libraries: [common::SOURCE, units::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let name = &options.filename;
    let sections = [
        (".service", "Service"),
        (".mount", "Mount"),
        (".socket", "Socket"),
        (".swap", "Swap"),
    ];
    units::check_name(name, &options.config, &sections)?;
    let root = match options.unit_path {
        UnitPath::Usr => "usr/lib/systemd",
        UnitPath::Etc => "etc/systemd",
    };
    let dir = match options.unit_type {
        UnitType::System => "system",
        UnitType::Global => "user",
    };
    let path = format!("{root}/{dir}/{name}");
    Ok(args.tree.write(path, units::text(&options.config)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_make_lines() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/systemd/user").unwrap();
        let config = json!({
            "Unit": {"Description": "x", "After": ["a.target", "b.target"], "DefaultDependencies": false},
            "Service": {"Type": "oneshot", "ExecStart": ["/bin/a", "/bin/a"],
                        "Environment": [{"key": "A", "value": "1 2"}]},
            "Install": {"WantedBy": ["c.target"]},
        });
        let options = json!({
            "filename": "x@.service", "config": config, "unit-path": "etc", "unit-type": "global",
        });
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            tree.read_text("etc/systemd/user/x@.service").unwrap(),
            "[Unit]\nDescription=x\nAfter=a.target\nAfter=b.target\nDefaultDependencies=False\n\n\
             [Service]\nType=oneshot\nExecStart=/bin/a\nExecStart=/bin/a\nEnvironment=\"A=1 2\"\n\n\
             [Install]\nWantedBy=c.target\n\n"
        );
    }
}
