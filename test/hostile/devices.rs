//! Devices, and what else the kernel offers.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tests::left_behind;

use super::{Hostile, Prepared};

/// The numbers of a disk of this machine that its root can open: not every virtual machine lets it.
fn disk(hostile: &Hostile) -> Option<(u32, u32)> {
    let number = |name: &std::path::Path| {
        let text = fs::read_to_string(name.join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let opens = |(major, minor): &(u32, u32)| {
        let node = hostile.env.path("node");
        let numbers = rustix::fs::makedev(*major, *minor);
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &node,
            rustix::fs::FileType::BlockDevice,
            rustix::fs::Mode::RUSR,
            numbers,
        );
        let opened = made.is_ok() && fs::File::open(&node).is_ok();
        let _ = fs::remove_file(&node);
        opened
    };
    let entries = fs::read_dir("/sys/block").ok()?.flatten();
    let mut disks: Vec<_> = entries.map(|entry| entry.path()).collect();
    // true disks first
    disks.sort_by_key(|path| !path.join("device").exists());
    disks.iter().filter_map(|path| number(path)).find(opens)
}

#[test]
fn item_18_no_device_is_made() {
    let Some(hostile) = Hostile::new("device nodes") else {
        return;
    };
    let Some(disk) = disk(&hostile) else {
        eprintln!("skipped, as this machine's root can open no disk: device nodes");
        return;
    };
    let targets = json!({"disk": disk});
    hostile.refused("nodes", &targets, &["users"]);
}

#[test]
fn item_19_no_loop_device_is_had() {
    let Some(hostile) = Hostile::new("loop devices") else {
        return;
    };
    hostile.refused("loop_devices", &json!({}), &["users"]);
    assert_eq!(left_behind(&hostile.env.path("")), Vec::<String>::new());
}

#[test]
fn item_20_keyrings_are_out_of_reach() {
    let Some(hostile) = Hostile::new("keyrings") else {
        return;
    };
    hostile.refused("keyrings", &json!({}), &["filter"]);
}

#[test]
fn item_21_calls_that_act_on_the_machine_are_filtered() {
    let Some(hostile) = Hostile::new("system calls") else {
        return;
    };
    if !cfg!(target_arch = "x86_64") {
        eprintln!("skipped, as the numbers are those of x86-64: system calls");
        return;
    }
    hostile.refused("calls", &json!({"for_all": true}), &["filter"]);
    let all = ["filter", "users", "capabilities"];
    hostile.refused("calls", &json!({"for_all": false}), &all);
}

#[test]
fn item_22_no_user_namespace_is_made() {
    let Some(hostile) = Hostile::new("user namespaces") else {
        return;
    };
    hostile.refused("user_namespaces", &json!({}), &["filter"]);
}

#[test]
fn item_23_sockets_of_a_kind_that_no_namespace_divides() {
    let Some(hostile) = Hostile::new("vsock") else {
        return;
    };
    hostile.refused("filtered_sockets", &json!({}), &["filter"]);
}

#[test]
fn item_23_packets_and_audit() {
    let Some(hostile) = Hostile::new("packets, audit") else {
        return;
    };
    hostile.refused("packet_sockets", &json!({}), &["users", "capabilities"]);
    hostile.refused("audit", &json!({}), &["users", "capabilities", "processes"]);
}

#[test]
fn item_23_nothing_is_told_of_the_hosts_devices() {
    let Some(hostile) = Hostile::new("events of devices") else {
        return;
    };
    // the kernel is asked to tell of a device that is always there, and does not change
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = fs::write("/sys/devices/virtual/mem/null/uevent", "change");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let targets = json!({"device": "mem/null", "seconds": 2});
        let result = std::panic::catch_unwind(|| hostile.refused("uevents", &targets, &["filter"]));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn item_24_memory_and_queues_of_the_host_are_not_there() {
    let Some(hostile) = Hostile::new("shared memory, message queues") else {
        return;
    };
    let number = std::process::id();
    let targets = json!({
        "key": 0x6f73_0000_u32 + (number & 0xffff), "queue": format!("/osbuild-hostile-{number}"),
    });
    let mut made = Prepared::start(&mut hostile.unboxed_command("make_shared_memory", &targets));
    assert!(made.ready);
    hostile.refused("shared_memory", &targets, &["ipc"]);
    made.end();
}
