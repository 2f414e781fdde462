//! Run a test at boot: its output goes to the first virtio port, then the machine is switched off.
//!
//! Writes the unit `osbuild-test.service` to `/etc/systemd/system`, which the tree must have, and enables it.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const DIR: &str = "etc/systemd/system";

/// Options of `org.osbuild.test`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The command.
    script: String,
}

module::stage! { file: "test.rs", name: "org.osbuild.test", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let unit = format!(
        "\n[Unit]\nDescription=Boot Test\nWants=dev-vport0p1.device\nAfter=dev-vport0p1.device\n\n\
         [Service]\nStandardOutput=file:/dev/vport0p1\nExecStart={}\n\
         ExecStopPost=/usr/bin/systemctl poweroff\n",
        args.options.script
    );
    args.tree.write(format!("{DIR}/osbuild-test.service"), unit)?;
    let wants = format!("{DIR}/multi-user.target.wants");
    args.tree.mkdir_all(&wants)?;
    Ok(args
        .tree
        .symlink("../osbuild-test.service", format!("{wants}/osbuild-test.service"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_unit_is_enabled() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all(DIR).unwrap();
        (MODULE.run)(json!({"tree": dir.path(), "options": {"script": "/bin/x"}})).unwrap();
        let unit = tree
            .read_text(format!("{DIR}/multi-user.target.wants/osbuild-test.service"))
            .unwrap();
        assert!(unit.contains("\nExecStart=/bin/x\n"));
    }
}
