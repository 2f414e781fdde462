//! Write a connection profile of NetworkManager.
//!
//! `settings` becomes a file in the form of nm-settings-keyfile(5) that only root may read:
//! `/usr/lib/NetworkManager/system-connections/FILENAME`, or `path`. What was in it is replaced.

use module::{Args, Result, bail};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use crate::common::{self, InOrder, Ini, plain};

const DIR: &str = "usr/lib/NetworkManager/system-connections";

/// Options of `org.osbuild.nm.conn`: `settings` and either `filename` or `path`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = either)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,242}.nmconnection$"))]
    filename: Option<String>,
    /// The file.
    path: Option<String>,
    /// The sections.
    settings: InOrder<Settings>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Settings {
    /// What connection it is.
    connection: Connection,
    /// Addresses of IPv4.
    ipv4: Option<Ipv4>,
    /// Addresses of IPv6.
    ipv6: Option<Ipv6>,
    /// The device.
    ethernet: Option<Ethernet>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code)]
struct Connection {
    /// What tells it from others for ever.
    uuid: String,
    /// Its name for people.
    id: String,
    r#type: ConnectionType,
    /// Whether it is made by itself.
    autoconnect: Option<bool>,
    /// The interface it is for.
    interface_name: Option<String>,
    /// Of several, the one with the highest is made.
    autoconnect_priority: Option<Number>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum ConnectionType {
    #[serde(rename = "802-3-ethernet")]
    Standard,
    #[serde(rename = "ethernet")]
    Ethernet,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
#[allow(dead_code)]
enum Ipv4 {
    /// Nothing is done.
    Ignore {},
    /// By DHCP.
    Auto {
        #[serde(rename = "dns-search")]
        dns_search: Option<String>,
    },
    /// As it is said here.
    Manual { address: Option<Vec<String>> },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
enum Ipv6 {
    /// Nothing is done.
    Ignore {},
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code)]
struct Ethernet {
    /// The hardware's address.
    mac_address: Option<String>,
}

module::stage! {
    file: "nm_conn.rs", name: "org.osbuild.nm.conn", options: Options, run: run,
    libraries: [common::SOURCE],
}

/// Two shapes instead of one: an error is one of the whole, as with the peer.
fn either(schema: &mut Schema) {
    let properties = schema.remove("properties").unwrap_or_default();
    for key in ["type", "additionalProperties", "required"] {
        schema.remove(key);
    }
    let shape = |place: &str| {
        let of = |name: &str| (name.to_owned(), properties[name].clone());
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": [place, "settings"],
            "properties": Map::from_iter([of(place), of("settings")]),
        })
    };
    schema.insert(
        "oneOf".into(),
        Value::Array(vec![shape("filename"), shape("path")]),
    );
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let path = match (&options.path, &options.filename) {
        (Some(path), _) if !path.is_empty() => path.clone(),
        (_, Some(name)) => format!("{DIR}/{name}"),
        _ => bail!("`filename` or `path` is needed"),
    };
    let mut ini = Ini::default();
    for (name, settings) in options.settings.iter() {
        let section = ini.section(name);
        for (key, value) in settings.as_object().into_iter().flatten() {
            section.set(key, plain(value, ("false", "true"), ","));
        }
    }
    common::write_below(tree, &path, &ini.text("="))?;
    Ok(tree.chmod(&path, 0o600)?)
}
