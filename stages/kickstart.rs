//! Write a kickstart file, which tells the Anaconda installer what to do.
//!
//! One command for each option, in a fixed order; see the documentation of Pykickstart. The directories on the way are
//! made.

mod commands;
mod disks;
mod users;

use std::collections::BTreeMap;

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Keyed, keys};
use commands::{Bootloader, DisplayMode, Network, Post, Reboot};
use disks::{Autopart, Bootc, Clearpart, Liveimg, Ostree, OstreeContainer};
use users::{Group, RootPassword, User};

/// Options of `org.osbuild.kickstart`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {
        "required": ["path"],
        "not": {"anyOf": [{"required": ["ostree"]}, {"required": ["ostreecontainer"]}, {"required": ["bootc"]}]},
    },
    {"required": ["ostree", "path"]},
    {"required": ["ostreecontainer", "path"]},
    {"required": ["bootc", "path"]},
]))]
pub struct Options {
    /// The file.
    path: String,
    /// Install a commit of an OSTree repository.
    ostree: Option<Ostree>,
    /// Install an OSTree commit from a container registry.
    ostreecontainer: Option<OstreeContainer>,
    /// Install a bootable container with bootc.
    bootc: Option<Bootc>,
    /// Install an image of a live system.
    liveimg: Option<Liveimg>,
    /// Groups to make.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Group>", transform = keys("^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}$"))]
    groups: Keyed<Group>,
    /// Users to make.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, User>", transform = keys("^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,255}$"))]
    users: Keyed<User>,
    /// root's password.
    rootpw: Option<RootPassword>,
    /// The locale.
    #[serde(default)]
    lang: String,
    /// The keymap.
    #[serde(default)]
    keyboard: String,
    /// The time zone.
    #[serde(default)]
    timezone: String,
    /// Overwrite partition tables that cannot be read.
    #[serde(default)]
    zerombr: bool,
    /// Partitions to remove.
    clearpart: Option<Clearpart>,
    /// What to do at the end.
    reboot: Option<Reboot>,
    /// What is shown.
    display_mode: Option<DisplayMode>,
    /// Make the usual partitions.
    autopart: Option<Autopart>,
    /// The network's devices.
    #[serde(default)]
    #[schemars(length(min = 1))]
    network: Vec<Network>,
    /// The boot loader.
    bootloader: Option<Bootloader>,
    /// Scripts to run at the end.
    #[serde(default, rename = "%post")]
    #[schemars(length(min = 1))]
    post: Vec<Post>,
}

module::stage! {
    file: "kickstart.rs", name: "org.osbuild.kickstart", options: Options, run: run,
    libraries: [common::SOURCE, commands::SOURCE, disks::SOURCE, users::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let text = format!("{}\n", lines(&args.options).join("\n"));
    print!("{text}");
    common::write_below(&args.tree, &args.options.path, &text)
}

fn lines(options: &Options) -> Vec<String> {
    let setting = |name: &str, value: &str| (!value.is_empty()).then(|| format!("{name} {value}"));
    let mut lines = Vec::new();
    lines.extend(options.ostree.as_ref().map(Ostree::line));
    lines.extend(options.ostreecontainer.as_ref().map(OstreeContainer::line));
    lines.extend(options.bootc.as_ref().map(Bootc::line));
    lines.extend(options.liveimg.as_ref().map(Liveimg::line));
    lines.extend(options.groups.iter().map(|(name, group)| group.line(name)));
    lines.extend(options.users.iter().flat_map(|(name, user)| user.lines(name)));
    lines.extend(options.rootpw.as_ref().and_then(RootPassword::line));
    lines.extend(setting("lang", &options.lang));
    lines.extend(setting("keyboard", &options.keyboard));
    lines.extend(setting("timezone", &options.timezone));
    lines.extend(options.zerombr.then(|| "zerombr".to_owned()));
    lines.extend(options.clearpart.as_ref().map(Clearpart::line));
    lines.extend(options.display_mode.map(DisplayMode::line));
    lines.extend(options.autopart.as_ref().map(Autopart::line));
    lines.extend(options.reboot.as_ref().and_then(Reboot::line));
    lines.extend(options.network.iter().map(Network::line));
    lines.extend(options.bootloader.as_ref().and_then(Bootloader::line));
    lines.extend(options.post.iter().flat_map(Post::lines));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn text(mut options: Value) -> String {
        options["path"] = "/x.ks".into();
        lines(&serde_json::from_value(options).unwrap()).join("\n")
    }

    #[test]
    fn what_is_installed() {
        let container =
            json!({"url": "u", "stateroot": "s", "transport": "registry", "signatureverification": false});
        assert_eq!(
            text(json!({"ostreecontainer": container})),
            "ostreecontainer --url=u --stateroot=s --transport=registry"
        );
        assert_eq!(
            text(json!({"bootc": {"source-imgref": "a", "target-imgref": "b"}, "liveimg": {"url": "l"}})),
            "bootc --source-imgref a --target-imgref b\nliveimg --url l"
        );
    }

    #[test]
    fn accounts() {
        let user = json!({
            "uid": 1000, "gid": 1, "groups": ["wheel", "x"], "home": "/h", "shell": "/bin/sh", "password": "",
            "key": "ssh-rsa A",
        });
        assert_eq!(
            text(json!({"groups": {"g": {"gid": 7}, "f": {}}, "users": {"u": user, "v": {}}})),
            "group --name g --gid 7\ngroup --name f\nuser --name u --password \"\" --iscrypted --shell /bin/sh \
             --uid 1000 --gid 1 --groups wheel,x --homedir /h\nsshkey --username u \"ssh-rsa A\"\nuser --name v"
        );
        assert_eq!(
            text(json!({"rootpw": {"allow_ssh": true, "password": "p", "plaintext": true}})),
            "rootpw --plaintext --allow-ssh p"
        );
        assert_eq!(text(json!({"rootpw": {"lock": false}})), "");
    }

    #[test]
    fn disks() {
        let clearpart = json!({"all": true, "initlabel": true, "drives": ["sda", "vda"], "list": ["sda1"], "linux": true});
        let autopart =
            json!({"nohome": true, "noswap": false, "type": "plain", "pbkdf-time": 4, "encrypted": true});
        assert_eq!(
            text(
                json!({"zerombr": true, "clearpart": clearpart, "autopart": autopart, "display_mode": "text"})
            ),
            "zerombr\nclearpart --all --drives=sda,vda --list=sda1 --linux --initlabel\ntext\n\
             autopart --type=plain --encrypted --pbkdf-time=4 --nohome"
        );
    }

    #[test]
    fn the_end() {
        assert_eq!(text(json!({"reboot": false})), "");
        assert_eq!(
            text(json!({"reboot": {"eject": true, "kexec": false}})),
            "reboot --eject"
        );
        assert_eq!(
            text(
                json!({"network": [{"device": "eth0", "onboot": 1, "activate": true}], "bootloader": {"append": "a b"}})
            ),
            "network --device=eth0 --onboot=1 --activate\nbootloader --append='a b'"
        );
    }
}
