//! Configure Google Cloud's guest agent.
//!
//! Sets options in `/etc/default/instance_configs.cfg`, or for the scope `distro` in
//! `/etc/default/instance_configs.cfg.distro`; all else in the file stays. Where there is no file, one is made. Without
//! `config_scope` it is the instance's.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, InOrder, IniFile, plain};

/// Options of `org.osbuild.gcp.guest-agent.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whose file it is: the distribution's or the instance's.
    config_scope: Option<Scope>,
    /// Section → settings.
    config: InOrder<Config>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Distro,
    Instance,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Config {
    accounts: Option<Accounts>,
    daemons: Option<Daemons>,
    instance_setup: Option<InstanceSetup>,
    ip_forwarding: Option<IpForwarding>,
    metadata_scripts: Option<MetadataScripts>,
    network_interfaces: Option<NetworkInterfaces>,
}

/// The users that are made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Accounts {
    /// Whether a user that goes loses what is theirs.
    deprovision_remove: Option<bool>,
    /// Groups of new users.
    groups: Option<Vec<Value>>,
    useradd_cmd: Option<String>,
    userdel_cmd: Option<String>,
    usermod_cmd: Option<String>,
    gpasswd_add_cmd: Option<String>,
    gpasswd_remove_cmd: Option<String>,
    groupadd_cmd: Option<String>,
}

/// The daemons that run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Daemons {
    accounts_daemon: Option<bool>,
    clock_skew_daemon: Option<bool>,
    network_daemon: Option<bool>,
}

/// What is set up at the first boot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct InstanceSetup {
    /// The kinds of host keys to make.
    host_key_types: Option<Vec<Value>>,
    optimize_local_ssd: Option<bool>,
    network_enabled: Option<bool>,
    set_boto_config: Option<bool>,
    set_host_keys: Option<bool>,
    set_multiqueue: Option<bool>,
}

/// Addresses that are forwarded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct IpForwarding {
    ethernet_proto_id: Option<String>,
    ip_aliases: Option<bool>,
    target_instance_ips: Option<bool>,
}

/// Scripts from the instance's metadata.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct MetadataScripts {
    default_shell: Option<String>,
    run_dir: Option<String>,
    startup: Option<bool>,
    shutdown: Option<bool>,
}

/// The network's interfaces.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct NetworkInterfaces {
    setup: Option<bool>,
    ip_forwarding: Option<bool>,
    dhcp_command: Option<String>,
}

module::stage! {
    file: "gcp_guest_agent_conf.rs", name: "org.osbuild.gcp.guest-agent.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let path = match args.options.config_scope {
        Some(Scope::Distro) => "etc/default/instance_configs.cfg.distro",
        Some(Scope::Instance) | None => "etc/default/instance_configs.cfg",
    };
    let mut file = IniFile::read(&args.tree, path)?.unwrap_or_default();
    for (section, settings) in args.options.config.iter() {
        for (key, value) in settings.as_object().into_iter().flatten() {
            file.set(section, key, &plain(value, ("false", "true"), ", "));
        }
    }
    common::write_below(&args.tree, path, &file.text())
}
