//! What is handed out of the store: to where it belongs, and nowhere else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, ends_within, need, run};

use super::{Hostile, LIMIT};

/// A manifest of a tree with the directory `made`.
fn made() -> Value {
    tree_of(json!([{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/made"}]}}]))
}

/// The same with many directories `made/0`, `made/1` and so on.
fn many() -> Value {
    let paths: Vec<Value> = (0..200)
        .map(|number| json!({"path": format!("/made/{number}"), "parents": true}))
        .collect();
    tree_of(json!([{"type": "org.osbuild.mkdir", "options": {"paths": paths}}]))
}

/// Hands the pipeline `name` out into the directory `into`.
fn export(hostile: &Hostile, manifest: &Value, name: &str) -> Run {
    let mut command = hostile.env.command(hostile.env.binaries().osbuild());
    command.args([
        "--store",
        "store",
        "--output-directory",
        "into",
        "--export",
        name,
        "-",
    ]);
    run(&mut command, manifest.to_string().as_bytes(), LIMIT)
}

/// The same without defences.
fn export_lifted(hostile: &Hostile, defences: &[&str], manifest: &Value, name: &str) -> Run {
    let args = ["--output-directory", "into", "--export", name];
    hostile.lifted(defences, manifest, &args)
}

#[test]
fn item_36_a_link_in_the_place_of_a_result_is_not_written_through() {
    let Some(hostile) = Hostile::new("links as outputs") else {
        return;
    };
    let into = hostile.env.path("into");
    fs::create_dir(&into).unwrap();
    symlink(hostile.outside(), into.join("tree")).unwrap();
    export(&hostile, &made(), "tree")
        .expect(1)
        .says(&["into/tree", "it is a link"]);
    assert!(!hostile.env.store().exists(), "nothing was built before that");
    assert!(!hostile.outside().join("made").exists());
    export_lifted(&hostile, &["export-links"], &made(), "tree").expect(0);
    assert!(hostile.outside().join("made").is_dir());
    hostile.forget_lifted();
}

#[test]
fn item_36_an_export_does_not_follow_what_an_earlier_one_left() {
    let Some(hostile) = Hostile::new("exports") else {
        return;
    };
    let (env, outside) = (&hostile.env, hostile.outside());
    let link = format!("ln -s {} /run/osbuild/tree/etc", outside.display());
    env.stage("org.hostile.first", &link);
    env.stage(
        "org.hostile.second",
        "mkdir /run/osbuild/tree/etc; echo x > /run/osbuild/tree/etc/written",
    );
    let first = tree_of(json!([{"type": "org.hostile.first"}]));
    let second = tree_of(json!([{"type": "org.hostile.second"}]));
    hostile.run(&first, &[]).expect(0);
    hostile.run(&second, &[]).expect(1).says(&["/etc"]);
    assert!(!outside.join("written").exists());
    let without = |defences: &[&str]| {
        hostile.lifted(defences, &first, &[]).expect(0);
        let run = hostile.lifted(defences, &second, &[]);
        let written = outside.join("written").exists();
        hostile.forget_lifted();
        (run.code, written)
    };
    // two defences: a link is no directory, and no path leads out
    assert_eq!(without(&["export-links", "in-root"]), (0, true));
    assert_eq!(without(&["export-links"]), (1, false));
    assert_eq!(without(&["in-root"]), (1, false));
}

#[test]
fn item_36_a_name_does_not_lead_out_of_the_output_directory() {
    let Some(hostile) = Hostile::new("names of outputs") else {
        return;
    };
    let manifest = |name: &str| {
        let mut manifest = made();
        manifest["pipelines"][0]["name"] = name.into();
        manifest
    };
    for name in ["../outside", "a/../../outside", "/etc"] {
        export(&hostile, &manifest(name), name)
            .expect(1)
            .says(&["would leave into"]);
    }
    assert!(!hostile.outside().join("made").exists());
    export_lifted(&hostile, &["export-names"], &manifest("../outside"), "../outside").expect(0);
    assert!(hostile.outside().join("made").is_dir());
    hostile.forget_lifted();
}

#[test]
fn item_36_a_file_or_fifo_is_no_output_directory() {
    let Some(hostile) = Hostile::new("exports").filter(|_| need::tools(&["mkfifo"], "a FIFO as the output"))
    else {
        return;
    };
    let out = hostile.env.out();
    fs::write(&out, "kept").unwrap();
    let refused = || {
        let run = hostile.run(&made(), &[]).expect(1);
        run.says(&["it is not a directory"]);
    };
    refused();
    assert_eq!(fs::read_to_string(&out).unwrap(), "kept");
    fs::remove_file(&out).unwrap();
    assert!(Command::new("mkfifo").arg(&out).status().unwrap().success());
    refused();
    // who opens it for writing waits
    let mut child = Command::new("sh")
        .args(["-c", "echo x > \"$0\""])
        .arg(&out)
        .spawn()
        .unwrap();
    assert!(!ends_within(&child, Duration::from_secs(1)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn item_26_links_of_a_tree_are_archived_not_followed() {
    let Some(hostile) =
        Hostile::new("links in archives").filter(|_| need::tools(&["tar"], "links in archives"))
    else {
        return;
    };
    let (env, outside) = (&hostile.env, hostile.outside());
    let script = format!(
        "ln -s {} /run/osbuild/tree/etc; ln -s ../../../.. /run/osbuild/tree/a",
        outside.display()
    );
    env.stage("org.hostile.links", &script);
    let mut manifest = tree_of(json!([{"type": "org.hostile.links"}]));
    let archive = json!({"name": "archive", "stages": [{
        "type": "org.osbuild.tar",
        "inputs": {"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]}},
        "options": {"filename": "tree.tar"},
    }]});
    manifest["pipelines"].as_array_mut().unwrap().push(archive);
    hostile
        .run(&manifest, &["--export", "tree", "--export", "archive"])
        .expect(0);
    let names = |archive: &Path| {
        let mut tar = Command::new("tar");
        tests::oracle::tool(tar.args(["--list", "--file"]).arg(archive)).unwrap()
    };
    let listed = names(&env.out().join("archive/tree.tar"));
    assert!(listed.contains("etc") && !listed.contains("etc/file"), "{listed}");
    // one that follows links has what is outside
    let following = env.path("following.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create")
        .arg("--dereference")
        .arg("--file")
        .arg(&following);
    tests::oracle::tool(tar.arg("-C").arg(env.out().join("tree")).arg("etc")).unwrap();
    assert!(names(&following).contains("etc/file"));
}

/// Does something again and again in another thread, while something else is done.
fn meanwhile<T>(again: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                again();
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A link to `outside` that changes places with a directory, at once, again and again.
struct Swap {
    directory: PathBuf,
    link: PathBuf,
}

impl Swap {
    fn new(hostile: &Hostile, directory: PathBuf, number: usize) -> Self {
        let link = hostile.env.path(format!("links/{number}"));
        fs::create_dir_all(hostile.env.path("links")).unwrap();
        symlink(hostile.outside(), &link).unwrap();
        Self { directory, link }
    }

    /// There and, a little later, back.
    fn swap(&self) {
        let exchange = || {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(
                rustix::fs::CWD,
                &self.directory,
                rustix::fs::CWD,
                &self.link,
                flags,
            )
            .unwrap();
        };
        exchange();
        std::thread::sleep(Duration::from_millis(1));
        exchange();
    }
}

#[test]
fn item_27_the_output_directory_is_swapped_while_it_is_filled() {
    let Some(hostile) = Hostile::new("races for an output") else {
        return;
    };
    let into = hostile.env.path("into");
    fs::create_dir_all(into.join("tree")).unwrap();
    let outside = hostile.outside();
    let manifest = many();
    let written = || outside.join("made").exists();
    let swap = Swap::new(&hostile, into.join("tree"), 0);
    meanwhile(
        || swap.swap(),
        || {
            for _ in 0..10 {
                // it fails, or it does not; what it fills is the directory it found
                let run = export(&hostile, &manifest, "tree");
                assert!(run.code == 0 || run.code == 1, "{run}");
                assert!(!written(), "{run}");
            }
            let mut tries = 0..200;
            while !written() {
                assert!(
                    tries.next().is_some(),
                    "no race was ever lost without the defence"
                );
                export_lifted(&hostile, &["export-links"], &manifest, "tree");
            }
        },
    );
    hostile.forget_lifted();
}

/// The directories `made/N` of the objects of a store.
fn directories(store: &Path) -> Vec<PathBuf> {
    let objects = fs::read_dir(store.join("objects")).unwrap().flatten();
    let mut all = Vec::new();
    for object in objects {
        let mut left = vec![object.path()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    left.push(entry.path());
                    if dir.ends_with("made") {
                        all.push(entry.path());
                    }
                }
            }
        }
    }
    all
}

#[test]
fn item_27_directories_are_swapped_while_they_are_walked() {
    let Some(hostile) = Hostile::new("races for a walk") else {
        return;
    };
    let manifest = many();
    // all of a stage's processes are dead by then: the test takes their part. It is made easier for it
    let slow = |defences: &[&str]| {
        let _ = fs::remove_dir_all(hostile.env.path("lifted-out"));
        let defences = [&["hurry"], defences].concat();
        let run = hostile.lifted(&defences, &manifest, &[]);
        assert!(run.code == 0 || run.code == 1, "{run}");
        let copies = (0..200).filter(|number| {
            let dir = hostile.env.path("lifted-out").join(format!("made/{number}"));
            dir.join("file").exists() && !dir.is_symlink()
        });
        copies.count()
    };
    slow(&[]);
    let all = directories(&hostile.env.path("lifted"));
    assert_eq!(all.len(), 200);
    let all: Vec<Swap> = all
        .into_iter()
        .enumerate()
        .map(|(number, directory)| Swap::new(&hostile, directory, number))
        .collect();
    meanwhile(
        || all.iter().for_each(Swap::swap),
        || {
            for _ in 0..3 {
                assert_eq!(slow(&[]), 0, "what is outside was copied");
            }
            let mut tries = 0..100;
            while slow(&["no-follow"]) == 0 {
                assert!(
                    tries.next().is_some(),
                    "no race was ever lost without the defence"
                );
            }
        },
    );
    hostile.forget_lifted();
}
