//! Copy container images into the tree.
//!
//! The images of the input `images` are written to a storage (`containers-storage`), from which podman runs them, or as
//! `oci`, `oci-archive` or `dir`. With the input `manifest-lists` an image keeps the list that it was pulled by.
//!
//! In a storage with the `overlay` driver no image can have a layer that removes something of those below it: that is
//! refused. `vfs` has no such limit.

use std::path::Path;

use module::{Args, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::images::{self, Store};

/// Options of `org.osbuild.skopeo`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where the images go.
    destination: Destination,
    /// Leave signatures behind.
    #[serde(default, rename = "remove-signatures")]
    remove_signatures: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
enum Destination {
    /// A storage.
    ContainersStorage {
        /// Where it is.
        #[serde(default = "storage_path", rename = "storage-path")]
        path: String,
        /// How it keeps layers.
        #[serde(default = "storage_driver", rename = "storage-driver")]
        driver: String,
    },
    /// A directory in OCI's layout.
    Oci {
        /// Where it is.
        path: String,
    },
    /// An archive of such a directory.
    OciArchive {
        /// Where it is.
        path: String,
    },
    /// A directory with the blobs.
    Dir {
        /// Where it is.
        path: String,
    },
}

fn storage_path() -> String {
    "/var/lib/containers/storage".into()
}

fn storage_driver() -> String {
    "overlay".into()
}

module::stage! {
    file: "skopeo.rs", name: "org.osbuild.skopeo", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["images"],
            "properties": {
                "images": {"type": "object", "additionalProperties": true},
                "manifest-lists": {"type": "object", "additionalProperties": true},
            },
        },
    },
    needs: [ImageTools],
    libraries: [images::SOURCE, archive::SOURCE_DIGEST],
}

fn run(args: Args<Options>) -> Result<()> {
    let images = images::of(&args)?;
    let plain = |transport: &str, path: &str| {
        let path = path.trim_start_matches('/');
        if let Some(parent) = Path::new(path).parent() {
            args.tree.mkdir_all(parent)?;
        }
        let target = format!("{transport}:{}", args.tree.path().join(path).display());
        images
            .iter()
            .try_for_each(|image| copy(&args.options, image, &target))
    };
    match &args.options.destination {
        Destination::Oci { path } => plain("oci", path),
        Destination::OciArchive { path } => plain("oci-archive", path),
        Destination::Dir { path } => plain("dir", path),
        Destination::ContainersStorage { path, driver } => {
            let store = Store::open(&args.tree, path, driver)?;
            for image in &images {
                copy(&args.options, image, &store.image(&image.name))?;
            }
            store.finish(&args.tree)
        }
    }
}

fn copy(options: &Options, image: &images::Image, target: &str) -> Result<()> {
    let source = image.source()?;
    let mut skopeo = Tool::new("skopeo").arg("copy");
    if options.remove_signatures {
        skopeo = skopeo.arg("--remove-signatures");
    }
    skopeo.arg(&source.name).arg(target).run()
}
