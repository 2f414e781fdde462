//! Put the path of the OSTree deployment into a GRUB configuration.
//!
//! In the file, `@OSTREE@` is replaced by the path that the kernel argument `ostree=` wants. The deployment, of which
//! there must be one, is sought in the input `tree` or in `source`.

use module::{Args, Location, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.grub2`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file.
    filename: String,
    /// Where the deployment is: `mount://` or `input://`.
    #[schemars(extend("oneOf" = [
        {"type": "string", "pattern": "^mount://"}, {"type": "string", "pattern": "^input://[^/]+/"},
    ]), transform = only_one_of)]
    source: Option<String>,
}

fn only_one_of(schema: &mut schemars::Schema) {
    schema.remove("type");
}

module::stage! {
    file: "ostree_grub2.rs", name: "org.osbuild.ostree.grub2", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["tree"],
            "properties": {"tree": {"type": "object", "additionalProperties": true}},
        },
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
    },
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

/// What stands for the path.
const MARK: &str = "@OSTREE@";

fn run(args: Args<Options>) -> Result<()> {
    let source = match &args.options.source {
        Some(source) => {
            let location = Location::parse(source)?;
            location.root(&args)?.subtree(location.path())?
        }
        None => args.input("tree")?.tree()?,
    };
    let path = sysroot::boot_path(&source)?;
    let file = args.options.filename.trim_start_matches('/');
    let text = args.tree.read_text(file)?;
    // a new file in its place, as sed -i would make it
    let new = format!("{file}.replace");
    args.tree.write(&new, text.replace(MARK, &path))?;
    Ok(args.tree.rename(new, file)?)
}
