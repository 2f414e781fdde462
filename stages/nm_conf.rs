//! Configure NetworkManager.
//!
//! `settings` becomes a file in the form of NetworkManager.conf(5) that only root may read; what was in it is replaced.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, InOrder, Ini, plain};

/// Options of `org.osbuild.nm.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file, such as `/etc/NetworkManager/conf.d/10-mine.conf`.
    path: String,
    /// The sections.
    settings: InOrder<Settings>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code)]
struct Settings {
    /// The section `main`.
    main: Option<Main>,
    /// Sections `device-NAME`.
    #[schemars(length(min = 1))]
    device: Option<Vec<Device>>,
    /// Sections `global-dns-domain-NAME`.
    #[schemars(length(min = 1))]
    global_dns_domain: Option<Vec<Domain>>,
    /// The section `keyfile`.
    keyfile: Option<Keyfile>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code)]
struct Main {
    /// Devices for which no connection is made up.
    #[schemars(length(min = 1))]
    no_auto_default: Option<Vec<String>>,
    /// Plugins for the settings.
    #[schemars(length(min = 1))]
    plugins: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Device {
    /// The end of the section's name.
    name: Option<String>,
    /// Its settings.
    config: DeviceConfig,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct DeviceConfig {
    /// Whether NetworkManager manages it.
    managed: Option<bool>,
    /// Whether the address is random while networks are looked for.
    #[serde(rename = "wifi.scan-rand-mac-address")]
    wifi_scan_rand_mac_address: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Domain {
    /// The domain; `*`: all that have no section.
    name: String,
    /// Its settings.
    config: DomainConfig,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct DomainConfig {
    /// Addresses of the name servers.
    #[schemars(length(min = 1))]
    servers: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code)]
struct Keyfile {
    /// Devices that are left alone.
    #[schemars(length(min = 1))]
    unmanaged_devices: Option<Vec<String>>,
}

module::stage! {
    file: "nm_conf.rs", name: "org.osbuild.nm.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let mut ini = Ini::default();
    for (name, settings) in options.settings.iter() {
        match settings {
            Value::Array(sections) => {
                for section in sections {
                    let name = match section["name"].as_str() {
                        Some(suffix) if !suffix.is_empty() => format!("{name}-{suffix}"),
                        _ => name.to_owned(),
                    };
                    add(&mut ini, &name, &section["config"]);
                }
            }
            settings => add(&mut ini, name, settings),
        }
    }
    common::write_below(tree, &options.path, &ini.text("="))?;
    Ok(tree.chmod(&options.path, 0o600)?)
}

fn add(ini: &mut Ini, name: &str, settings: &Value) {
    let section = ini.section(name);
    for (key, value) in settings.as_object().into_iter().flatten() {
        section.set(key, plain(value, ("false", "true"), ","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn named_sections_are_for_root_only() {
        let dir = tempfile::tempdir().unwrap();
        let settings = json!({
            "device": [{"config": {"managed": true}}, {"name": "wifi", "config": {"wifi.scan-rand-mac-address": false}}],
            "global-dns-domain": [{"name": "*", "config": {"servers": ["1.1.1.1", "100%"]}}],
            "keyfile": {"unmanaged-devices": ["a", "b"]},
        });
        let options = json!({"path": "/etc/x.conf", "settings": settings});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        assert_eq!(
            tree.read_text("etc/x.conf").unwrap(),
            "[device]\nmanaged=true\n\n[device-wifi]\nwifi.scan-rand-mac-address=false\n\n[global-dns-domain-*]\n\
             servers=1.1.1.1,100%\n\n[keyfile]\nunmanaged-devices=a,b\n\n"
        );
        assert_eq!(tree.stat("etc/x.conf").unwrap().unwrap().mode, 0o600);
    }
}
