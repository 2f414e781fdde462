//! What an image has beside its packages so that it starts and can be reached: name, network, services.

use serde_json::{Value, json};

use super::Request;
use crate::blueprint::{File, Mode};

/// Any wired interface takes its address from the network.
const NETWORK: &str = "\
[Match]
Name=en* eth*

[Network]
DHCP=yes
";

/// Waiting for a network that does not come is no failure of the system.
const WAIT_ONLINE: &str = "\
[Service]
ExecStart=
ExecStart=-/usr/lib/systemd/systemd-networkd-wait-online --any --timeout=30
";

/// The machine's name, for everything that starts.
pub fn hostname(request: &Request<'_>) -> Option<String> {
    let asked = request.blueprint.customizations.hostname.clone();
    let usual = request
        .image
        .boots()
        .then(|| request.distro.family.id().to_owned());
    asked.or(usual)
}

/// The files of the system's own configuration.
pub fn files(request: &Request<'_>) -> Vec<File> {
    let custom = &request.blueprint.customizations;
    let mut files = Vec::new();
    let mut add = |path: &str, data: String| files.push(file(path, data));
    if let Some(hostname) = hostname(request) {
        add("/etc/hosts", hosts(&hostname));
    }
    if request.image.boots() {
        add("/etc/systemd/network/80-wired.network", NETWORK.into());
        add(
            "/etc/systemd/system/systemd-networkd-wait-online.service.d/patience.conf",
            WAIT_ONLINE.into(),
        );
    }
    if !custom.timezone.ntpservers.is_empty() {
        let servers = custom.timezone.ntpservers.join(" ");
        add(
            "/etc/systemd/timesyncd.conf.d/servers.conf",
            format!("[Time]\nNTP={servers}\n"),
        );
    }
    if let Some(keyboard) = &custom.locale.keyboard {
        add("/etc/default/keyboard", keyboard_file(keyboard));
    }
    files
}

/// A file of root's that everybody may read.
pub fn file(path: &str, data: String) -> File {
    File {
        path: path.to_owned(),
        mode: Some(Mode(0o644)),
        user: None,
        group: None,
        data,
    }
}

fn hosts(hostname: &str) -> String {
    let name = hostname.split('.').next().unwrap_or(hostname);
    let names = if name == hostname {
        name.to_owned()
    } else {
        format!("{hostname} {name}")
    };
    format!(
        "127.0.0.1 localhost\n127.0.1.1 {names}\n::1 localhost ip6-localhost ip6-loopback\n\
         ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    )
}

/// As keyboard(5) has it; `de-nodeadkeys` is the variant `nodeadkeys` of `de`.
fn keyboard_file(keyboard: &str) -> String {
    let (layout, variant) = keyboard.split_once('-').unwrap_or((keyboard, ""));
    format!(
        "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"{layout}\"\nXKBVARIANT=\"{variant}\"\nXKBOPTIONS=\"\"\nBACKSPACE=\"guess\"\n"
    )
}

/// `org.osbuild.systemd`: the blueprint's services and the system's own.
pub fn services(request: &Request<'_>) -> Option<Value> {
    let services = &request.blueprint.customizations.services;
    let units = |names: &[String]| -> Vec<String> { names.iter().map(|name| unit(name)).collect() };
    let disabled = units(&services.disabled);
    let masked = units(&services.masked);
    let mut enabled = units(&services.enabled);
    if request.image.boots() {
        let mut own = vec![
            "systemd-networkd.service",
            "systemd-resolved.service",
            "systemd-timesyncd.service",
        ];
        let refused = |name: &&str| disabled.iter().chain(&masked).any(|unit| unit == name);
        own.retain(|name| !refused(name));
        enabled.extend(own.into_iter().map(str::to_owned));
        enabled.sort_unstable();
        enabled.dedup();
    }
    let mut options = json!({});
    let lists = [
        ("enabled_services", enabled),
        ("disabled_services", disabled),
        ("masked_services", masked),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            options[name] = json!(list);
        }
    }
    if request.image.boots() {
        options["default_target"] = json!("multi-user.target");
    }
    let some = options.as_object().is_some_and(|options| !options.is_empty());
    some.then(|| json!({"type": "org.osbuild.systemd", "options": options}))
}

/// The full name of a unit; what other distributions call `sshd` is `ssh` here.
fn unit(name: &str) -> String {
    let suffixes = [
        "service",
        "socket",
        "timer",
        "target",
        "path",
        "mount",
        "automount",
        "swap",
        "slice",
    ];
    let has_suffix = name
        .rsplit_once('.')
        .is_some_and(|(_, suffix)| suffixes.contains(&suffix));
    let name = if has_suffix {
        name.to_owned()
    } else {
        format!("{name}.service")
    };
    if name == "sshd.service" {
        "ssh.service".into()
    } else {
        name
    }
}
