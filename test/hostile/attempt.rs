//! An attempt of `attempts.py` as a stage, and as its control.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, TestEnv, need, run};

use super::host::Host;

/// Longer than any attempt takes.
const LIMIT: Duration = Duration::from_secs(180);

/// Why a control may fail: this machine does not have what the attempt is about.
const ABSENT: [&str; 4] = ["ENOSYS", "ENOENT", "EAFNOSUPPORT", "ENODEV"];

/// A place to build in, with a directory `outside` that must stay as it is; the host is compared when it goes.
pub(super) struct Hostile {
    pub(super) env: TestEnv,
    before: Host,
}

/// What an attempt said: what it got, and what it did not, with why.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) got: Vec<String>,
    pub(super) not: Vec<String>,
}

impl Said {
    pub(super) fn of(text: &str) -> Self {
        let with = |word: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(word));
            lines.map(str::to_owned).collect()
        };
        Self {
            got: with("GOT "),
            not: with("NOT "),
        }
    }
}

impl Hostile {
    /// `None`, said aloud, where the machine has not what it takes.
    pub(super) fn new(what: &str) -> Option<Self> {
        if !need::root(what) || !need::tools(&["python3", "unshare"], what) {
            return None;
        }
        let env = TestEnv::new();
        env.write("attempts.py", include_str!("attempts.py"));
        env.write("outside/file", "not for everybody");
        std::fs::create_dir_all(env.path("lib/stages")).unwrap();
        let before = Host::look(&env.path(""), &env.path("outside"));
        Some(Self { env, before })
    }

    pub(super) fn outside(&self) -> PathBuf {
        self.env.path("outside")
    }

    /// The stage that makes an attempt.
    pub(super) fn stage(&self, attempt: &str, targets: &Value) -> Value {
        let name = format!("org.hostile.{attempt}");
        let path = self.env.stage(&name, "");
        std::fs::write(path, include_str!("attempts.py")).unwrap();
        json!({"type": name, "options": {"attempt": attempt, "targets": targets}})
    }

    /// Builds a tree with an attempt.
    pub(super) fn build(&self, attempt: &str, targets: &Value, args: &[&str]) -> Run {
        let stage = self.stage(attempt, targets);
        self.run(&tree_of(json!([stage])), args)
    }

    pub(super) fn run(&self, manifest: &Value, args: &[&str]) -> Run {
        let args = [&["-l", "lib"], args].concat();
        let mut command = self.env.build_command();
        run(command.args(args), manifest.to_string().as_bytes(), LIMIT)
    }

    /// What an attempt said as a stage that did not fail.
    pub(super) fn said(&self, attempt: &str, targets: &Value) -> Said {
        let document = self.build(attempt, targets, &["--json"]).expect(0).json();
        let output = document["log"]["tree"][0]["output"].as_str();
        Said::of(output.expect("a stage has an output"))
    }

    /// The command that makes an attempt outside of any box, with a mount table of its own.
    pub(super) fn control_command(&self, attempt: &str, targets: &Value) -> Command {
        let mut targets = targets.clone();
        if targets["scratch"].is_null() {
            targets["scratch"] = json!(self.env.write("scratch/here", "").parent());
        }
        let mut command = self.env.command("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "python3",
            "attempts.py",
            attempt,
        ]);
        command.arg(targets.to_string());
        command
    }

    /// What an attempt said outside: it must have got what it wanted, as far as this machine has it.
    pub(super) fn control(&self, attempt: &str, targets: &Value) -> Said {
        let run = run(&mut self.control_command(attempt, targets), b"", LIMIT).expect(0);
        let said = Said::of(&run.stdout);
        assert!(!said.got.is_empty(), "{attempt} has no working control: {run}");
        for line in &said.not {
            let absent = ABSENT.iter().any(|why| line.ends_with(&format!(": {why}")));
            assert!(
                absent || line.ends_with(": none"),
                "the control of {attempt} fails: {line}"
            );
            if absent {
                eprintln!("not shown, as this machine does not have it: {attempt}, {line}");
            }
        }
        said
    }

    /// An attempt whose every part is refused in the box, and succeeds outside.
    pub(super) fn refused(&self, attempt: &str, targets: &Value, harmless: &Value) {
        let said = self.said(attempt, targets);
        assert!(said.got.is_empty(), "{attempt} succeeded: {said:?}");
        assert!(!said.not.is_empty(), "{attempt} tried nothing");
        self.control(attempt, harmless);
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let after = Host::look(&self.env.path(""), &self.outside());
            assert_eq!(self.before, after, "the host was changed");
        }
    }
}
