//! Deploy an OSTree commit from a container image.
//!
//! The image of the input `images` must hold an OSTree commit, as `rpm-ostree compose container-encapsulate` makes it.
//! The deployed system is updated from `target_imgref`.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::images;
use crate::sysroot::{self, Binds, Rootfs};

/// Options of `org.osbuild.ostree.deploy.container`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Paths that are file systems of their own.
    #[serde(default)]
    mounts: Vec<String>,
    /// The operating system's name.
    osname: String,
    /// Kernel arguments.
    #[serde(default)]
    kernel_opts: Vec<String>,
    /// The image that the system is updated from.
    #[schemars(extend("pattern" = "^(ostree-remote-registry|ostree-remote-image|ostree-image-signed|ostree-unverified-registry|ostree-unverified-image):.*$"))]
    target_imgref: String,
    /// The root file system.
    rootfs: Option<Rootfs>,
}

module::stage! {
    file: "ostree_deploy_container.rs", name: "org.osbuild.ostree.deploy.container", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["images"],
            "properties": {"images": {"type": "object", "additionalProperties": true}},
        },
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [ImageTools],
    libraries: [sysroot::SOURCE, images::SOURCE, archive::SOURCE_DIGEST],
}

fn run(args: Args<Options>) -> Result<()> {
    sysroot::one_input_at_most(&args)?;
    let options = &args.options;
    let tree = args.tree.path();
    let arguments = sysroot::kernel_arguments(&options.kernel_opts, options.rootfs.as_ref())?;
    let _binds = Binds::on_themselves(tree, &options.mounts)?;
    for image in images::of(&args)? {
        let source = image.source()?;
        let mut words = vec!["container".to_owned(), "image".into(), "deploy".into()];
        words.push(format!("--imgref=ostree-unverified-image:{}", source.name));
        words.push(format!("--stateroot={}", options.osname));
        words.push(format!("--target-imgref={}", options.target_imgref));
        words.push(sysroot::option("sysroot", tree));
        words.extend(arguments.iter().map(|argument| format!("--karg={argument}")));
        sysroot::ostree(&words.iter().map(String::as_str).collect::<Vec<_>>()).run()?;
    }
    Ok(())
}
