//! Import a flatpak that is packed as a container into a repository of flatpaks.
//!
//! The container is the only one of the input `containers`. The flatpak is not installed: what reads the repository, such
//! as Anaconda, does that.

use module::{Args, Context, Location, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.flatpak.build-import-bundle.oci`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The repository: a location in the tree.
    #[schemars(extend("pattern" = "^tree:///"))]
    repository: String,
}

module::stage! {
    file: "flatpak_build_import_bundle_oci.rs", name: "org.osbuild.flatpak.build-import-bundle.oci",
    options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["containers"],
            "properties": {"containers": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything, ImageTools],
}

fn run(args: Args<Options>) -> Result<()> {
    let input = args.input("containers")?;
    let archives = input.data["archives"]
        .as_object()
        .context("the input has no containers")?;
    ensure!(
        archives.len() == 1,
        "the input must have one container, it has {}",
        archives.len()
    );
    let container = archives
        .keys()
        .map(|id| input.path.join(id))
        .next()
        .unwrap_or_default();
    let location = Location::parse(&args.options.repository)?;
    let repository = location
        .root(&args)?
        .path()
        .join(location.path().trim_start_matches('/'));
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    // its own name has a colon, which means something to tools
    let (plain, layout) = (scratch.path().join("container"), scratch.path().join("oci"));
    std::os::unix::fs::symlink(&container, &plain).context("cannot make a link")?;
    Tool::new("skopeo")
        .arg("copy")
        .arg(format!("dir:{}", plain.display()))
        .arg(format!("oci:{}", layout.display()))
        .run()?;
    Tool::new("flatpak")
        .args(["build-import-bundle", "--oci"])
        .arg(repository)
        .arg(layout)
        .run()
}
