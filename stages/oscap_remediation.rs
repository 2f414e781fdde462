//! Bring a tree in line with a security profile, with OpenSCAP.
//!
//! Runs the tree's own oscap in the tree: it evaluates the profile, writes a script that remedies what is not as it should
//! be, and the script is run; what the script cannot remedy is in the results, which stay in `data_dir`. With
//! `html_report` the outcome is evaluated once more.

use std::io::Write;

use module::{Args, Chroot, Context, Result, Tool, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const SCRIPT: &str = "oscap_remediation.bash";
/// oscap: all is well, or all is well but some rules are not followed.
const GOOD: [i32; 2] = [0, 2];

/// Options of `org.osbuild.oscap.remediation`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Directory of the results.
    #[serde(default = "default_dir")]
    data_dir: String,
    /// What is evaluated.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Id of the profile.
    profile_id: String,
    /// The data stream, in the tree.
    datastream: String,
    /// Id of the data stream, where the file has several.
    datastream_id: Option<String>,
    /// Id of the checklist, where the file has several.
    xccdf_id: Option<String>,
    /// Not used.
    #[serde(rename = "benchmark_id")]
    _benchmark_id: Option<String>,
    /// A tailoring file, in the tree.
    tailoring: Option<String>,
    /// Not used.
    #[serde(rename = "tailoring_id")]
    _tailoring_id: Option<String>,
    /// Name of the results in the ARF format.
    arf_results: Option<String>,
    /// The old name of `arf_results`.
    xml_results: Option<String>,
    /// Name of the results in the XCCDF format.
    #[serde(default = "default_results")]
    xccdf_results: String,
    /// Name of a report for people.
    html_report: Option<String>,
    /// Start of the names of the logs.
    verbose_log: Option<String>,
    /// How much is logged.
    #[schemars(extend("enum" = ["DEVEL", "INFO", "WARNING", "ERROR"]))]
    verbose_level: Option<String>,
    /// Whether the results are compressed with xz.
    #[serde(default)]
    compress_results: bool,
}

module::stage! {
    file: "oscap_remediation.rs", name: "org.osbuild.oscap.remediation", options: Options, run: run,
    needs: [Anything],
}

fn default_dir() -> String {
    "/root".into()
}

fn default_results() -> String {
    "oscap_eval_xccdf_results.xml".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    for program in ["/usr/bin/oscap", "/usr/bin/bash"] {
        ensure!(
            tree.is_file(program),
            "{program} is not in the tree: install it in an earlier stage"
        );
    }
    tree.mkdir_all(&options.data_dir)?;
    let chroot = Chroot::with_kernel_only(tree)?;
    let run = |what: &str, words: Vec<String>| -> Result<()> {
        let code = oscap(&chroot).args(words).status()?;
        ensure!(GOOD.contains(&code), "oscap could not {what}: exit code {code}");
        Ok(())
    };
    run("evaluate the profile", options.evaluation())?;
    run("write the remediation", options.fix())?;
    remedy(&chroot, options)?;
    if let Some(report) = &options.config.html_report {
        run("evaluate the outcome", options.report(report))?;
    }
    if options.config.compress_results {
        for name in options.arf().into_iter().chain([&options.config.xccdf_results]) {
            compress(tree, &options.file(name))?;
        }
    }
    Ok(())
}

/// oscap, told that it looks at no running system.
fn oscap(chroot: &Chroot) -> Tool {
    chroot
        .tool("/usr/bin/oscap")
        .env("OSCAP_PROBE_ROOT", "")
        .env("OSCAP_CONTAINER_VARS", "container=bwrap-osbuild")
}

/// Runs the script; what it could not do is told by the results, not by its exit code.
fn remedy(chroot: &Chroot, options: &Options) -> Result<()> {
    let script = options.file(SCRIPT);
    let bash = chroot.tool("/usr/bin/bash");
    let bash = match &options.config.verbose_log {
        // the log is opened in the tree, where links lead to the tree's files
        Some(log) => bash
            .args(["-c", "exec /usr/bin/bash \"$1\" 2>\"$2\"", "bash", &script])
            .arg(options.file(&format!("{log}.remediation"))),
        None => bash.arg(&script),
    };
    let code = bash.status()?;
    println!("the remediation ended with exit code {code}");
    Ok(())
}

impl Options {
    /// A result's path, from the root of the tree.
    fn file(&self, name: &str) -> String {
        format!("/{}/{name}", self.data_dir.trim_matches('/'))
    }

    fn arf(&self) -> Option<&String> {
        self.config
            .arf_results
            .as_ref()
            .or(self.config.xml_results.as_ref())
    }

    fn evaluation(&self) -> Vec<String> {
        let mut words = self.start(&["xccdf", "eval"], "eval", &[]);
        if let Some(arf) = self.arf() {
            words.extend(["--results-arf".into(), self.file(arf)]);
        }
        words.extend(["--results".into(), self.file(&self.config.xccdf_results)]);
        words.push(self.config.datastream.clone());
        words
    }

    fn fix(&self) -> Vec<String> {
        let mut words = self.start(&["xccdf", "generate", "fix"], "generate-fix", &[]);
        words.extend(["--fix-type", "bash", "--output"].map(str::to_owned));
        words.extend([self.file(SCRIPT), self.file(&self.config.xccdf_results)]);
        words
    }

    /// The hardening may forbid the algorithms that the data stream is signed with: the signature was checked before.
    fn report(&self, name: &str) -> Vec<String> {
        let mut words = self.start(
            &["xccdf", "eval"],
            "eval-remediated",
            &["--skip-signature-validation"],
        );
        words.extend(["--report".into(), self.file(name), self.config.datastream.clone()]);
        words
    }

    /// The subcommand, its log, further options, and what is evaluated.
    fn start(&self, subcommand: &[&str], log: &str, further: &[&str]) -> Vec<String> {
        let config = &self.config;
        let level = config.verbose_level.clone();
        let level = level.or_else(|| config.verbose_log.as_ref().map(|_| "INFO".into()));
        let log = config
            .verbose_log
            .as_ref()
            .map(|name| self.file(&format!("{name}.{log}")));
        let mut words: Vec<String> = subcommand.iter().copied().map(str::to_owned).collect();
        let logging = [("--verbose", level), ("--verbose-log-file", log)];
        words.extend(given(logging));
        words.extend(further.iter().copied().map(str::to_owned));
        words.extend(given([
            ("--profile", Some(config.profile_id.clone())),
            ("--datastream-id", config.datastream_id.clone()),
            ("--xccdf-id", config.xccdf_id.clone()),
            ("--tailoring-file", config.tailoring.clone()),
        ]));
        words
    }
}

/// The options that have a value.
fn given<const N: usize>(options: [(&str, Option<String>); N]) -> impl Iterator<Item = String> {
    let given = options.map(|(name, value)| value.map(|value| [name.to_owned(), value]));
    given.into_iter().flatten().flatten()
}

/// Replaces `path` by `path.xz`.
fn compress(tree: &Tree, path: &str) -> Result<()> {
    let bytes = tree.read(path)?;
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder
        .write_all(&bytes)
        .and_then(|()| encoder.try_finish())
        .with_context(|| format!("cannot compress {path}"))?;
    tree.write(format!("{path}.xz"), encoder.finish()?)?;
    Ok(tree.remove_file(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_arguments_are_oscaps() {
        let options: Options = serde_json::from_value(json!({"config": {
            "profile_id": "p", "datastream": "/ds.xml", "tailoring": "/t", "html_report": "r.html",
            "verbose_log": "l", "arf_results": "arf.xml",
        }}))
        .unwrap();
        assert_eq!(
            options.evaluation().join(" "),
            "xccdf eval --verbose INFO --verbose-log-file /root/l.eval --profile p --tailoring-file /t \
             --results-arf /root/arf.xml --results /root/oscap_eval_xccdf_results.xml /ds.xml"
        );
        assert_eq!(
            options.fix().join(" "),
            "xccdf generate fix --verbose INFO --verbose-log-file /root/l.generate-fix --profile p \
             --tailoring-file /t --fix-type bash --output /root/oscap_remediation.bash \
             /root/oscap_eval_xccdf_results.xml"
        );
        assert_eq!(
            options.report("r.html").join(" "),
            "xccdf eval --verbose INFO --verbose-log-file /root/l.eval-remediated --skip-signature-validation \
             --profile p --tailoring-file /t --report /root/r.html /ds.xml"
        );
    }
}
