//! Install a bootable container to the mounted file systems with the build root's `bootc`.
//!
//! The image is the only one of the input `images`. All file systems that it boots from must be mounted. bootc makes
//! boot loaders, and may make loop devices: it wants the machine's own `/dev`, which only a build of the
//! machine's root has.

use std::io::Write;

use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::NamedTempFile;

use crate::images;

/// Options of `org.osbuild.bootc.install-to-filesystem`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Options {
    /// Keys with which root may log in.
    root_ssh_authorized_keys: Vec<String>,
    /// Kernel arguments.
    kernel_args: Vec<String>,
    /// The image that updates are fetched from.
    target_imgref: Option<String>,
    /// The name of the state root.
    stateroot: Option<String>,
    /// What the kernel is told of the root file system, instead of its UUID; empty: nothing.
    root_mount_spec: Option<String>,
    /// What is mounted at `/boot`, instead of the UUID of what is mounted there; empty: nothing.
    boot_mount_spec: Option<String>,
    /// Do not have bootupd write the UUID of `/boot`.
    bootupd_skip_boot_uuid: bool,
    /// The boot loader.
    bootloader: Option<Bootloader>,
    /// Use composefs, and not OSTree.
    composefs: bool,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Bootloader {
    Grub,
    Systemd,
    None,
}

module::stage! {
    file: "bootc_install_to_filesystem.rs", name: "org.osbuild.bootc.install-to-filesystem", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["images"],
            "properties": {"images": {"type": "object", "additionalProperties": true}},
        },
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [Anything, ImageTools],
    libraries: [images::SOURCE, archive::SOURCE_DIGEST],
}

fn run(args: Args<Options>) -> Result<()> {
    let images = images::of(&args)?;
    ensure!(
        images.len() == 1,
        "the input `images` must have one image, it has {}",
        images.len()
    );
    let source = images[0].source()?;
    let mut tool = Tool::new("bootc").args(["install", "to-filesystem", "--source-imgref", &source.name]);
    tool = tool.args(["--skip-fetch-check", "--generic-image"]);
    let keys = args.options.keys()?;
    if let Some(keys) = &keys {
        tool = tool.arg("--root-ssh-authorized-keys").arg(keys.path());
    }
    tool.args(args.options.arguments())
        .arg(&args.mounts_root)
        // the machine that builds need not have SELinux for an image that has
        .env("BOOTC_SKIP_SELINUX_HOST_CHECK", "true")
        .run()
}

impl Options {
    /// The keys in a file, which goes with the result.
    fn keys(&self) -> Result<Option<NamedTempFile>> {
        if self.root_ssh_authorized_keys.is_empty() {
            return Ok(None);
        }
        let mut file = NamedTempFile::new().context("cannot make a temporary file")?;
        for key in &self.root_ssh_authorized_keys {
            writeln!(file, "{key}").context("cannot write the keys")?;
        }
        Ok(Some(file))
    }

    fn arguments(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut pair = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        self.kernel_args
            .iter()
            .for_each(|argument| pair("--karg", argument));
        for (name, value) in [
            ("--target-imgref", &self.target_imgref),
            ("--stateroot", &self.stateroot),
        ] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                pair(name, value);
            }
        }
        for (name, value) in [
            ("--root-mount-spec", &self.root_mount_spec),
            ("--boot-mount-spec", &self.boot_mount_spec),
        ] {
            // an empty one says something
            words.extend(value.as_ref().map(|value| format!("{name}={value}")));
        }
        if self.bootupd_skip_boot_uuid {
            words.push("--bootupd-skip-boot-uuid".into());
        }
        if let Some(bootloader) = self.bootloader {
            let name = match bootloader {
                Bootloader::Grub => "grub",
                Bootloader::Systemd => "systemd",
                Bootloader::None => "none",
            };
            words.extend(["--bootloader".into(), name.into()]);
        }
        if self.composefs {
            words.push("--composefs-backend".into());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_become_arguments() {
        let options = json!({
            "root-ssh-authorized-keys": ["k1", "k2"], "kernel-args": ["quiet"], "target-imgref": "quay.io/x:1",
            "stateroot": "default", "root-mount-spec": "", "boot-mount-spec": "UUID=1",
            "bootupd-skip-boot-uuid": true, "bootloader": "systemd", "composefs": true,
        });
        let options: Options = serde_json::from_value(options).unwrap();
        assert_eq!(
            options.arguments().join("|"),
            "--karg|quiet|--target-imgref|quay.io/x:1|--stateroot|default|--root-mount-spec=|--boot-mount-spec=UUID=1|\
             --bootupd-skip-boot-uuid|--bootloader|systemd|--composefs-backend"
        );
        let keys = options.keys().unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(keys.path()).unwrap(), "k1\nk2\n");
        assert!(Options::default().arguments().is_empty());
    }
}
