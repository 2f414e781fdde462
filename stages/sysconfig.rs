//! Write files in `/etc/sysconfig`, where Red Hat's distributions look.
//!
//! Each group of options that is not empty makes one file: `kernel`, `network`, `network-scripts/ifcfg-NAME`, `livesys`
//! and `desktop`. What was in them is replaced.

use std::collections::BTreeMap;

use module::{Args, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, InOrder, Keyed, keys};

const DIR: &str = "etc/sysconfig";

/// Options of `org.osbuild.sysconfig`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How kernels are updated.
    #[serde(default)]
    #[schemars(with = "Option<Kernel>")]
    kernel: InOrder<Kernel>,
    /// The network as a whole.
    #[serde(default)]
    #[schemars(with = "Option<Network>")]
    network: InOrder<Network>,
    /// Network interfaces.
    #[serde(rename = "network-scripts")]
    network_scripts: Option<NetworkScripts>,
    /// The live session.
    livesys: Option<Livesys>,
    /// The desktop.
    desktop: Option<Desktop>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // the members are written in the manifest's order
struct Kernel {
    /// Whether a new kernel becomes the default.
    update_default: Option<bool>,
    /// Name of the package of kernels that may become the default.
    default_kernel: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Network {
    /// Whether there is a network.
    networking: Option<bool>,
    /// Whether there is no route for link-local addresses.
    no_zero_conf: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NetworkScripts {
    /// Interfaces, by their names.
    #[serde(default)]
    #[schemars(
        with = "Option<BTreeMap<String, Interface>>",
        transform = keys(r"^[^/:.\s]{1,2}[^/:\s]{0,13}$")
    )]
    ifcfg: Option<Keyed<InOrder<Interface>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Interface {
    /// How it gets its address.
    #[schemars(extend("enum" = ["none", "bootp", "dhcp", "static", "ibft", "autoip", "shared"]))]
    bootproto: Option<String>,
    /// Its device.
    device: Option<String>,
    /// Whether it has IPv6.
    ipv6init: Option<bool>,
    /// Whether it comes up at boot.
    onboot: Option<bool>,
    /// Whether name servers that it learns of are used.
    peerdns: Option<bool>,
    /// Its type.
    #[schemars(extend("enum" = ["Ethernet", "Wireless", "InfiniBand", "Bridge", "Bond", "Vlan"]))]
    r#type: Option<String>,
    /// Whether users may control it.
    userctl: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Livesys {
    /// The desktop of the live session.
    session: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["preferred"]}, {"required": ["displaymanager"]}]))]
struct Desktop {
    /// The desktop that is started.
    preferred: Option<String>,
    /// The display manager.
    displaymanager: Option<String>,
}

module::stage! {
    file: "sysconfig.rs", name: "org.osbuild.sysconfig", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    tree.mkdir_all(DIR)?;
    if !options.kernel.is_empty() {
        let lines = options.kernel.iter();
        tree.write(format!("{DIR}/kernel"), lines.map(line).collect::<String>())?;
    }
    if !options.network.is_empty() {
        let lines = options.network.iter();
        tree.write(format!("{DIR}/network"), lines.map(line).collect::<String>())?;
    }
    if let Some(interfaces) = options
        .network_scripts
        .as_ref()
        .and_then(|scripts| scripts.ifcfg.as_ref())
    {
        write_interfaces(tree, interfaces)?;
    }
    if let Some(livesys) = &options.livesys {
        write_exactly(
            tree,
            "livesys",
            &format!("livesys_session=\"{}\"\n", livesys.session),
        )?;
    }
    if let Some(desktop) = &options.desktop {
        let lines = [
            ("PREFERRED", &desktop.preferred),
            ("DISPLAYMANAGER", &desktop.displaymanager),
        ];
        let lines = lines
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}\n", value.as_ref()?)));
        write_exactly(tree, "desktop", &lines.collect::<String>())?;
    }
    Ok(())
}

/// A line of `kernel` or `network`: the option's name without underscores, in capitals.
fn line((name, value): (&str, &Value)) -> String {
    let key = name.replace('_', "").to_uppercase();
    format!("{key}={}\n", common::plain(value, ("no", "yes"), " "))
}

fn write_interfaces(tree: &Tree, interfaces: &Keyed<InOrder<Interface>>) -> Result<()> {
    let dir = format!("{DIR}/network-scripts");
    tree.mkdir_all(&dir)?;
    for (name, interface) in interfaces.iter().filter(|(_, interface)| !interface.is_empty()) {
        let quoted = |(name, value): (&str, &Value)| {
            let value = common::plain(value, ("no", "yes"), " ");
            format!("{}=\"{value}\"\n", name.to_uppercase())
        };
        let text: String = interface.iter().map(quoted).collect();
        tree.write(format!("{dir}/ifcfg-{name}"), text)?;
    }
    Ok(())
}

/// Writes a file that is root's and has mode 0644 whatever was there.
fn write_exactly(tree: &Tree, name: &str, text: &str) -> Result<()> {
    let path = format!("{DIR}/{name}");
    tree.write(&path, text)?;
    tree.chmod(&path, 0o644)?;
    Ok(tree.chown(&path, Some(0), Some(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sessions_are_named_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            json!({"livesys": {"session": "gnome"}, "desktop": {"displaymanager": "GDM"}, "kernel": {}});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        let read = |name| std::fs::read_to_string(dir.path().join(DIR).join(name)).unwrap();
        assert_eq!(read("livesys"), "livesys_session=\"gnome\"\n");
        assert_eq!(read("desktop"), "DISPLAYMANAGER=GDM\n");
        assert!(!dir.path().join(DIR).join("kernel").exists());
    }
}
