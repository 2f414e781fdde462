//! Commands for what is installed, and for the disks it is installed to.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{InOrder, plain};

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("disks.rs");

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ostree {
    /// The stateroot.
    osname: String,
    /// Address of the repository.
    url: String,
    /// The ref to install.
    r#ref: String,
    /// Name of the remote in the installed system.
    #[serde(default)]
    remote: String,
    /// Whether signatures are checked.
    #[serde(default = "yes")]
    gpg: bool,
}

fn yes() -> bool {
    true
}

impl Ostree {
    pub fn line(&self) -> String {
        let Self {
            osname,
            url,
            r#ref,
            remote,
            gpg,
        } = self;
        let mut line = format!("ostreesetup --osname={osname} --url={url} --ref={ref}");
        if !remote.is_empty() {
            line.push_str(&format!(" --remote={remote}"));
        }
        if !gpg {
            line.push_str(" --nogpg");
        }
        line
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OstreeContainer {
    /// The stateroot.
    #[serde(default)]
    stateroot: String,
    /// Name of the image.
    url: String,
    /// Where the image is.
    transport: Option<Transport>,
    /// Name of the remote in the installed system.
    #[serde(default)]
    remote: String,
    /// Whether signatures are checked; not written: they are, as the installer's default has it.
    #[serde(default = "yes")]
    #[allow(dead_code)]
    signatureverification: bool,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Transport {
    Registry,
    Oci,
    OciArchive,
    Dir,
    ContainersStorage,
}

impl OstreeContainer {
    pub fn line(&self) -> String {
        let transport = self.transport.map_or("", |transport| match transport {
            Transport::Registry => "registry",
            Transport::Oci => "oci",
            Transport::OciArchive => "oci-archive",
            Transport::Dir => "dir",
            Transport::ContainersStorage => "containers-storage",
        });
        let mut line = format!("ostreecontainer --url={}", self.url);
        let settings = [
            ("stateroot", &*self.stateroot),
            ("transport", transport),
            ("remote", &self.remote),
        ];
        for (name, value) in settings.iter().filter(|(_, value)| !value.is_empty()) {
            line.push_str(&format!(" --{name}={value}"));
        }
        line
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bootc {
    /// The image to install.
    source_imgref: String,
    /// The image that updates come from.
    #[serde(default)]
    target_imgref: String,
}

impl Bootc {
    pub fn line(&self) -> String {
        let mut line = format!("bootc --source-imgref {}", self.source_imgref);
        if !self.target_imgref.is_empty() {
            line.push_str(&format!(" --target-imgref {}", self.target_imgref));
        }
        line
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct Liveimg {
    /// Address of the image.
    url: String,
}

impl Liveimg {
    pub fn line(&self) -> String {
        format!("liveimg --url {}", self.url)
    }
}

/// At least one member but `initlabel` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [
    {"required": ["all"]},
    {"required": ["drives"]},
    {"required": ["list"]},
    {"required": ["disklabel"]},
    {"required": ["linux"]},
]))]
pub struct Clearpart {
    /// All partitions.
    #[serde(default)]
    all: bool,
    /// Make new partition tables.
    #[serde(default)]
    initlabel: bool,
    /// The disks to clear.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^[A-Za-z0-9/:\_|*-]+$")))]
    drives: Vec<String>,
    /// The partitions to remove.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^[A-Za-z0-9]+$")))]
    list: Vec<String>,
    /// The kind of partition tables to make.
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]+$"))]
    disklabel: String,
    /// Partitions of Linux.
    #[serde(default)]
    linux: bool,
}

impl Clearpart {
    pub fn line(&self) -> String {
        let flag = |name: &str, set: bool| if set { format!(" --{name}") } else { String::new() };
        let value = |name: &str, value: &str| match value {
            "" => String::new(),
            value => format!(" --{name}={value}"),
        };
        format!(
            "clearpart{}{}{}{}{}{}",
            flag("all", self.all),
            value("drives", &self.drives.join(",")),
            value("list", &self.list.join(",")),
            value("disklabel", &self.disklabel),
            flag("linux", self.linux),
            flag("initlabel", self.initlabel)
        )
    }
}

/// Options of the command `autopart`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Autopart(InOrder<AutopartOptions>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(extend("not" = {"required": ["pbkdf-iterations", "pbkdf-time"]}))]
#[allow(dead_code)]
struct AutopartOptions {
    /// What the partitions are made of.
    r#type: Option<AutopartType>,
    /// The file system of most of them.
    fstype: Option<String>,
    /// No LVM, no Btrfs.
    nolvm: Option<bool>,
    /// Encrypt with LUKS.
    encrypted: Option<bool>,
    /// The passphrase.
    passphrase: Option<String>,
    /// Address of a certificate with which passphrases are put aside.
    escrowcert: Option<String>,
    /// Add a random passphrase and put it aside.
    backuppassphrase: Option<bool>,
    /// The cipher.
    cipher: Option<String>,
    /// `luks1` or `luks2`.
    luks_version: Option<String>,
    /// How keys are derived.
    pbkdf: Option<String>,
    /// KiB that deriving takes.
    pbkdf_memory: Option<i64>,
    /// Milliseconds that deriving takes.
    pbkdf_time: Option<i64>,
    /// Rounds that deriving takes.
    pbkdf_iterations: Option<i64>,
    /// No partition for `/home`.
    nohome: Option<bool>,
    /// No swap.
    noswap: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AutopartType {
    Lvm,
    Btrfs,
    Plain,
    Thinp,
}

/// The options in the order of the command.
const AUTOPART: [&str; 15] = [
    "type",
    "fstype",
    "nolvm",
    "encrypted",
    "passphrase",
    "escrowcert",
    "backuppassphrase",
    "cipher",
    "luks-version",
    "pbkdf",
    "pbkdf-memory",
    "pbkdf-time",
    "pbkdf-iterations",
    "nohome",
    "noswap",
];

impl Autopart {
    pub fn line(&self) -> String {
        let mut line = "autopart".to_owned();
        for name in AUTOPART {
            match self.0.get(name) {
                None | Some(Value::Bool(false)) => {}
                Some(Value::Bool(true)) => line.push_str(&format!(" --{name}")),
                Some(value) => line.push_str(&format!(" --{name}={}", plain(value, ("", ""), ""))),
            }
        }
        line
    }
}
