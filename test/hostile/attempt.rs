//! An attempt of `attempts.py` as a stage, and as its control.

use std::fs::FileTimes;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, TestEnv, need, run};

use super::host::Host;

/// Longer than any attempt takes.
pub(super) const LIMIT: Duration = Duration::from_secs(180);

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

    /// What a build that did not fail says of its only stage.
    pub(super) fn in_document(run: Run) -> Self {
        let document = run.expect(0).json();
        let output = document["log"]["tree"][0]["output"].as_str();
        Self::of(output.expect("a stage has an output"))
    }

    /// All of it succeeded, as far as this machine has it.
    pub(super) fn succeeded(&self, attempt: &str) {
        assert!(!self.got.is_empty(), "{attempt} has no working control: {self:?}");
        for line in &self.not {
            let absent = ABSENT.iter().any(|why| line.ends_with(&format!(": {why}")));
            assert!(absent, "the control of {attempt} fails: {self:?}");
            eprintln!("not shown, as this machine does not have it: {attempt}, {line}");
        }
    }

    /// Something was tried and nothing of it succeeded.
    pub(super) fn refused(&self, attempt: &str) {
        assert!(self.got.is_empty(), "{attempt} succeeded: {self:?}");
        assert!(!self.not.is_empty(), "{attempt} tried nothing");
    }
}

/// The same each time, its times too.
fn make_outside(env: &TestEnv) {
    let file = env.write("outside/file", "not for everybody");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in [file, env.path("outside")] {
        let opened = std::fs::File::open(path).unwrap();
        opened.set_times(FileTimes::new().set_modified(time)).unwrap();
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
        std::fs::create_dir_all(env.path("lib/stages")).unwrap();
        make_outside(&env);
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
        Said::in_document(self.build(attempt, targets, &["--json"]))
    }

    /// An osbuild for which these defences were taken away (`crates/sandbox/src/lifted.rs` and `fault::lifted!` have their names),
    /// with a store `lifted` and an output directory `lifted-out` of its own. What is told to it comes after.
    pub(super) fn lifted_command(&self, defences: &[&str]) -> Command {
        let osbuild = self.env.binaries().find_with_failpoints();
        let mut command = self.env.command(osbuild.unwrap_or_else(|e| panic!("{e:#}")));
        command
            .env("OSBUILD_LIFT", defences.join(","))
            .env("OSBUILD_LIFT_OUTSIDE", self.outside())
            .args(["--store", "lifted", "--output", "lifted-out", "-l", "lib"]);
        command
    }

    /// A build without these defences. It may change `outside`, as attempts that succeed do: that is set right again.
    pub(super) fn lifted(&self, defences: &[&str], manifest: &Value, args: &[&str]) -> Run {
        let mut command = self.lifted_command(defences);
        let text = manifest.to_string();
        run(command.args(args).arg("-"), text.as_bytes(), LIMIT)
    }

    /// What an attempt said as a stage without these defences, which was seen for the first time.
    fn said_without(&self, defences: &[&str], attempt: &str, targets: &Value) -> Said {
        let stage = self.stage(attempt, targets);
        let said = Said::in_document(self.lifted(defences, &tree_of(json!([stage])), &["--json"]));
        self.forget_lifted();
        said
    }

    /// Removes what a build without defences made, and sets `outside` right.
    pub(super) fn forget_lifted(&self) {
        for name in ["lifted", "lifted-out", "outside"] {
            let _ = std::fs::remove_dir_all(self.env.path(name));
        }
        make_outside(&self.env);
    }

    /// The control: without these defences all of an attempt succeeds; and it takes each of them, since with one of them back
    /// something of it is refused.
    pub(super) fn control(&self, attempt: &str, targets: &Value, defences: &[&str]) {
        self.said_without(defences, attempt, targets).succeeded(attempt);
        for back in defences.iter().filter(|_| defences.len() > 1) {
            let others: Vec<&str> = defences.iter().copied().filter(|name| name != back).collect();
            let said = self.said_without(&others, attempt, targets);
            let refused = said.not.iter().any(|line| {
                let absent = ABSENT.iter().any(|why| line.ends_with(&format!(": {why}")));
                !absent
            });
            assert!(refused, "{attempt} succeeds without {others:?} already: {said:?}");
        }
    }

    /// An attempt whose every part is refused in the box, and succeeds with these defences taken away.
    pub(super) fn refused(&self, attempt: &str, targets: &Value, defences: &[&str]) {
        self.said(attempt, targets).refused(attempt);
        self.control(attempt, targets, defences);
    }

    /// The command that makes an attempt outside of any box, with a mount table of its own: for what a box cannot be without.
    pub(super) fn unboxed_command(&self, attempt: &str, targets: &Value) -> Command {
        let mut targets = targets.clone();
        targets["control"] = true.into();
        targets["scratch"] = json!(self.env.write("scratch/here", "").parent());
        let mut command = self.env.command("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command.args(["python3", "attempts.py", attempt]);
        command.arg(targets.to_string());
        command
    }

    /// What an attempt says outside of any box, where all of it must succeed.
    pub(super) fn unboxed(&self, attempt: &str, targets: &Value) {
        let run = run(&mut self.unboxed_command(attempt, targets), b"", LIMIT).expect(0);
        Said::of(&run.stdout).succeeded(attempt);
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let after = Host::look(&self.env.path(""), &self.outside());
            let changed = self.before.difference(&after);
            assert!(
                changed.is_empty(),
                "the host was changed:\n{}",
                changed.join("\n")
            );
        }
    }
}

/// Something of the host's that a process makes for an attempt to look for, until its stdin ends.
pub(super) struct Prepared {
    process: Child,
    /// Whether it could be made.
    pub(super) ready: bool,
}

impl Prepared {
    /// Waits until the process says `made`.
    pub(super) fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        Self {
            process,
            ready: line == "made\n",
        }
    }

    /// Has it removed.
    pub(super) fn end(&mut self) {
        drop(self.process.stdin.take());
        assert_eq!(self.process.wait().unwrap().success(), self.ready);
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
