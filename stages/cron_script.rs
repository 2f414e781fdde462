//! Let cron run a script every hour, day, week or month.
//!
//! Writes `/etc/cron.INTERVAL/FILENAME`, a script for bash. The directory comes with cron. Debian's run-parts(8) skips
//! names with a dot in them.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.cron.script`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["simple"]}]))]
pub struct Options {
    /// How often it runs.
    interval: Interval,
    /// Name of the script.
    #[schemars(regex(pattern = r"^[\w.-]{1,255}$"))]
    filename: String,
    /// One command.
    simple: Simple,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Interval {
    Hourly,
    Daily,
    Weekly,
    Monthly,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Simple {
    /// Lines of comment above it.
    #[serde(default)]
    comment: Vec<String>,
    /// What to run.
    command: String,
}

module::stage! { file: "cron_script.rs", name: "org.osbuild.cron.script", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let interval = match options.interval {
        Interval::Hourly => "hourly",
        Interval::Daily => "daily",
        Interval::Weekly => "weekly",
        Interval::Monthly => "monthly",
    };
    let path = format!("etc/cron.{interval}/{}", options.filename);
    args.tree.write(&path, script(&options.simple))?;
    Ok(args.tree.chmod(&path, 0o755)?)
}

fn script(simple: &Simple) -> String {
    let comment: String = simple.comment.iter().map(|line| format!("# {line}\n")).collect();
    format!("#!/bin/bash\n{comment}{}\n", simple.command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_script_runs() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/cron.daily").unwrap();
        let options = json!({
            "interval": "daily", "filename": "x", "simple": {"comment": ["a", "b"], "command": "echo good"},
        });
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            tree.read_text("etc/cron.daily/x").unwrap(),
            "#!/bin/bash\n# a\n# b\necho good\n"
        );
        assert_eq!(
            tree.stat("etc/cron.daily/x").unwrap().unwrap().mode & 0o7777,
            0o755
        );
        // not by itself: a process that another test is just starting may have it open for writing still
        let output = std::process::Command::new("bash")
            .arg(dir.path().join("etc/cron.daily/x"))
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"good\n");
    }
}
