//! Mounts, `/proc` and `/sys`.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{ends_within, need};

use super::Hostile;

/// The mount tables of all processes that are in none of ours: whether one has `marker`.
fn seen_by_the_host(marker: &str, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(marker)
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn item_1_a_mount_in_the_tree_is_not_the_hosts() {
    let Some(hostile) = Hostile::new("mounts of a stage") else {
        return;
    };
    let marker = format!("osbuild-hostile-{}", std::process::id());
    let said = std::thread::scope(|scope| {
        let targets = json!({"marker": marker, "pause": 1.5});
        let build = scope.spawn(|| hostile.said("mount_in_the_tree", &{ targets }));
        assert!(!seen_by_the_host(&marker, Duration::from_secs(3)));
        build.join().unwrap()
    });
    assert!(
        said.got.contains(&"a mount".to_owned()),
        "nobody is hurt by it: {said:?}"
    );
    assert!(!hostile.env.out().join("mounted/file").exists());
    // a table that shares with another one: what is mounted in it is seen there
    let control = json!({"marker": "osbuild-hostile-control", "tree": hostile.env.path("scratch")});
    let mut command = hostile.control_command("mount_in_the_tree", &control);
    let inner: Vec<String> = command
        .get_args()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let script = "mount --make-rshared / && unshare --mount --propagation unchanged \"$@\" && cat /proc/self/mountinfo";
    command = hostile.env.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.args(&inner[3..]);
    let table = tests::run(&mut command, b"", Duration::from_secs(30)).expect(0);
    assert!(table.stdout.contains("osbuild-hostile-control"), "{table}");
}

/// An attempt to open switches of the kernel for writing.
fn closed(what: &str, paths: &[&str]) {
    let Some(hostile) = Hostile::new(what) else { return };
    let targets = json!({"paths": paths});
    hostile.refused("open_switches", &targets, &targets);
}

#[test]
fn item_2_the_core_pattern_cannot_be_written() {
    closed("core_pattern", &["/proc/sys/kernel/core_pattern"]);
}

#[test]
fn item_2_nor_through_a_procfs_of_its_own() {
    let Some(hostile) = Hostile::new("a fresh procfs") else {
        return;
    };
    hostile.refused("fresh_proc", &json!({}), &json!({}));
    hostile.refused("new_mount_calls", &json!({}), &json!({}));
}

#[test]
fn item_3_the_switches_below_proc_cannot_be_written() {
    closed(
        "switches below /proc",
        &[
            "/proc/sysrq-trigger",
            "/proc/sys/vm/drop_caches",
            "/proc/sys/kernel/modprobe",
            "/proc/sys/kernel/hostname",
            "/proc/sys/kernel/sysrq",
            "/proc/irq/default_smp_affinity",
        ],
    );
}

#[test]
fn item_4_the_switches_below_sys_cannot_be_written() {
    closed(
        "switches below /sys",
        &[
            "/sys/kernel/uevent_helper",
            "/sys/power/state",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/sys/module/8250/parameters/skip_txen_test",
        ],
    );
}

#[test]
fn item_4_sys_cannot_be_remounted_nor_mounted_anew() {
    let Some(hostile) = Hostile::new("a fresh sysfs") else {
        return;
    };
    hostile.refused("fresh_sysfs", &json!({}), &json!({}));
}

#[test]
fn item_5_control_groups_are_out_of_reach() {
    let Some(hostile) = Hostile::new("control groups") else {
        return;
    };
    hostile.refused("control_groups", &json!({}), &json!({}));
}

#[test]
fn item_6_no_handler_of_programs_is_registered() {
    let Some(hostile) = Hostile::new("binfmt_misc") else {
        return;
    };
    let targets = json!({"own": "/proc/sys/fs/binfmt_misc/register"});
    hostile.refused("binary_formats", &targets, &targets);
}

#[test]
fn item_7_what_is_covered_stays_covered() {
    let Some(hostile) = Hostile::new("masks") else {
        return;
    };
    let target = hostile.env.path("scratch");
    fs::create_dir_all(&target).unwrap();
    fs::create_dir(hostile.env.path("cover")).unwrap();
    let harmless = json!({"read_only": target, "cover": hostile.env.path("cover")});
    hostile.refused("uncover", &json!({}), &harmless);
    hostile.refused("uncover", &json!({"cover": "/proc/sysrq-trigger"}), &harmless);
}

#[test]
fn item_7_no_file_is_opened_by_its_handle() {
    let Some(hostile) = Hostile::new("open_by_handle_at") else {
        return;
    };
    hostile.refused("by_handle", &json!({}), &json!({}));
}

/// A tree whose directories are links to `outside`, made by a stage.
fn treacherous(hostile: &Hostile, names: &[&str], next: Value) -> Value {
    let outside = hostile.outside();
    let links: Vec<String> = names
        .iter()
        .map(|name| format!("ln -sfn {} /run/osbuild/tree/{name}", outside.display()))
        .collect();
    hostile.env.stage("org.hostile.links", &links.join("\n"));
    tree_of(json!([{"type": "org.hostile.links"}, next]))
}

#[test]
fn item_8_links_in_the_place_of_dev_and_proc_lead_nowhere() {
    let Some(hostile) = Hostile::new("links of a tree") else {
        return;
    };
    hostile.env.stage(
        "org.hostile.next",
        "mkdir -p /run/osbuild/tree/usr; mount -t proc proc /run/osbuild/tree/proc; mount --bind /dev /run/osbuild/tree/dev; \
         echo x 2>/dev/null > /run/osbuild/tree/dev/written; true",
    );
    let manifest = treacherous(
        &hostile,
        &["dev", "proc", "sys"],
        json!({"type": "org.hostile.next"}),
    );
    let run = hostile.run(&manifest, &[]);
    assert!(run.code == 0 || run.code == 1, "{run}");
    assert!(!hostile.outside().join("written").exists());
    // without a box the link is followed
    let place = hostile.env.path("control");
    fs::create_dir_all(place.join("target")).unwrap();
    std::os::unix::fs::symlink(place.join("target"), place.join("dev")).unwrap();
    fs::write(place.join("dev/written"), "x").unwrap();
    assert!(place.join("target/written").exists());
}

#[test]
fn item_26_links_of_a_tree_do_not_lead_a_stage_outside() {
    let Some(hostile) = Hostile::new("links of a tree") else {
        return;
    };
    let next = json!({"type": "org.osbuild.hostname", "options": {"hostname": "written"}});
    let run = hostile.run(&treacherous(&hostile, &["etc"], next), &[]);
    assert!(run.code == 0 || run.code == 1, "{run}");
    assert!(!hostile.outside().join("hostname").exists());
    let next = json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/a/made"}]}});
    let run = hostile.run(&treacherous(&hostile, &["a"], next), &[]);
    assert!(run.code == 0 || run.code == 1, "{run}");
    assert!(!hostile.outside().join("made").exists());
    // a copy that joins paths would write there
    let place = hostile.env.path("control");
    fs::create_dir_all(place.join("target")).unwrap();
    std::os::unix::fs::symlink("target", place.join("etc")).unwrap();
    fs::write(place.join("etc").join("hostname"), "x").unwrap();
    assert!(place.join("target/hostname").exists());
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
    hostile
        .run(&tree_of(json!([{"type": "org.hostile.first"}])), &[])
        .expect(0);
    hostile
        .run(&tree_of(json!([{"type": "org.hostile.second"}])), &[])
        .expect(1)
        .says(&["/etc"]);
    assert!(!outside.join("written").exists());
    // by its path it would have been written there
    fs::create_dir_all(env.path("control/target")).unwrap();
    std::os::unix::fs::symlink("target", env.path("control/etc")).unwrap();
    fs::write(env.path("control/etc/written"), "x").unwrap();
    assert!(env.path("control/target/written").exists());
}

#[test]
fn item_36_an_export_does_not_wait_for_a_fifo() {
    let Some(hostile) = Hostile::new("exports").filter(|_| need::tools(&["mkfifo"], "a FIFO as the output"))
    else {
        return;
    };
    let fifo = hostile.env.out();
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let manifest = tree_of(json!([{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/made"}]}}]));
    hostile
        .run(&manifest, &[])
        .expect(1)
        .says(&["it is not a directory"]);
    // who opens it for writing waits
    let mut child = std::process::Command::new("sh")
        .args(["-c", "echo x > \"$0\""])
        .arg(&fifo)
        .spawn()
        .unwrap();
    assert!(!ends_within(&child, Duration::from_secs(1)));
    child.kill().unwrap();
    child.wait().unwrap();
}
