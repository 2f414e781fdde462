//! What a new stage looks like: it works, and each part of it is there to be changed.

/// The text of the file `stem.rs`.
pub(super) fn text(name: &str, stem: &str, summary: Option<&str>) -> String {
    let short = name.rsplit('.').next().unwrap_or(name);
    let first = summary.map_or_else(|| format!("Write `/etc/{short}`."), str::to_owned);
    TEMPLATE
        .replace("@SUMMARY@", &first)
        .replace("@NAME@", name)
        .replace("@SHORT@", short)
        .replace("@STEM@", stem)
}

const TEMPLATE: &str = r#"//! @SUMMARY@
//!
//! Writes the text into `/etc/@SHORT@`. Whatever was there is replaced.
//!
//! ```json
//! {"type": "@NAME@", "options": {"text": "hello\n"}}
//! ```

use module::{Args, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "etc/@SHORT@";

/// Options of `@NAME@`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The text of the file.
    text: String,
    /// The permission bits of the file, in octal digits.
    #[serde(default = "readable")]
    mode: String,
}

fn readable() -> String {
    "644".to_owned()
}

module::stage! {
    file: "@STEM@.rs", name: "@NAME@", options: Options, run: run,
}

fn run(args: Args<Options>) -> Result<()> {
    let Options { text, mode } = &args.options;
    let bits = u32::from_str_radix(mode, 8).unwrap_or(u32::MAX);
    ensure!(bits <= 0o7777, "`{mode}` are no permission bits");
    args.tree.mkdir_all("etc")?;
    // removed first: what lies there may be a link to a file that others share
    args.tree.remove_all(FILE)?;
    args.tree.write(FILE, text)?;
    args.tree.chmod(FILE, bits)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use module::Tree;
    use serde_json::{Value, json};

    fn run_on(tree: &Tree, options: Value) -> Result<()> {
        (MODULE.run)(json!({"tree": tree.path(), "options": options}))
    }

    #[test]
    fn the_file_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        run_on(&tree, json!({"text": "hello\n", "mode": "600"})).unwrap();
        assert_eq!(tree.read_text(FILE).unwrap(), "hello\n");
        assert_eq!(tree.stat(FILE).unwrap().unwrap().mode, 0o600);
        assert!(run_on(&tree, json!({"text": "", "mode": "rw"})).is_err());
    }
}
"#;
