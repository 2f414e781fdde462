//! The tree and the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::manifests::tree_of;
use tests::{ends_within, need};

use super::Hostile;

#[test]
fn item_25_a_setuid_program_in_the_store_is_nobodys() {
    let Some(hostile) =
        Hostile::new("setuid programs").filter(|_| need::tools(&["setpriv", "find"], "setuid programs"))
    else {
        return;
    };
    let env = &hostile.env;
    env.stage(
        "org.hostile.setuid",
        "cp /usr/bin/id /run/osbuild/tree/id; chmod 4755 /run/osbuild/tree/id",
    );
    hostile
        .run(&tree_of(json!([{"type": "org.hostile.setuid"}])), &[])
        .expect(0);
    // the test's own directory is open: the store has to protect itself
    fs::set_permissions(env.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let found = Command::new("find")
        .arg(env.store())
        .args(["-name", "id", "-perm", "-4000"])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let program = found.lines().next().expect("it is in the store");
    let as_nobody = |program: &str| {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "sh",
            "-c",
            program,
        ]);
        command.output().unwrap()
    };
    let output = as_nobody(program);
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let open = env.path("open");
    fs::copy("/usr/bin/id", &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o4755)).unwrap();
    let control = String::from_utf8(as_nobody(&open.to_string_lossy()).stdout).unwrap();
    assert!(control.contains("euid=0(root)"), "{control}");
}

#[test]
fn item_28_a_link_to_a_file_of_an_object_leaves_the_object_alone() {
    let Some(hostile) = Hostile::new("links to objects") else {
        return;
    };
    let env = &hostile.env;
    env.stage("org.hostile.first", "echo first > /run/osbuild/tree/file");
    env.stage(
        "org.hostile.second",
        "cd /run/osbuild/tree && ln file link && echo second > link && cat file",
    );
    let first = json!({"type": "org.hostile.first"});
    hostile.run(&tree_of(json!([first])), &[]).expect(0);
    assert_eq!(fs::read_to_string(env.out().join("file")).unwrap(), "first\n");
    hostile
        .run(
            &tree_of(json!([first, {"type": "org.hostile.second"}])),
            &["--json"],
        )
        .expect(0);
    env.osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
    // without the layer between, the same code changes the file
    let place = env.path("control");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("file"), "first\n").unwrap();
    let script = "ln file link && echo second > link";
    assert!(
        Command::new("sh")
            .current_dir(&place)
            .args(["-c", script])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "second\n");
}

#[test]
fn item_29_no_link_is_made_to_what_is_outside() {
    let Some(hostile) = Hostile::new("links to what is outside") else {
        return;
    };
    let (file, tree) = (hostile.env.write("links/file", "x"), hostile.env.path("links"));
    hostile.refused("links", &json!({}), &json!({"paths": [file], "tree": tree}));
}

#[test]
fn items_31_and_32_strange_files_are_kept_and_removed() {
    let Some(hostile) =
        Hostile::new("strange files").filter(|_| need::tools(&["mkfifo", "cat"], "strange files"))
    else {
        return;
    };
    let env = &hostile.env;
    let targets = json!({"sparse": 1 << 28, "deep": 400});
    hostile.build("odd_things", &targets, &["--json"]).expect(0);
    env.osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
    // too deep to be reached by a path, too large to be read: told, and removed again
    for (sparse, deep, message) in [
        (1_u64 << 20, 1000, "is too long: 4096 are allowed"),
        (15 << 40, 3, "is too large: 1099511627776 are allowed"),
    ] {
        let targets = json!({"sparse": sparse, "deep": deep});
        hostile
            .build("odd_things", &targets, &[])
            .expect(1)
            .says(&[message]);
    }
    // what reads every file blocks at the FIFO
    let fifo = env.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut child = Command::new("cat").arg(&fifo).spawn().unwrap();
    assert!(!ends_within(&child, Duration::from_secs(1)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn item_32_immutable_files_do_not_stop_the_cleaning() {
    let Some(hostile) =
        Hostile::new("immutable files").filter(|_| need::tools(&["chattr", "rm"], "immutable files"))
    else {
        return;
    };
    let env = &hostile.env;
    env.stage(
        "org.hostile.immutable",
        "cd /run/osbuild/tree && mkdir d && echo x > d/f && echo x > d/a && chattr +i d/f && chattr +a d/a && chattr +i d; exit 1",
    );
    hostile
        .run(&tree_of(json!([{"type": "org.hostile.immutable"}])), &[])
        .expect(1);
    env.osbuild(["store", "gc", "--store", "store"]).expect(0);
    // that nothing unfinished is left is checked when the place goes
    let file = env.write("control", "x");
    let chattr = |flag: &str| {
        Command::new("chattr")
            .arg(flag)
            .arg(&file)
            .status()
            .unwrap()
            .success()
    };
    if !chattr("+i") {
        eprintln!("not shown, as this file system has no such flag: immutable files");
        return;
    }
    let removed = fs::remove_file(&file);
    assert!(chattr("-i") && removed.is_err());
}

#[test]
fn item_33_attributes_of_overlays_are_not_set() {
    let Some(hostile) = Hostile::new("attributes of overlays") else {
        return;
    };
    let tree = hostile.env.path("attributes");
    fs::create_dir(&tree).unwrap();
    hostile.refused("overlay_attributes", &json!({}), &json!({"tree": tree}));
}

#[test]
fn items_34_and_35_what_is_lent_is_not_written() {
    let Some(hostile) = Hostile::new("what is lent to a stage") else {
        return;
    };
    let own = "/run/osbuild/bin/org.hostile.write_read_only";
    let file = hostile.env.write("writable", "x");
    let paths = [
        "/usr/bin/env",
        own,
        "/run/osbuild/lib/stages/org.hostile.write_read_only",
    ];
    hostile.refused(
        "write_read_only",
        &json!({"paths": paths}),
        &json!({"paths": [file]}),
    );
}
