//! What is built while things fail, and what must hold afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::sources::Sources;
use crate::listing::{Item, Listing, list, without};
use crate::manifests::{copy_of, sha256};
use crate::{Binaries, Httpd, Reply, Run, TestEnv, run};

/// No run takes longer.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// A place with a store that has the first stages of a manifest, the manifest, and what comes of it.
#[derive(Debug)]
pub struct Scene {
    pub env: TestEnv,
    /// An osbuild with failpoints.
    faulty: PathBuf,
    _server: Httpd,
    expected: Listing,
    digests: BTreeMap<String, String>,
    /// The ids of the stages that the store has from before.
    earlier: Vec<String>,
    /// How long a build takes when nothing fails.
    pub time: Duration,
}

/// What a run may leave until the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// Temporary files: it was killed.
    Files,
}

impl Scene {
    /// Sets it up with the executables under test; `faulty` is an osbuild with failpoints.
    pub fn new(faulty: &Path) -> Self {
        let binaries = Binaries::find().unwrap_or_else(|e| panic!("{e:#}"));
        Self::with(&binaries, faulty)
    }

    /// Sets it up with these executables.
    pub fn with(binaries: &Binaries, faulty: &Path) -> Self {
        let env = TestEnv::with(binaries.clone());
        let contents = [vec![b'x'; 300_000], b"from the manifest".to_vec()];
        let mut replies = vec![("/file".to_owned(), Reply::Content(contents[0].clone()))];
        let sources = Sources::make(&env, &mut replies);
        let server = Httpd::serve(replies);
        let first = manifest(&server, &contents, &sources, FIRST);
        let whole = manifest(&server, &contents, &sources, usize::MAX);
        let mut scene = Self {
            faulty: faulty.to_owned(),
            _server: server,
            expected: Listing::new(),
            digests: BTreeMap::new(),
            earlier: Vec::new(),
            time: Duration::ZERO,
            env,
        };
        scene.env.write("manifest.json", whole.to_string());
        scene.build_once("manifest.json", "whole");
        scene.expected = outcome(&scene.env.path("out"));
        scene.digests = scene.stages("whole");
        scene.env.write("first.json", first.to_string());
        scene.build_once("first.json", "seed");
        scene.earlier = scene.stages("seed").into_keys().collect();
        let begun = Instant::now();
        scene.fresh();
        scene.build(&mut scene.command(&scene.env.binaries().osbuild(), "store", "out"));
        scene.time = begun.elapsed();
        scene
    }

    fn build_once(&self, manifest: &str, store: &str) {
        let args = ["--store", store, "-o", "out", "-q", manifest];
        self.env.osbuild(args).expect(0);
    }

    fn build(&self, command: &mut Command) -> Run {
        run(command, b"", LIMIT)
    }

    /// How many stages a build has to run.
    pub fn missing(&self) -> usize {
        self.digests.len() - self.earlier.len()
    }

    /// The store as it was before, an empty output directory.
    pub fn fresh(&self) {
        for dir in ["store", "out"] {
            let path = self.env.path(dir);
            if path.exists() {
                fs::remove_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            }
        }
        self.copy_seed(&self.env.store());
    }

    /// Puts a copy of the store as it was before there.
    pub fn copy_seed(&self, to: &Path) {
        let seed = self.env.path("seed");
        let mut command = self.env.command("cp");
        self.build(command.arg("-a").arg(seed).arg(to)).expect(0);
    }

    /// The command that builds the manifest.
    pub fn command(&self, osbuild: &Path, store: &str, out: &str) -> Command {
        let mut command = self.env.command(osbuild);
        command
            .args(["--json", "--store", store, "-o", out, "manifest.json"])
            .stdin(Stdio::null());
        command
    }

    /// The build with its n-th step failing in some way: what came of it, and the place of the step; `None`: it has fewer.
    pub fn fails_at(&self, kind: &str, n: u64, args: &[&str]) -> (Run, Option<String>) {
        let said = self.env.path("said");
        let _ = fs::remove_file(&said);
        let mut command = self.command(&self.faulty, "store", "out");
        command.args(args);
        command.env("OSBUILD_FAULT", format!("{kind}:{n}"));
        command.env("OSBUILD_FAULT_SAID", &said);
        (self.build(&mut command), fs::read_to_string(said).ok())
    }

    /// The stages in a store, and their trees.
    fn stages(&self, store: &str) -> BTreeMap<String, String> {
        let list = self
            .env
            .osbuild(["store", "ls", "--json", "--store", store])
            .expect(0)
            .json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let stages = list.as_array().into_iter().flatten();
        stages
            .map(|stage| (text(&stage["id"]), text(&stage["tree"])))
            .collect()
    }

    /// What must hold after a fault: nothing is left but what may be; the next run builds the same and clears up; the store is
    /// whole, and has what it had before.
    pub fn holds(&self, what: &str, left: Left) {
        self.holds_with(what, left, true);
    }

    fn holds_with(&self, what: &str, left: Left, whole: bool) {
        let found = self.left();
        // what has come of a download is kept, to go on from there; the lock file that cannot be locked may be another's
        let may_stay = |line: &str| {
            line.contains("/.partial/")
                || line.contains("/tmp/lock-")
                || (left == Left::Files && line.starts_with("file: "))
        };
        let bad: Vec<&String> = found.iter().filter(|line| !may_stay(line)).collect();
        assert!(bad.is_empty(), "{what}: left behind: {bad:#?}");
        let again = self.again(what, "store", "out");
        self.is_good_with(what, "store", "out", whole);
        let ran = ran(&again);
        let lost = self.earlier.iter().find(|id| ran.contains(id));
        // what cannot be read may be on a broken disk, and is made again
        assert!(
            lost.is_none() || !whole || what.starts_with("error"),
            "{what}: {lost:?} was built again"
        );
        let found = self.left();
        assert!(
            found.is_empty(),
            "{what}: not collected by the next run: {found:#?}"
        );
    }

    /// [`holds`](Self::holds) after a run that had no more room than the last tree takes: squashed, it needs none of those
    /// before it, and they may be gone.
    pub fn holds_what_it_has(&self, what: &str, left: Left) {
        self.holds_with(what, left, false);
    }

    /// The build with nothing failing: it gives what it always gives.
    pub fn again(&self, what: &str, store: &str, out: &str) -> Run {
        let run = self.build(&mut self.command(&self.env.binaries().osbuild(), store, out));
        assert_eq!(run.code, 0, "{what}: then {run}");
        assert!(self.has_result(out), "{what}: another result in {out}");
        run
    }

    /// Whether a store is whole, and holds what comes of the manifest, as an output directory does.
    pub fn is_good(&self, what: &str, store: &str, out: &str) {
        self.is_good_with(what, store, out, true);
    }

    fn is_good_with(&self, what: &str, store: &str, out: &str, whole: bool) {
        assert!(
            outcome(&self.env.path(out)) == self.expected,
            "{what}: another result in {out}"
        );
        let stages = self.stages(store);
        for (id, digest) in &self.digests {
            let found = stages.get(id);
            assert!(
                found == Some(digest) || found.is_none() && !whole,
                "{what}: stage {id}: {found:?}"
            );
        }
        let check = self.env.osbuild(["store", "fsck", "--deep", "--store", store]);
        assert_eq!(check.code, 0, "{what}: {check}");
    }

    /// Whether an output directory has what comes of the manifest.
    pub fn has_result(&self, out: &str) -> bool {
        outcome(&self.env.path(out)) == self.expected
    }

    /// What is left of a run. Temporary files are lines that begin with `file: `.
    fn left(&self) -> Vec<String> {
        let mut left = crate::left_behind(&self.env.path(""));
        for dir in [
            "tmp",
            "store/tmp",
            "out",
            "store/sources/org.osbuild.files/.partial",
            "store/sources/org.osbuild.containers",
            "store/sources/org.osbuild.ostree/repo/tmp",
        ] {
            for entry in fs::read_dir(self.env.path(dir)).into_iter().flatten().flatten() {
                let name = entry.file_name();
                // what is finished, or is there always
                let is_kept = dir == "out" || dir.ends_with("containers") || name == "cache";
                if !is_kept || name.to_string_lossy().starts_with('.') {
                    left.push(format!("file: {}", entry.path().display()));
                }
            }
        }
        left
    }
}

/// The ids of the stages that ran.
pub(super) fn ran(run: &Run) -> Vec<String> {
    let document = run.json();
    let pipelines = document["log"].as_object().into_iter().flatten();
    let stages = pipelines.flat_map(|(_, stages)| stages.as_array().into_iter().flatten());
    stages
        .filter_map(|stage| stage["id"].as_str().map(str::to_owned))
        .collect()
}

/// So many stages need nothing that is fetched.
const FIRST: usize = 2;

/// Five stages or six: the first two need nothing, the others what is fetched. With the last ones there are more layers
/// than an osbuild with failpoints keeps.
fn manifest(server: &Httpd, contents: &[Vec<u8>; 2], sources: &Sources, stages: usize) -> Value {
    let sums = contents.each_ref().map(sha256);
    let mut all = vec![
        json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}, {"path": "/usr/bin", "parents": true}]}}),
        json!({"type": "org.osbuild.hostname", "options": {"hostname": "before"}}),
        copy_of(&[(&sums[0], "usr/bin/big"), (&sums[1], "etc/small")]),
        json!({"type": "org.osbuild.hostname", "options": {"hostname": "after"}}),
        json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/srv"}]}}),
    ];
    all.extend(sources.stage());
    all.truncate(stages);
    let inline = json!({"encoding": "base64", "data": "ZnJvbSB0aGUgbWFuaWZlc3Q="});
    let url = json!({"url": server.url("/file")});
    let mut document = json!({"version": "2", "pipelines": [
        {"name": "tree", "source-epoch": 1_700_000_000, "stages": all},
    ]});
    if stages > FIRST {
        document["sources"] = json!({
            "org.osbuild.curl": {"items": {sums[0].as_str(): url}},
            "org.osbuild.inline": {"items": {sums[1].as_str(): inline}},
        });
        sources.describe(&server.url(""), &mut document["sources"]);
    }
    document
}

/// What is in an output directory; times of directories that were there are of no interest.
fn outcome(dir: &Path) -> Listing {
    let forget = |item: &mut Item| {
        if item.kind == "directory" {
            item.mtime = 0;
        }
    };
    let mut listing = without(&list(dir), forget);
    // a draft that could not be removed is the next run's to collect
    let is_draft = |path: &Path| path.to_string_lossy().starts_with(".osbuild-new-");
    listing.retain(|path, _| !path.as_os_str().is_empty() && !is_draft(path));
    listing
}
