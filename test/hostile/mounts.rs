//! Mounts, `/proc` and `/sys`.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Hostile, Prepared};

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
    // a table that shares with another one: what is mounted in it is seen there. No box can be made in one: the kernel changes
    // no root whose mounts are shared
    let control = json!({"marker": "osbuild-hostile-control", "tree": hostile.env.path("scratch")});
    let inner = hostile.unboxed_command("mount_in_the_tree", &control);
    let script = "mount --make-rshared / && unshare --mount --propagation unchanged \"$@\" && cat /proc/self/mountinfo";
    let mut command = hostile.env.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.args(inner.get_args().skip(3));
    let table = tests::run(&mut command, b"", Duration::from_secs(30)).expect(0);
    assert!(table.stdout.contains("osbuild-hostile-control"), "{table}");
}

/// An attempt to open switches of the kernel for writing: two defences, each of which would do.
fn closed(what: &str, paths: &[&str]) {
    let Some(hostile) = Hostile::new(what) else { return };
    hostile.refused("open_switches", &json!({"paths": paths}), &["switches", "users"]);
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
    hostile.refused("fresh_proc", &json!({}), &["users"]);
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
    hostile.refused("fresh_sysfs", &json!({}), &["users"]);
}

/// A hierarchy of control groups of version 1 that is mounted here.
fn controller() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let name = fields.get(1)?.strip_prefix("/sys/fs/cgroup/")?;
        (fields[2] == "cgroup" && name != "systemd").then(|| name.to_owned())
    };
    mounts.lines().find_map(of)
}

#[test]
fn item_5_control_groups_are_out_of_reach() {
    let Some(hostile) = Hostile::new("control groups") else {
        return;
    };
    let controller = controller();
    if controller.is_none() {
        eprintln!("not shown, as this machine has no control groups of version 1: release_agent");
    }
    hostile.refused("control_groups", &json!({"controller": controller}), &["users"]);
}

#[test]
fn item_6_no_handler_of_programs_is_registered() {
    let Some(hostile) = Hostile::new("binfmt_misc") else {
        return;
    };
    let targets = json!({"handler": format!("osbuild-hostile-target-{}", std::process::id())});
    let mut made = Prepared::start(&mut hostile.unboxed_command("handler", &targets));
    if !made.ready {
        eprintln!("skipped, as this kernel has no binfmt_misc: handlers of program formats");
        return;
    }
    hostile.refused("binary_formats", &targets, &["users"]);
    made.end();
}

#[test]
fn item_7_what_is_covered_stays_covered() {
    let Some(hostile) = Hostile::new("masks") else {
        return;
    };
    hostile.refused("uncover", &json!({}), &["users"]);
}

#[test]
fn item_7_there_is_nothing_beneath_the_root() {
    let Some(hostile) = Hostile::new("other roots") else {
        return;
    };
    let targets = json!({"outside": hostile.outside()});
    hostile.refused("root_of_the_host", &targets, &["outside"]);
}

#[test]
fn item_7_no_file_is_opened_by_its_handle() {
    let Some(hostile) = Hostile::new("open_by_handle_at") else {
        return;
    };
    hostile.refused("by_handle", &json!({}), &["filter", "users"]);
}

#[test]
fn item_7_no_file_system_is_mounted_by_the_newer_calls() {
    let Some(hostile) = Hostile::new("fsopen, fsmount") else {
        return;
    };
    hostile.refused("new_mount_calls", &json!({}), &["users"]);
}
