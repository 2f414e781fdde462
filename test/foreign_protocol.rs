//! Modules of a library directory that speak the Python osbuild's protocol run unchanged, beside ours; nothing of them is
//! left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tests::manifests::sha256;
use tests::qemu::Console;
use tests::{TestEnv, ends_within, need, oracle, run};

/// A place with our own small modules as `lib`; `None` where the machine lacks what they need.
pub fn with_modules(what: &str, tools: &[&str]) -> Option<TestEnv> {
    let tools: Vec<&str> = [&["python3"], tools].concat();
    if !need::root(what) || !need::tools(&tools, what) {
        return None;
    }
    let env = TestEnv::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign_protocol/lib");
    for folder in fs::read_dir(from).unwrap() {
        let folder = folder.unwrap().path();
        let to = env.path("lib").join(folder.file_name().unwrap());
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.is_file() {
                let to = to.join(file.file_name().unwrap());
                fs::copy(file, &to).unwrap();
                fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
    Some(env)
}

fn tree(stages: Value) -> Value {
    json!({"version": "2", "pipelines": [{"name": "tree", "stages": stages}]})
}

fn seen(env: &TestEnv) -> Value {
    serde_json::from_slice(&fs::read(env.out().join("seen.json")).unwrap()).unwrap()
}

/// A loop device on the image, and the file system on it.
fn on_disk(stage: &str, options: Value, mounted: bool) -> Value {
    let mut stage = json!({
        "type": stage, "options": options,
        "devices": {"disk": {"type": "org.example.loop", "options": {"filename": "disk.img"}}},
    });
    if mounted {
        stage["mounts"] =
            json!([{"name": "root", "type": "org.example.ext4", "source": "disk", "target": "/"}]);
    }
    stage
}

fn make_disk() -> Vec<Value> {
    vec![
        json!({"type": "org.example.disk", "options": {"do": "make"}}),
        on_disk("org.example.disk", json!({"do": "format"}), false),
    ]
}

#[test]
fn a_stage_gets_its_arguments_and_leaves_metadata() {
    let Some(env) = with_modules("foreign stages", &[]) else {
        return;
    };
    let mut manifest = tree(json!([{"type": "org.example.see"}]));
    manifest["pipelines"][0]["source-epoch"] = 77.into();
    let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(0);
    let metadata = &run.json()["metadata"]["tree"]["org.example.see"];
    assert_eq!(metadata["uid"], 0);
    assert_eq!(
        metadata["seen"],
        json!(["devices", "inputs", "meta", "mounts", "options", "paths", "tree"])
    );
    let seen = seen(&env);
    assert_eq!(seen["args"]["tree"], "/run/osbuild/tree");
    assert_eq!(seen["args"]["meta"]["source-epoch"], 77);
    assert_eq!(
        seen["args"]["paths"],
        json!({"devices": "/dev", "inputs": "/run/osbuild/inputs", "mounts": "/run/osbuild/mounts"})
    );
    // CAP_NET_ADMIN, which the module asks for in its source
    let capabilities = u64::from_str_radix(seen["capabilities"].as_str().unwrap(), 16).unwrap();
    assert_ne!(capabilities & 1 << 12, 0, "{capabilities:x}");
    assert_eq!(capabilities & 1 << 16, 0, "{capabilities:x}");
}

#[test]
fn a_schema_in_the_source_counts() {
    let Some(env) = with_modules("foreign schemas", &[]) else {
        return;
    };
    let manifest = tree(json!([{"type": "org.example.see", "options": {"raise": "NO"}}]));
    let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(2);
    let path = json!(["pipelines", 0, "stages", 0, "options", "raise"]);
    assert_eq!(run.json()["errors"][0]["path"], path, "{run}");
}

#[test]
fn an_exception_is_in_the_result() {
    let Some(env) = with_modules("foreign exceptions", &[]) else {
        return;
    };
    let manifest = tree(json!([{"type": "org.example.see", "options": {"raise": "broken"}}]));
    let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(1);
    let error = &run.json()["error"]["details"]["stage"]["error"];
    assert_eq!(
        error,
        &json!({"type": "exception", "data": {"type": "ValueError", "value": "broken", "traceback": "here"}})
    );
}

#[test]
fn an_empty_package_directory_is_filled_from_the_callers_python() {
    let Some(env) = with_modules("packaged layouts", &["losetup", "mke2fs"]) else {
        return;
    };
    fs::create_dir(env.path("site")).unwrap();
    fs::rename(env.path("lib/osbuild"), env.path("site/osbuild")).unwrap();
    fs::create_dir(env.path("lib/osbuild")).unwrap();
    let manifest = tree(json!(make_disk())).to_string();
    let mut command = env.build_command();
    command.args(["-l", "lib"]).env("PYTHONPATH", env.path("site"));
    run(&mut command, manifest.as_bytes(), Duration::from_secs(600)).expect(0);
    oracle::e2fsck(&env.out().join("disk.img"), 0).unwrap();
}

#[test]
fn an_input_service_reaches_the_store() {
    let Some(env) = with_modules("foreign inputs", &[]) else {
        return;
    };
    let checksum = sha256("content");
    let long = "é".repeat(300_000);
    let manifest = json!({
        "version": "2",
        "sources": {"org.example.text": {"items": {checksum.clone(): "content"}}},
        "pipelines": [
            {"name": "below", "stages": [
                {"type": "org.example.disk", "options": {"do": "make"}},
                {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/ours"}]}},
            ]},
            {"name": "tree", "stages": [{
                "type": "org.example.see",
                "inputs": {"all": {
                    "type": "org.example.trees", "origin": "org.osbuild.pipeline",
                    "references": ["name:below"], "options": {"text": long},
                }},
            }]},
        ],
    });
    let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(0);
    assert_eq!(run.json()["sources"]["org.example.text"][0]["checksum"], checksum);
    let seen = seen(&env);
    let input = &seen["args"]["inputs"]["all"];
    assert_eq!(input["path"], "/run/osbuild/inputs/all");
    assert_eq!(input["data"]["length"], 300_000);
    assert_eq!(
        seen["files"]["/run/osbuild/inputs/all/tree0/theirs"],
        json!(["theirs\n", 1000])
    );
    let source = format!("/run/osbuild/inputs/all/{checksum}");
    assert_eq!(seen["files"][&source], json!(["content", 0]));
}

#[test]
fn a_storage_of_containers_can_be_written_and_is_not_changed() {
    let Some(env) = with_modules("a storage of containers", &["mount"]) else {
        return;
    };
    env.write("images/image", "layers");
    let input = json!({
        "type": "org.osbuild.containers-storage", "origin": "org.osbuild.pipeline",
        "references": ["name:below"], "options": {"path": env.path("images")},
    });
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "below", "stages": [{"type": "org.osbuild.noop"}]},
        {"name": "tree", "stages": [{"type": "org.example.storage", "inputs": {"images": input}}]},
    ]});
    env.build(&manifest, &["-l", "lib"]).expect(0);
    assert_eq!(fs::read_to_string(env.out().join("image")).unwrap(), "layers");
    let left: Vec<_> = fs::read_dir(env.path("images")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_source_that_fails_names_its_item() {
    let Some(env) = with_modules("foreign sources", &[]) else {
        return;
    };
    let checksum = sha256("");
    let mut manifest = tree(json!([{"type": "org.example.see"}]));
    manifest["sources"] = json!({"org.example.text": {"items": {checksum: ""}}});
    let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(1);
    let source = &run.json()["error"]["details"]["source"];
    assert_eq!(
        source,
        &json!({"type": "org.example.text", "output": "it is empty"})
    );
}

#[test]
fn devices_and_mounts_reach_the_box_of_their_stages_and_of_ours() {
    let Some(env) = with_modules("foreign devices", &["mke2fs", "losetup", "debugfs"]) else {
        return;
    };
    let mut stages = make_disk();
    stages.push(on_disk("org.example.disk", json!({"do": "fill"}), true));
    stages.push(on_disk(
        "org.osbuild.copy",
        json!({"paths": [{"from": "tree:///theirs", "to": "mount://root/deep/"}]}),
        true,
    ));
    stages.push(on_disk("org.example.disk", json!({"do": "look"}), true));
    env.build(&tree(json!(stages)), &["-l", "lib"]).expect(0);
    let image = env.out().join("disk.img");
    oracle::e2fsck(&image, 0).unwrap();
    for (file, content) in [("/deep/mine", "mine\n"), ("/deep/theirs", "theirs\n")] {
        assert_eq!(oracle::ext4_file(&image, 0, file).unwrap(), content);
        let stat = oracle::tool(
            env.command("debugfs")
                .args(["-R", &format!("stat {file}")])
                .arg(&image),
        )
        .unwrap();
        let words: Vec<&str> = stat.split_whitespace().collect();
        let of = |key: &str| words[words.iter().position(|word| *word == key).unwrap() + 1];
        assert_eq!((of("User:"), of("Group:")), ("1000", "1001"), "{stat}");
    }
}

#[test]
fn a_stage_in_its_box_is_given_loop_devices() {
    let Some(env) = with_modules("loop devices for foreign stages", &[]) else {
        return;
    };
    env.build(&tree(json!([{"type": "org.example.bind"}])), &["-l", "lib"])
        .expect(0);
    let image = fs::read(env.out().join("disk.img")).unwrap();
    assert!(image[4096..].starts_with(b"through the device..."));
    assert!(image[..4096].iter().all(|byte| *byte == 0));
}

#[test]
fn a_service_that_raises_ends_the_build_and_leaves_nothing() {
    let Some(env) = with_modules("foreign services that fail", &["mke2fs", "losetup"]) else {
        return;
    };
    let mut stages = make_disk();
    let mut last = on_disk("org.example.disk", json!({"do": "fill"}), true);
    last["devices"]["worse"] = json!({"type": "org.example.loop", "options": {"fail": "no such luck"}});
    stages.push(last);
    let run = env.build(&tree(json!(stages)), &["-l", "lib"]).expect(1);
    run.says(&["device/worse", "RuntimeError: no such luck"]);
}

#[test]
fn an_interrupted_stage_leaves_no_device_mount_or_service() {
    let Some(env) = with_modules("interrupted foreign services", &["mke2fs", "losetup"]) else {
        return;
    };
    let mut stages = make_disk();
    stages.push(on_disk("org.example.disk", json!({"do": "wait"}), true));
    let manifest = env.write("manifest.json", tree(json!(stages)).to_string());
    let mut command = env.command(env.binaries().osbuild());
    command.args(["-l", "lib", "--store", "store", "--output", "out"]);
    command.arg(manifest).process_group(0).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut console = Console::new(child.stdout.take().unwrap(), std::io::sink(), false);
    console.wait_for(&["waiting"], Duration::from_secs(120)).unwrap();
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(ends_within(&child, Duration::from_secs(60)));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
