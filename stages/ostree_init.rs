//! Make an OSTree repository.
//!
//! The directories above it are made as well.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.init`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How it keeps files.
    mode: Mode,
    /// Where it is in the tree.
    path: String,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(extend("enum" = ["bare", "bare-user", "bare-user-only", "archive"]), transform = only_enum)]
enum Mode {
    /// As they are.
    Bare,
    /// As files of whoever writes them, owners and modes beside them.
    BareUser,
    /// As files of whoever writes them, owners and the like left out.
    BareUserOnly,
    /// Compressed, to be served to others.
    Archive,
}

fn only_enum(schema: &mut schemars::Schema) {
    schema.remove("oneOf");
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Archive,
            path: "/repo".into(),
        }
    }
}

module::stage! {
    file: "ostree_init.rs", name: "org.osbuild.ostree.init", options: Options, run: run,
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let path = args.options.path.trim_start_matches('/');
    if let Some(parent) = std::path::Path::new(path).parent() {
        args.tree.mkdir_all(parent)?;
    }
    let mode = match args.options.mode {
        Mode::Bare => "--mode=bare",
        Mode::BareUser => "--mode=bare-user",
        Mode::BareUserOnly => "--mode=bare-user-only",
        Mode::Archive => "--mode=archive",
    };
    let repo = sysroot::option("repo", &sysroot::below(args.tree.path(), path));
    sysroot::ostree(&["init", "-v", mode, &repo]).run()
}
