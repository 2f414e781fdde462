//! Make a container image of the tree, as an archive in the format `oci-archive`.
//!
//! The image has one layer: the tree with its owners, access control lists, file capabilities and other attributes, but no
//! SELinux labels. The time of creation is the pipeline's source epoch, or 1970: the same tree gives the same archive.
//! `podman pull oci-archive:FILE` takes it.
//!
//! In format 2 the name means the stage `org.osbuild.oci-archive`; there this is `org.osbuild.oci-archive.assembler`.

use std::fs::File;
use std::io::BufReader;

use archive::compress;
use archive::oci::{Config, Layout, MEMBERS};
use archive::tar::{Archive, Options as Like, Selection};
use archive::time::rfc3339;
use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::disk_image;

/// Options of `org.osbuild.oci-archive`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The CPU architecture, in Go's terms: `amd64`, `arm64`.
    architecture: String,
    /// The archive.
    filename: String,
    /// What a container of the image runs.
    #[serde(default)]
    config: Config,
}

module::assembler! {
    file: "oci_archive.rs", name: "org.osbuild.oci-archive", options: Options, run: run,
    aliases: ["org.osbuild.oci-archive.assembler"],
    needs: [Tools],
    libraries: [archive::SOURCE_DIGEST, include_str!("disk_image.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let (options, output) = (&args.options, args.output()?);
    let epoch = disk_image::epoch(&args)?;
    let time = epoch.unwrap_or(0);
    let mut file = disk_image::create(output, &options.filename)?;
    let scratch = tempfile::Builder::new()
        .prefix(".oci-")
        .tempdir_in(output.path())
        .context("cannot make a directory for the image")?;
    let layout = Layout::create(scratch.path())?;
    let tar = scratch.path().join("layer.tar");
    let like = Like {
        selection: Selection {
            selinux: false,
            ..Selection::ALL
        },
        latest: epoch,
        ..Like::default()
    };
    println!("making the layer");
    compress::write::<archive::Error>(File::create(&tar)?, None, |out| {
        let mut layer = Archive::new(out, like);
        layer.append_tree(&args.tree, ".")?;
        layer.finish()
    })?;
    let (layer, id) = layout.add_layer(BufReader::new(File::open(&tar)?))?;
    std::fs::remove_file(&tar)?;
    let config = json!({
        "created": rfc3339(time),
        "architecture": options.architecture,
        "os": "linux",
        "config": options.config.to_value(),
        "rootfs": {"type": "layers", "diff_ids": [id]},
    });
    layout.finish(&config, &[layer], None)?;
    let mut archive = Archive::new(
        &mut file,
        Like {
            mtime: Some(time),
            ..Like::default()
        },
    );
    let content = Tree::open(scratch.path())?;
    for member in MEMBERS {
        archive.append_path(&content, member)?;
    }
    Ok(archive.finish()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::disk_image::test::{missing_tool, run_on, sample};

    /// Oracle: skopeo.
    #[test]
    fn skopeo_reads_the_image_and_it_is_the_same_each_time() {
        if missing_tool("skopeo") {
            return;
        }
        let made = [(), ()].map(|()| {
            let dir = tempfile::tempdir().unwrap();
            let options = json!({
                "architecture": "amd64", "filename": "c.oci", "config": {"Cmd": ["/bin/true"], "Volumes": ["/v"]},
            });
            run_on(&MODULE, &sample(dir.path()), options).unwrap()
        });
        let [one, two] = made
            .each_ref()
            .map(|dir| std::fs::read(dir.path().join("c.oci")).unwrap());
        assert!(one == two);
        let out = tempfile::tempdir().unwrap();
        let image = format!("oci-archive:{}", made[0].path().join("c.oci").display());
        let copied = Command::new("skopeo")
            .args(["copy", "--insecure-policy", "-q", &image])
            .arg(format!("dir:{}", out.path().display()))
            .output()
            .unwrap();
        assert!(
            copied.status.success(),
            "{}",
            String::from_utf8_lossy(&copied.stderr)
        );
        let inspected = Command::new("skopeo")
            .args(["inspect", "--config", &image])
            .output()
            .unwrap();
        let config: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert_eq!(config["config"]["Cmd"], json!(["/bin/true"]));
        assert_eq!(config["config"]["Volumes"], json!({"/v": {}}));
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        let manifest = std::fs::read(out.path().join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        let listed = Command::new("tar")
            .arg("-tzf")
            .arg(out.path().join(digest.trim_start_matches("sha256:")))
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&listed.stdout).contains("./boot/efi/EFI/BOOT/grub.cfg"));
    }
}
