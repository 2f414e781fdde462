//! Configure firewalld with the tree's firewall-offline-cmd.
//!
//! In this order: the default zone, ports and services of that zone, zones and their sources. A zone that is not there
//! is made.

use module::{Args, Chroot, Result, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const PROGRAM: &str = "firewall-offline-cmd";
const PLACES: [&str; 2] = ["usr/bin/firewall-offline-cmd", "usr/sbin/firewall-offline-cmd"];
/// What it exits with where there is no such zone: `INVALID_ZONE` of firewalld's errors.
const INVALID_ZONE: i32 = 112;

/// Options of `org.osbuild.firewall`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Ports to open: `22:tcp`, `6000-6010:udp`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = ".:(tcp|udp|sctp|dccp)$")))]
    ports: Vec<String>,
    /// Services to allow.
    #[serde(default)]
    enabled_services: Vec<String>,
    /// Services not to allow.
    #[serde(default)]
    disabled_services: Vec<String>,
    /// The zone of interfaces that have no other.
    #[serde(default)]
    default_zone: String,
    /// Zones by where packets come from.
    #[serde(default)]
    #[schemars(length(min = 1))]
    zones: Vec<Zone>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Zone {
    /// The zone's name.
    #[schemars(regex(pattern = "^[a-zA-Z0-9_-]+$"))]
    name: String,
    /// Addresses and networks to bind to it.
    sources: Vec<String>,
}

module::stage! {
    file: "firewall.rs", name: "org.osbuild.firewall", options: Options, run: run,
    needs: [Chroot],
}

fn run(args: Args<Options>) -> Result<()> {
    ensure!(
        PLACES.into_iter().any(|path| args.tree.is_file(path)),
        "{PROGRAM} is not in the tree: install firewalld before this stage"
    );
    let chroot = Chroot::enter(&args.tree)?;
    for command in commands(&args.options) {
        chroot.tool(PROGRAM).args(command).run()?;
    }
    for zone in &args.options.zones {
        configure(&chroot, zone)?;
    }
    Ok(())
}

/// The arguments of each run for the default zone. The second kind cannot be mixed with other options.
fn commands(options: &Options) -> Vec<Vec<String>> {
    let zone = &options.default_zone;
    let default: Vec<String> = (!zone.is_empty())
        .then(|| format!("--set-default-zone={zone}"))
        .into_iter()
        .collect();
    let lists = [
        ("--port", &options.ports),
        ("--service", &options.enabled_services),
        ("--remove-service", &options.disabled_services),
    ];
    let lists = lists
        .iter()
        .flat_map(|(name, list)| list.iter().map(move |item| format!("{name}={item}")));
    let mut commands = vec![default, lists.collect()];
    commands.retain(|command| !command.is_empty());
    commands
}

fn configure(chroot: &Chroot, zone: &Zone) -> Result<()> {
    let name = &zone.name;
    match chroot.tool(PROGRAM).arg(format!("--info-zone={name}")).status()? {
        0 => {}
        INVALID_ZONE => chroot.tool(PROGRAM).arg(format!("--new-zone={name}")).run()?,
        code => bail!("`{PROGRAM} --info-zone={name}` failed with exit code {code}"),
    }
    if zone.sources.is_empty() {
        return Ok(());
    }
    chroot
        .tool(PROGRAM)
        .arg(format!("--zone={name}"))
        .args(zone.sources.iter().map(|source| format!("--add-source={source}")))
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_zone_has_a_run_of_its_own() {
        let options = serde_json::json!({
            "ports": ["53:tcp", "88-90:udp"], "enabled_services": ["http"], "disabled_services": ["telnet"],
            "default_zone": "work",
        });
        let commands = commands(&serde_json::from_value(options).unwrap());
        let rest = [
            "--port=53:tcp",
            "--port=88-90:udp",
            "--service=http",
            "--remove-service=telnet",
        ];
        assert_eq!(commands, [vec!["--set-default-zone=work"], rest.to_vec()]);
    }
}
