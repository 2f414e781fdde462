//! Make the files of a Vagrant box.
//!
//! The only file of the input `image` is the disk: `box.img`, a qcow2, for libvirt, `box.vmdk` for VirtualBox. Beside it
//! come `Vagrantfile` and `metadata.json`. An archive of the three, as `org.osbuild.tar` makes it, is a box.

use std::path::Path;

use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts;

/// Options of `org.osbuild.vagrant`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "provider", rename_all = "lowercase", deny_unknown_fields)]
pub enum Options {
    /// libvirt, with KVM.
    Libvirt {},
    /// VirtualBox.
    VirtualBox {
        /// What VirtualBox is told.
        virtualbox: VirtualBox,
        /// Directories of the host in the guest.
        #[serde(default)]
        synced_folders: Folders,
    },
}

/// What VirtualBox is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VirtualBox {
    /// The address of the network interface, twelve hexadecimal digits.
    #[schemars(regex(pattern = "^[a-fA-F0-9]{12}$"))]
    mac_address: String,
}

/// Directories of the host in the guest.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folders {
    /// The directory of the Vagrantfile.
    #[serde(rename = "/vagrant")]
    vagrant: Option<Folder>,
}

/// A directory of the host in the guest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// How it gets there.
    #[serde(rename = "type")]
    kind: Option<FolderType>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FolderType {
    VBoxFs,
    Rsync,
}

module::stage! {
    file: "vagrant.rs", name: "org.osbuild.vagrant", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["image"],
            "properties": {"image": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [artifacts::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let input = args.input("image")?;
    let image = input.single_file().context("input `image`")?;
    let copy = |name: &str| -> Result<()> {
        let (from, to) = (Path::new(image.name.trim_start_matches('/')), Path::new(name));
        Ok(tree::copy_entry(&input.tree()?, from, &args.tree, to)?)
    };
    let (settings, metadata) = match &args.options {
        Options::Libvirt {} => {
            copy("box.img")?;
            (LIBVIRT.to_owned(), libvirt_metadata(&args.tree)?)
        }
        Options::VirtualBox {
            virtualbox,
            synced_folders,
        } => {
            copy("box.vmdk")?;
            let settings = virtualbox_settings(virtualbox, synced_folders)?;
            (settings, r#"{"provider": "virtualbox"}"#.to_owned())
        }
    };
    args.tree.write(
        "Vagrantfile",
        format!("Vagrant.configure(\"2\") do |config|\n    {settings}\nend\n"),
    )?;
    Ok(args.tree.write("metadata.json", metadata)?)
}

const LIBVIRT: &str = "config.vm.provider :libvirt do |libvirt|\n  libvirt.driver = \"kvm\"\nend\n";

/// The size counts in whole units of 10⁹ bytes.
fn libvirt_metadata(tree: &Tree) -> Result<String> {
    let size = artifacts::virtual_size(&tree.open_file("box.img")?).context("the image")?;
    let size = size / 1_000_000_000;
    Ok(format!(
        r#"{{"provider": "libvirt", "format": "qcow2", "virtual_size": {size}}}"#
    ))
}

fn virtualbox_settings(virtualbox: &VirtualBox, folders: &Folders) -> Result<String> {
    let mut text = format!("config.vm.base_mac = \"{}\"\n", virtualbox.mac_address);
    if let Some(folder) = &folders.vagrant {
        let kind = match folder
            .kind
            .context("options: synced_folders: /vagrant: `type` is missing")?
        {
            FolderType::VBoxFs => "vboxfs",
            FolderType::Rsync => "rsync",
        };
        text += &format!("    config.vm.synced_folder \".\", \"/vagrant\", type: \"{kind}\"\n");
    }
    Ok(text)
}
