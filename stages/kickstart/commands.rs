//! Commands for the network, the installer's own behaviour and scripts.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::plain;

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("commands.rs");

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(transform = one)]
pub enum Reboot {
    /// Whether to reboot.
    Plain(bool),
    /// How to reboot.
    With(RebootOptions),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["eject"]}, {"required": ["kexec"]}]))]
pub struct RebootOptions {
    /// Eject the medium.
    #[serde(default)]
    eject: bool,
    /// Start the new kernel without the firmware.
    #[serde(default)]
    kexec: bool,
}

fn one(schema: &mut schemars::Schema) {
    if let Some(shapes) = schema.remove("anyOf") {
        schema.insert("oneOf".into(), shapes);
    }
}

impl Reboot {
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Plain(reboot) => reboot.then(|| "reboot".to_owned()),
            Self::With(RebootOptions { eject, kexec }) => {
                let eject = if *eject { " --eject" } else { "" };
                let kexec = if *kexec { " --kexec" } else { "" };
                Some(format!("reboot{eject}{kexec}"))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DisplayMode {
    Text,
    Graphical,
    Cmdline,
}

impl DisplayMode {
    pub fn line(self) -> String {
        match self {
            Self::Text => "text",
            Self::Graphical => "graphical",
            Self::Cmdline => "cmdline",
        }
        .to_owned()
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Whether the device is used by the installer already.
    activate: Option<bool>,
    /// Where the device has its address from.
    bootproto: Option<BootProto>,
    /// Name or hardware address of the device.
    #[schemars(regex(pattern = "^([a-zA-Z0-9]{2,16}|(([a-fA-F0-9]{2}:){5}[a-fA-F0-9A]{2}))$"))]
    device: String,
    /// Whether the device is used in the installed system.
    #[schemars(extend("enum" = ["yes", "on", "true", "1", 1, "off", "no", "false", "0", 0]))]
    onboot: Option<Value>,
    /// Its address of IPv4.
    #[schemars(regex(pattern = r"^(((25[0-5]|(2[0-4]|1\d|[1-9]|)\d)\.?\b){4}|auto)$"))]
    ip: Option<String>,
    /// Its address of IPv6.
    ipv6: Option<String>,
    /// The gateway.
    #[schemars(regex(pattern = r"^((25[0-5]|(2[0-4]|1\d|[1-9]|)\d)\.?\b){4}$"))]
    gateway: Option<String>,
    /// The gateway for IPv6.
    ipv6gateway: Option<String>,
    /// Name servers.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^((25[0-5]|(2[0-4]|1\d|[1-9]|)\d)\.?\b){4}$")))]
    nameservers: Vec<String>,
    /// The netmask.
    netmask: Option<String>,
    /// The machine's name.
    #[schemars(regex(
        pattern = r"(?=^.{1,253}$)^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}((\.[a-zA-Z0-9][a-zA-Z0-9-]{0,62})+)?$"
    ))]
    hostname: Option<String>,
    /// Name of the wireless network.
    essid: Option<String>,
    /// Its key.
    wpakey: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum BootProto {
    Dhcp,
    Bootp,
    Ibft,
    Static,
}

impl Network {
    pub fn line(&self) -> String {
        let protocol = self.bootproto.map(|protocol| match protocol {
            BootProto::Dhcp => "dhcp",
            BootProto::Bootp => "bootp",
            BootProto::Ibft => "ibft",
            BootProto::Static => "static",
        });
        let onboot = self
            .onboot
            .as_ref()
            .map(|value| plain(value, ("false", "true"), ""));
        let settings = [
            ("device", Some(&*self.device)),
            ("bootproto", protocol),
            ("onboot", onboot.as_deref()),
            ("ip", self.ip.as_deref()),
            ("ipv6", self.ipv6.as_deref()),
            ("gateway", self.gateway.as_deref()),
            ("ipv6gateway", self.ipv6gateway.as_deref()),
            ("netmask", self.netmask.as_deref()),
            ("hostname", self.hostname.as_deref()),
            ("essid", self.essid.as_deref()),
            ("wpakey", self.wpakey.as_deref()),
        ];
        let settings = settings
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let servers = self.nameservers.iter().map(|address| ("nameserver", &**address));
        let mut line = "network".to_owned();
        for (name, value) in settings.chain(servers) {
            line.push_str(&format!(" --{name}={value}"));
        }
        match self.activate {
            Some(true) => line.push_str(" --activate"),
            Some(false) => line.push_str(" --no-activate"),
            None => {}
        }
        line
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bootloader {
    /// Kernel arguments to append.
    #[serde(default)]
    append: String,
}

impl Bootloader {
    pub fn line(&self) -> Option<String> {
        (!self.append.is_empty()).then(|| format!("bootloader --append='{}'", self.append))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// Stop the installation where the script fails.
    #[serde(default)]
    erroronfail: bool,
    /// What runs the script.
    #[serde(default)]
    interpreter: String,
    /// Where its output goes.
    #[serde(default)]
    log: String,
    /// Run it outside of the installed system.
    #[serde(default)]
    nochroot: bool,
    /// The lines of the script.
    #[schemars(length(min = 1))]
    commands: Vec<String>,
}

impl Post {
    pub fn lines(&self) -> Vec<String> {
        let mut start = "%post".to_owned();
        for (flag, set) in [
            (" --erroronfail", self.erroronfail),
            (" --nochroot", self.nochroot),
        ] {
            if set {
                start.push_str(flag);
            }
        }
        for (name, value) in [("log", &self.log), ("interpreter", &self.interpreter)] {
            if !value.is_empty() {
                start.push_str(&format!(" --{name} \"{value}\""));
            }
        }
        let commands = self.commands.iter().cloned();
        std::iter::once(start)
            .chain(commands)
            .chain(["%end".to_owned()])
            .collect()
    }
}
