//! The tree and the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{need, run};

use super::{Hostile, LIMIT};

/// Copies of programs that say who runs them and what they may, set-id and with capabilities.
const PROGRAMS: &str = "cd /run/osbuild/tree; cp /usr/bin/id id; chmod 6755 id; cp /usr/bin/grep grep; \
                        python3 -c 'import os, struct; os.setxattr(\"grep\", \"security.capability\", \
                        struct.pack(\"<IIIII\", 0x02000001, 1 << 13, 0, 0, 0))'";

#[test]
fn item_25_programs_of_the_store_are_nobodys() {
    let Some(hostile) =
        Hostile::new("setuid programs").filter(|_| need::tools(&["setpriv", "find"], "setuid programs"))
    else {
        return;
    };
    let env = &hostile.env;
    env.stage("org.hostile.setuid", PROGRAMS);
    hostile
        .run(&tree_of(json!([{"type": "org.hostile.setuid"}])), &[])
        .expect(0);
    // the test's own directory is open: the store has to protect itself
    fs::set_permissions(env.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let find = |name: &str| {
        let mut find = Command::new("find");
        find.arg(env.store())
            .args(["-name", name, "-type", "f", "-perm", "/111"]);
        let found = tests::oracle::tool(&mut find).unwrap();
        found.lines().next().expect("it is in the store").to_owned()
    };
    let (id, grep) = (find("id"), find("grep"));
    let as_nobody = |program: &str, args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        // by a shell: setpriv itself still has what it had as root
        command.args(["sh", "-c", "exec \"$0\" \"$@\"", program]);
        let output = command.args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let capable = || as_nobody(&grep, &["CapEff", "/proc/self/status"]);
    assert_eq!((as_nobody(&id, &[]), capable()), (String::new(), String::new()));
    // what nobody cannot pass is the directory's mode
    let objects = env.store().join("objects");
    let mode = fs::metadata(&objects).unwrap().permissions();
    fs::set_permissions(&objects, fs::Permissions::from_mode(0o755)).unwrap();
    let (id, capable) = (as_nobody(&id, &[]), capable());
    fs::set_permissions(&objects, mode).unwrap();
    assert!(id.contains("euid=0(root)") && id.contains("egid=0(root)"), "{id}");
    assert!(capable.trim_end().ends_with("0000000000002000"), "{capable}");
}

#[test]
fn item_28_a_link_to_a_file_of_an_object_leaves_the_object_alone() {
    let Some(hostile) = Hostile::new("links to objects") else {
        return;
    };
    let env = &hostile.env;
    env.stage("org.hostile.first", "echo first > /run/osbuild/tree/file");
    let script = "ln file link && echo second > link";
    env.stage("org.hostile.second", &format!("cd /run/osbuild/tree && {script}"));
    let first = json!({"type": "org.hostile.first"});
    hostile.run(&tree_of(json!([first])), &[]).expect(0);
    assert_eq!(fs::read_to_string(env.out().join("file")).unwrap(), "first\n");
    let both = tree_of(json!([first, {"type": "org.hostile.second"}]));
    hostile.run(&both, &["--json"]).expect(0);
    env.osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
    // in the object itself, without a layer of its own, the same code changes it
    let mut find = Command::new("find");
    find.arg(env.store().join("objects"))
        .args(["-name", "file", "-links", "1"]);
    let found = tests::oracle::tool(&mut find).unwrap();
    let file = std::path::Path::new(found.lines().next().unwrap());
    let mut shell = Command::new("sh");
    shell.current_dir(file.parent().unwrap()).args(["-c", script]);
    assert!(shell.status().unwrap().success());
    let damaged = env.osbuild(["store", "fsck", "--deep", "--store", "store"]);
    assert_ne!(damaged.code, 0, "{damaged}");
}

#[test]
fn item_29_no_link_is_made_to_what_is_outside() {
    let Some(hostile) = Hostile::new("links to what is outside") else {
        return;
    };
    hostile.said("links", &json!({})).refused("links");
    // the same file system, and no mount between: what a box always has
    let (file, tree) = (hostile.env.write("links/file", "x"), hostile.env.path("links"));
    hostile.unboxed("links", &json!({"paths": [file], "tree": tree}));
}

#[test]
fn items_26_and_29_nothing_of_the_host_is_at_its_path() {
    let Some(hostile) = Hostile::new("paths of the host") else {
        return;
    };
    let targets = json!({"outside": hostile.outside()});
    hostile.refused("outside", &targets, &["outside"]);
}

/// A tree in which these names are links to `outside`, and a stage that joins paths.
fn treacherous(hostile: &Hostile, names: &[&str]) -> Value {
    let outside = hostile.outside();
    let mut lines: Vec<String> = names
        .iter()
        .map(|name| format!("ln -sfn {} /run/osbuild/tree/{name}", outside.display()))
        .collect();
    lines.push("ln -sfn ../../../.. /run/osbuild/tree/a".into());
    hostile.env.stage("org.hostile.links", &lines.join("\n"));
    let up = format!("a{}", outside.display());
    let all = [names, &[&up]].concat();
    let next = hostile.stage("naive", &json!({"names": all, "outside": outside}));
    tree_of(json!([{"type": "org.hostile.links"}, next]))
}

#[test]
fn items_8_and_26_links_that_a_stage_left_lead_the_next_one_nowhere() {
    let Some(hostile) = Hostile::new("links of a tree") else {
        return;
    };
    let manifest = treacherous(&hostile, &["etc", "proc", "sys", "dev"]);
    let said = |run: tests::Run| {
        let document = run.expect(0).json();
        super::Said::of(document["log"]["tree"][1]["output"].as_str().unwrap())
    };
    said(hostile.run(&manifest, &["--json"])).refused("naive");
    assert!(!hostile.outside().join("written").exists());
    said(hostile.lifted(&["outside"], &manifest, &["--json"])).succeeded("naive");
    assert!(hostile.outside().join("written").exists());
    hostile.forget_lifted();
}

#[test]
fn item_26_stages_of_ours_stay_in_the_tree_even_where_more_is_to_be_seen() {
    let Some(hostile) = Hostile::new("links of a tree") else {
        return;
    };
    let with = |next: Value| {
        let mut manifest = treacherous(&hostile, &["etc"]);
        manifest["pipelines"][0]["stages"][1] = next;
        manifest
    };
    let hostname = json!({"type": "org.osbuild.hostname", "options": {"hostname": "written"}});
    let up = format!("/a{}/made", hostile.outside().display());
    let mkdir = json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": up}]}});
    for manifest in [with(hostname), with(mkdir)] {
        // what a stage that joins paths then reaches
        let run = hostile.lifted(&["outside"], &manifest, &[]);
        assert!(run.code == 0 || run.code == 1, "{run}");
        for name in ["hostname", "made", "written"] {
            assert!(!hostile.outside().join(name).exists(), "{run}");
        }
    }
    hostile.forget_lifted();
}

#[test]
fn item_31_a_fifo_does_not_block_the_walk() {
    let Some(hostile) = Hostile::new("FIFOs") else {
        return;
    };
    hostile.build("fifo", &json!({}), &[]).expect(0);
    // who opens whatever is there waits for somebody who writes
    let manifest = tree_of(json!([hostile.stage("fifo", &json!({}))]));
    let path = hostile.env.write("manifest.json", manifest.to_string());
    let mut build = hostile.lifted_command(&["kinds"]);
    let mut child = build
        .arg(path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let waits = || {
        let threads = fs::read_dir(format!("/proc/{}/task", child.id()))
            .into_iter()
            .flatten()
            .flatten();
        let mut calls = threads.filter_map(|thread| fs::read_to_string(thread.path().join("wchan")).ok());
        calls.any(|call| call.contains("fifo") || call.contains("wait_for_partner"))
    };
    let end = std::time::Instant::now() + LIMIT;
    let mut blocked = false;
    while !blocked
        && std::time::Instant::now() < end
        && !tests::ends_within(&child, std::time::Duration::ZERO)
    {
        blocked = waits();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(blocked, "it did not wait in the kernel's opening of a FIFO");
    hostile.forget_lifted();
}

#[test]
fn items_31_and_32_strange_files_are_kept_and_removed() {
    let Some(hostile) = Hostile::new("strange files") else {
        return;
    };
    let env = &hostile.env;
    let targets = json!({"sparse": 1 << 28, "deep": 400});
    hostile.build("odd_things", &targets, &["--json"]).expect(0);
    env.osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
    // what joins the paths of so deep a tree cannot even remove it
    let script = "import os, sys\ndef fail(e): raise e\nfor _ in os.walk(sys.argv[1], onerror=fail): pass";
    let deep = env.path("deep");
    for (sparse, depth, message) in [
        (1_u64 << 20, 1000, "is too long: 4096 are allowed"),
        (15 << 40, 3, "is too large: 1099511627776 are allowed"),
        (1 << 20, 100_000, "is too long: 4096 are allowed"),
    ] {
        let targets = json!({"sparse": sparse, "deep": depth});
        hostile
            .build("odd_things", &targets, &[])
            .expect(1)
            .says(&[message]);
    }
    fs::create_dir(&deep).unwrap();
    hostile.unboxed(
        "odd_things",
        &json!({"tree": deep, "sparse": 1 << 20, "deep": 1000}),
    );
    let mut naive = hostile.env.command("python3");
    let naive = run(naive.args(["-c", script]).arg(&deep), b"", LIMIT);
    assert!(
        naive.code != 0 && naive.stderr.contains("File name too long"),
        "{naive}"
    );
}

#[test]
fn item_32_the_largest_attributes_are_kept() {
    let what = "attributes of 64 KiB";
    let Some(hostile) = Hostile::new(what).filter(|_| need::tools(&["mke2fs"], what)) else {
        return;
    };
    let env = &hostile.env;
    // a file system that has room for them
    let (place, image) = (env.path("roomy"), env.path("disk"));
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-O", "ea_inode", "-m", "0"]);
    tests::oracle::tool(mke2fs.arg(&image).arg("64M")).unwrap();
    let disk = tests::SmallDisk::again(&place, &image, "defaults").unwrap();
    let set = "import os\nopen('f', 'w').close()\n\
               for n in range(3): os.setxattr('f', f'user.{n}', bytes([65 + n]) * 65536)";
    let script = format!("cd /run/osbuild/tree && python3 -c \"{set}\"");
    env.stage("org.hostile.attributes", &script);
    let manifest = tree_of(json!([{"type": "org.hostile.attributes"}])).to_string();
    let mut command = env.command(env.binaries().osbuild());
    command.args([
        "--store",
        "roomy/store",
        "--output",
        "roomy/out",
        "-l",
        "lib",
        "--export",
        "tree",
        "-",
    ]);
    run(&mut command, manifest.as_bytes(), LIMIT).expect(0);
    let script = "import os, sys\nfor n in range(3): assert os.getxattr(sys.argv[1], f'user.{n}') == bytes([65 + n]) * 65536";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(place.join("out/tree/f"));
    tests::oracle::tool(&mut python).unwrap();
    env.osbuild(["store", "fsck", "--deep", "--store", "roomy/store"])
        .expect(0);
    drop(disk);
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
        "cd /run/osbuild/tree && mkdir d && echo x > d/f && echo x > d/a && chattr +i d/f && chattr +a d/a && chattr +i d \
         && echo GOT marked; exit 1",
    );
    let manifest = tree_of(json!([{"type": "org.hostile.immutable"}]));
    let run = hostile.run(&manifest, &[]).expect(1);
    assert!(!run.stdout.contains("GOT"), "a box may not mark files: {run}");
    // who may leaves nothing either: on an overlay marks are the overlay's
    let left = || fs::read_dir(env.path("lifted/tmp")).unwrap().count();
    let run = hostile.lifted(&["users"], &manifest, &["--json"]).expect(1);
    assert!(run.stdout.contains("GOT marked"), "{run}");
    assert_eq!(left(), 0);
    // where they are the file's own, what a killed builder left
    let place = env.path("lifted/tmp/new-left");
    let marked = || {
        fs::create_dir_all(place.join("d")).unwrap();
        fs::write(place.join("d/f"), "x").unwrap();
        let mut chattr = Command::new("chattr");
        let marked = chattr.arg("+i").arg(place.join("d/f")).arg(place.join("d"));
        marked.status().unwrap().success()
    };
    let gc = |osbuild: &std::ffi::OsStr| {
        let mut command = env.command(osbuild);
        command.env("OSBUILD_LIFT", "marks");
        tests::run(command.args(["store", "gc", "--store", "lifted"]), b"", LIMIT)
    };
    let product = env.binaries().osbuild();
    if marked() {
        gc(hostile.lifted_command(&[]).get_program());
        assert_eq!(left(), 1, "without taking the marks away it is not removed");
        gc(product.as_os_str()).expect(0);
        assert_eq!(left(), 0);
    } else {
        eprintln!("not shown, as this file system has no such marks: what a killed builder left");
    }
    hostile.forget_lifted();
}

#[test]
fn item_33_attributes_that_a_host_heeds_are_not_set() {
    let Some(hostile) = Hostile::new("attributes of overlays") else {
        return;
    };
    hostile.refused("overlay_attributes", &json!({}), &["users"]);
    hostile.refused("security_attributes", &json!({}), &["users"]);
}

#[test]
fn item_33_a_label_is_refused_or_kept_for_the_tree() {
    let Some(hostile) = Hostile::new("labels") else {
        return;
    };
    let (attempt, label) = ("security_label", "system_u:object_r:osbuild_hostile_t:s0");
    let targets = json!({"label": label});
    let said = hostile.said(attempt, &targets);
    let label_of = |path: &std::path::Path| {
        let mut value = [0; 100];
        let length = rustix::fs::lgetxattr(path, "security.selinux", &mut value).ok()?;
        Some(String::from_utf8_lossy(&value[..length]).into_owned())
    };
    if said.got.is_empty() {
        hostile.refused(attempt, &targets, &["users"]);
        return;
    }
    // a kernel that knows labels and was given no policy heeds none, and lets owners of files set them
    let policy = std::path::Path::new("/sys/fs/selinux/policy");
    assert!(!policy.exists(), "the machine heeds labels: {said:?}");
    let out = hostile.env.out();
    assert_eq!(label_of(&out.join("dir")).as_deref(), Some(label), "it is lost");
    assert_ne!(label_of(&out).as_deref(), Some(label));
    hostile
        .env
        .osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
}

/// A pipeline `lent`, and one whose stage makes an attempt on it as its input.
fn lending(hostile: &Hostile, attempt: &str, targets: &Value) -> Value {
    let mut stage = hostile.stage(attempt, targets);
    stage["inputs"] = json!({"lent": {
        "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:lent"],
    }});
    let made = json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/d"}]}});
    let file = json!({"type": "org.hostile.file"});
    hostile
        .env
        .stage("org.hostile.file", "echo lent > /run/osbuild/tree/file");
    json!({"version": "2", "pipelines": [
        {"name": "lent", "stages": [file, made]}, {"name": "tree", "stages": [stage]},
    ]})
}

#[test]
fn items_34_and_35_what_is_lent_is_not_written() {
    let Some(hostile) = Hostile::new("what is lent to a stage") else {
        return;
    };
    let library = "/run/osbuild/lib/stages/org.hostile.write_read_only";
    let input = "/run/osbuild/inputs/lent/file";
    let attempt = "write_read_only";
    // the build root's, too; without the defence only what is the test's own
    let said = |defences: Option<&[&str]>, paths: &[&str]| {
        let manifest = lending(&hostile, attempt, &json!({"paths": paths}));
        let run = match defences {
            None => hostile.run(&manifest, &["--json"]),
            Some(defences) => hostile.lifted(defences, &manifest, &["--json"]),
        };
        let document = run.expect(0).json();
        super::Said::of(document["log"]["tree"][0]["output"].as_str().unwrap())
    };
    said(None, &["/usr/bin/env", "/usr/bin/python3", library, input]).refused(attempt);
    hostile
        .env
        .osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
    said(Some(&["read-only"]), &[library]).succeeded(attempt);
    hostile.forget_lifted();
    let targets = json!({"path": "/run/osbuild/lib/stages/org.hostile.map_files"});
    hostile.refused("map_files", &targets, &["read-only", "users"]);
}

#[test]
fn item_34_what_is_lent_stays_read_only() {
    let Some(hostile) = Hostile::new("remounts") else {
        return;
    };
    let targets = json!({"places": ["/usr", "/run/osbuild/lib"]});
    hostile.refused("remount_read_only", &targets, &["users"]);
}

#[test]
fn item_34_the_directories_of_an_overlay_are_not_reached() {
    let Some(hostile) = Hostile::new("directories of overlays") else {
        return;
    };
    hostile.refused("work_directory", &json!({}), &["workbench"]);
}
