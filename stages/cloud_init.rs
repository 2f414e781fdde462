//! Write a piece of cloud-init's configuration.
//!
//! `config` becomes `/etc/cloud/cloud.cfg.d/FILENAME` as YAML, its keys sorted. The directory comes with cloud-init.

mod yaml;

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, InOrder};

const DIR: &str = "etc/cloud/cloud.cfg.d";

/// Options of `org.osbuild.cloud-init`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file. Of files that say different things the last one in the order of names wins.
    #[schemars(regex(pattern = r"^[\w.-]{1,251}\.cfg$"))]
    filename: String,
    /// Its content.
    config: InOrder<Config>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Config {
    /// Whether sshd takes passwords.
    ssh_pwauth: Option<bool>,
    /// What the distribution is like.
    system_info: Option<SystemInfo>,
    /// Where progress is told.
    reporting: Option<Reporting>,
    /// The data sources to try, in this order.
    datasource_list: Option<Vec<Datasource>>,
    /// Options of the data sources.
    datasource: Option<Datasources>,
    /// Where the output of the boot stages goes.
    output: Option<Output>,
    /// Network.
    network: Option<Network>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct SystemInfo {
    /// The user that is made.
    default_user: Option<DefaultUser>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct DefaultUser {
    /// The user's name.
    name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Reporting {
    logging: Option<Reporter>,
    telemetry: Option<Reporter>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Reporter {
    r#type: Option<ReporterType>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ReporterType {
    Log,
    Print,
    Webhook,
    Hyperv,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Datasource {
    Azure,
    Ec2,
    Oracle,
    NoCloud,
    #[serde(rename = "WSL")]
    Wsl,
    None,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Datasources {
    #[serde(rename = "Azure")]
    azure: Option<Azure>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Azure {
    /// Whether the network is set up by what the cloud says of it.
    apply_network_config: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Output {
    init: Option<String>,
    config: Option<String>,
    r#final: Option<String>,
    all: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Network {
    /// `disabled`: cloud-init leaves the network alone.
    config: Option<NetworkConfig>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum NetworkConfig {
    Disabled,
}

module::stage! {
    file: "cloud_init.rs", name: "org.osbuild.cloud-init", options: Options, run: run,
    libraries: [common::SOURCE, yaml::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let mut members: Vec<(&str, &Value)> = options.config.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    let mut text = String::new();
    for (name, value) in members {
        if name == "datasource_list" {
            // cloud-init reads this one with a pattern of its own, from a single line
            text.push_str(&format!("{name}: {}\n", yaml::flow(value)));
        } else {
            text.push_str(&yaml::member(name, value));
        }
    }
    Ok(args.tree.write(format!("{DIR}/{}", options.filename), text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_the_list_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all(DIR).unwrap();
        let config = json!({
            "ssh_pwauth": true,
            "output": {"all": "| tee -a /var/log/x"},
            "datasource_list": ["Azure", "None"],
            "datasource": {"Azure": {"apply_network_config": false}},
        });
        let options = json!({"filename": "91-azure.cfg", "config": config});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            tree.read_text("etc/cloud/cloud.cfg.d/91-azure.cfg").unwrap(),
            "datasource:\n  Azure:\n    apply_network_config: false\ndatasource_list: [Azure, None]\n\
             output:\n  all: '| tee -a /var/log/x'\nssh_pwauth: true\n"
        );
    }
}
