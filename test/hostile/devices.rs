//! Devices, and what else the kernel offers.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use super::Hostile;

#[test]
fn item_18_no_device_is_made() {
    let Some(hostile) = Hostile::new("device nodes") else {
        return;
    };
    let place = hostile.env.path("scratch");
    std::fs::create_dir_all(&place).unwrap();
    hostile.refused("nodes", &json!({}), &json!({"places": [place]}));
}

#[test]
fn item_19_no_loop_device_is_had() {
    let Some(hostile) = Hostile::new("loop devices") else {
        return;
    };
    hostile.refused("loop_devices", &json!({}), &json!({}));
}

#[test]
fn item_20_keyrings_are_out_of_reach() {
    let Some(hostile) = Hostile::new("keyrings") else {
        return;
    };
    hostile.refused("keyrings", &json!({}), &json!({}));
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
    hostile.refused("calls", &json!({}), &json!({}));
}

#[test]
fn item_22_no_user_namespace_is_made() {
    let Some(hostile) = Hostile::new("user namespaces") else {
        return;
    };
    hostile.refused("user_namespaces", &json!({}), &json!({}));
}

#[test]
fn item_24_shared_memory_of_the_host_is_not_there() {
    let Some(hostile) = Hostile::new("shared memory") else {
        return;
    };
    let targets = json!({"key": 0x6f73_0000_u32 + (std::process::id() & 0xffff)});
    let mut maker = hostile.control_command("make_shared_memory", &targets);
    let mut maker = maker
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(maker.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "made\n");
    hostile.refused("shared_memory", &targets, &targets);
    drop(maker.stdin.take());
    assert!(maker.wait().unwrap().success());
}
