//! Describe a VMDK as an Open Virtualization Format package.
//!
//! Beside the disk `NAME.vmdk` come the descriptor `NAME.ovf`, a machine with two processors, 4 GiB of memory and no
//! network that vSphere and VirtualBox import, and the manifest `NAME.mf` with the checksums of both. The three, the
//! descriptor first, in a tar archive are an `.ova`. What VirtualBox wants to be unique derives from the stage.

mod descriptor;

use std::io::Read;
use std::path::Path;

use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::artifacts;
use descriptor::Descriptor;

/// Options of `org.osbuild.ovf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The disk.
    #[schemars(regex(pattern = "[a-zA-Z0-9+_.-]+.vmdk"))]
    vmdk: String,
    /// What VMware is told.
    #[serde(default)]
    vmware: VMware,
    /// What VirtualBox is told.
    #[serde(default)]
    virtualbox: VirtualBox,
}

/// What VMware is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct VMware {
    /// The guest's operating system, in VMware's terms.
    os_type: String,
    /// The oldest version of the virtual hardware.
    #[schemars(regex(pattern = "^vmx-[0-9]+$"))]
    virtual_hardware_version: String,
}

impl Default for VMware {
    fn default() -> Self {
        Self {
            os_type: "other26xLinux64Guest".into(),
            virtual_hardware_version: "vmx-15".into(),
        }
    }
}

/// What VirtualBox is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct VirtualBox {
    /// The guest's operating system, in VirtualBox's terms.
    os_type: String,
    /// The address of the network interface, twelve hexadecimal digits; one of VirtualBox's otherwise.
    #[schemars(regex(pattern = "^[a-fA-F0-9]{12}$"))]
    mac_address: Option<String>,
}

impl Default for VirtualBox {
    fn default() -> Self {
        Self {
            os_type: "OtherLinux_64".into(),
            mac_address: None,
        }
    }
}

module::stage! {
    file: "ovf.rs", name: "org.osbuild.ovf", options: Options, run: run,
    needs: [Tools],
    libraries: [include_str!("ovf/descriptor.rs"), artifacts::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let vmdk = Path::new(&options.vmdk);
    let name = vmdk
        .file_name()
        .and_then(|name| name.to_str())
        .context("options: vmdk")?;
    let disk = tree.open_file(vmdk)?;
    let unique = |what: &str| {
        let seed = format!(
            "{}{}{what}",
            args.meta.id.as_deref().unwrap_or_default(),
            options.vmdk
        );
        Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes())
    };
    let descriptor = Descriptor {
        image: name,
        size: disk.metadata()?.len(),
        capacity: artifacts::virtual_size(&disk).with_context(|| options.vmdk.clone())?,
        vmware_os: &options.vmware.os_type,
        hardware: &options.vmware.virtual_hardware_version,
        virtualbox_os: &options.virtualbox.os_type,
        machine: unique("machine"),
        disk: unique("disk"),
        mac: match &options.virtualbox.mac_address {
            Some(address) => address.clone(),
            None => mac_address(&unique("network")),
        },
    };
    let ovf = vmdk.with_extension("ovf");
    tree.write(&ovf, descriptor.xml())?;
    let mut manifest = String::new();
    for path in [ovf.as_path(), vmdk] {
        let name = path.file_name().unwrap_or_default().display();
        manifest += &format!("SHA256({name})= {}\n", digest(tree, path)?);
    }
    Ok(tree.write(vmdk.with_extension("mf"), manifest)?)
}

/// An address of the range that VirtualBox takes its own from.
fn mac_address(unique: &Uuid) -> String {
    format!("080027{}", hex::encode(&unique.as_bytes()[..3]))
}

fn digest(tree: &Tree, path: &Path) -> Result<String> {
    let mut file = tree.open_file(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::process::Command;

    #[test]
    fn the_descriptor_is_xml_and_the_manifest_has_the_sums() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = b"KDMV".to_vec();
        disk.resize(1024, 0);
        disk[12..20].copy_from_slice(&2048u64.to_le_bytes());
        std::fs::write(dir.path().join("a.b.vmdk"), disk).unwrap();
        let run = || {
            let options = json!({"vmdk": "a.b.vmdk", "vmware": {"os_type": "rhel9_64Guest"}});
            (MODULE.run)(json!({"tree": dir.path(), "options": options, "meta": {"id": "1"}})).unwrap();
            std::fs::read_to_string(dir.path().join("a.b.ovf")).unwrap()
        };
        let text = run();
        assert_eq!(text, run());
        for part in [
            "ovf:capacity=\"1048576\"",
            "ovf:size=\"1024\"",
            "vmw:osType=\"rhel9_64Guest\"",
            ">vmx-15<",
            "MACAddress=\"080027",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let sums = Command::new("sh")
            .args([
                "-ec",
                "sed 's/SHA256(\\(.*\\))= \\(.*\\)/\\2  \\1/' a.b.mf | sha256sum --check --strict",
            ])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(sums.status.success());
        let script = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
        match Command::new("python3")
            .args(["-c", script, "a.b.ovf"])
            .current_dir(dir.path())
            .output()
        {
            Ok(output) => assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(_) => println!("not parsed: there is no python3"),
        }
    }
}
