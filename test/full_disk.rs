//! A disk that is full or cannot be written: what and where is said, and what is there stays whole.

use serde_json::json;
use tests::manifests::{fetching, sha256, tree_of};
use tests::{Httpd, Reply, SmallDisk, TestEnv, need, oracle};

/// A manifest with one stage in shell.
fn stage(env: &TestEnv, script: &str) -> serde_json::Value {
    env.stage("org.example.stage", script);
    tree_of(json!([{"type": "org.example.stage"}]))
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    if !need::root("a store that cannot be written") {
        return;
    }
    let env = TestEnv::new();
    let disk = SmallDisk::tmpfs(&env.store(), "ro,size=1m").unwrap();
    let manifest = tree_of(json!([{"type": "org.osbuild.noop"}]));
    let (run, document) = env.fails(&manifest, &[], 1);
    run.says(&[&env.store().display().to_string(), "ead-only file system"]);
    let message = document["error"]["details"]["message"].as_str().unwrap();
    assert!(message.contains(&env.store().display().to_string()), "{message}");
    drop(disk);
    // a file where the directory should be
    std::fs::remove_dir_all(env.store()).unwrap();
    env.write("store", "a file");
    let (run, _) = env.fails(&manifest, &[], 1);
    run.says(&[&env.store().display().to_string()]);
    assert_eq!(std::fs::read(env.store()).unwrap(), b"a file");
}

#[test]
fn a_full_store_fails_with_its_name_and_keeps_what_it_has() {
    let what = "a full disk";
    if !need::root(what) || !need::tools(&["mke2fs"], what) {
        return;
    }
    let env = TestEnv::new();
    let disk = SmallDisk::ext4(&env.store(), &env.path("disk"), 24).unwrap();
    std::fs::remove_dir(env.store().join("lost+found")).unwrap();
    env.stage(
        "org.example.small",
        "head -c 1000000 /dev/urandom > /run/osbuild/tree/small",
    );
    env.stage(
        "org.example.big",
        "head -c 50000000 /dev/urandom > /run/osbuild/tree/big",
    );
    let small = json!({"type": "org.example.small"});
    let fine = tree_of(json!([small]));
    env.build(&fine, &["-l", "lib", "-q"]).expect(0);
    // a stage
    let big = tree_of(json!([small, {"type": "org.example.big"}]));
    let (run, document) = env.fails(&big, &["-l", "lib"], 1);
    run.says(&["stage org.example.big failed", "o space left on device"])
        .says(&[" MB are free for the store ", "`osbuild store du`"]);
    assert_eq!(
        document["log"]["tree"].as_array().map(Vec::len),
        Some(1),
        "the first one is kept"
    );
    // a source that is downloaded, and one that is written from the manifest
    let content = vec![b'x'; 40_000_000];
    let server = Httpd::serve([("/big".to_owned(), Reply::Content(content.clone()))]);
    let item = json!({"url": server.url("/big")});
    let manifest = fetching("org.osbuild.curl", vec![(sha256(&content), item)]);
    let (run, _) = env.fails(&manifest, &[], 1);
    let store = env.store().display().to_string();
    run.says(&["source org.osbuild.curl failed", "o space left on device", &store]);
    // what was there is whole
    let again = env.build(&fine, &["-l", "lib", "--json"]).expect(0).json();
    assert_eq!(again["log"], json!({}));
    assert_eq!(
        std::fs::metadata(env.out().join("small")).unwrap().len(),
        1_000_000
    );
    let left: Vec<_> = std::fs::read_dir(env.store().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    drop(disk);
    oracle::tool(
        std::process::Command::new("e2fsck")
            .arg("-fn")
            .arg(env.path("disk")),
    )
    .unwrap();
}

#[test]
fn what_will_not_fit_is_foreseen_from_what_it_took_before() {
    let what = "a small disk";
    if !need::root(what) || !need::tools(&["mke2fs"], what) {
        return;
    }
    let env = TestEnv::new();
    let disk = SmallDisk::ext4(&env.store(), &env.path("disk"), 24).unwrap();
    std::fs::remove_dir(env.store().join("lost+found")).unwrap();
    let script = "head -c 4000000 /dev/zero | tr '\\0' x > /run/osbuild/tree/file";
    env.stage("org.example.stage", script);
    let stage = |number: usize| json!({"type": "org.example.stage", "options": {"number": number}});
    let first = env.build(&tree_of(json!([stage(0)])), &["-l", "lib"]).expect(0);
    assert_eq!(first.stderr, "", "of what never ran nothing is known");
    let stages: Vec<_> = (1..10).map(stage).collect();
    let run = env.build(&tree_of(stages.into()), &["-l", "lib"]);
    run.says(&[
        "warning: ",
        "by what such stages took before the build needs 36 MB: org.example.stage 4.0 MB, ",
    ]);
    drop(disk);
}

#[test]
fn a_full_output_disk_fails_with_its_name() {
    if !need::root("a full disk") {
        return;
    }
    let env = TestEnv::new();
    let disk = SmallDisk::tmpfs(&env.out(), "size=2m").unwrap();
    let script = "head -c 9000000 /dev/zero | tr '\\0' x > /run/osbuild/tree/big";
    let manifest = stage(&env, script);
    let (run, document) = env.fails(&manifest, &["-l", "lib"], 1);
    run.says(&["o space left on device", "big"]);
    let message = document["error"]["details"]["message"].as_str().unwrap();
    assert!(message.contains("o space left on device"), "{message}");
    assert!(message.contains(&env.out().display().to_string()), "{message}");
    // half a file is nothing to hand out
    assert!(!env.out().join("big").exists());
    drop(disk);
    // the work is not lost
    let again = env.build(&manifest, &["-l", "lib", "--json"]).expect(0).json();
    assert_eq!(again["log"], json!({}));
    assert_eq!(std::fs::metadata(env.out().join("big")).unwrap().len(), 9_000_000);
}

#[test]
fn an_output_directory_that_is_a_file_is_refused_before_anything_runs() {
    if !need::root("an output directory that is a file") {
        return;
    }
    let env = TestEnv::new();
    env.write("out", "mine");
    let manifest = stage(&env, "true");
    let (run, document) = env.fails(&manifest, &["-l", "lib"], 1);
    let out = env.out().display().to_string();
    assert_eq!(
        run.stderr,
        format!("error: cannot use as output directory {out}: it is not a directory\n")
    );
    let message = document["error"]["details"]["message"].as_str().unwrap();
    assert!(message.contains(&out), "{message}");
    assert_eq!(std::fs::read(env.out()).unwrap(), b"mine");
    assert!(!env.store().exists());
    // a directory on the way to it
    env.write("file", "mine");
    let args = ["--store", "store", "--output", "file/below", "-"];
    env.osbuild_on(args, tree_of(json!([])).to_string().as_bytes())
        .expect(1)
        .says(&["file/below"]);
}
