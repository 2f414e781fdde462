//! An RPM pipeline in the oldest form is pinned against repositories and runs.

mod repository;

use std::process::Command;

use serde_json::{Value, json};
use tests::{TestEnv, need, oracle};

use self::repository::Repository;

const WHAT: &str = "RPM pipelines, against a repository made by rpmbuild and createrepo_c";
const TOOLS: [&str; 8] = [
    "rpm",
    "rpmbuild",
    "rpmsign",
    "createrepo_c",
    "gpg",
    "dnf",
    "mke2fs",
    "qemu-img",
];
const UUID: &str = "2f6e8c1a-4b7d-5e90-a1c2-3d4e5f607182";

/// `samples/fedora.json`, its key being one that is in our hands.
fn sample(key: &str) -> String {
    let path = tests::repository().join("samples/fedora.json");
    let text = std::fs::read_to_string(path).unwrap();
    let theirs = "/etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-$releasever-$basearch";
    assert!(text.contains(theirs), "the sample names its key otherwise");
    text.replace(theirs, key)
}

/// Pins the sample.
fn resolve(env: &TestEnv, repository: &Repository, key: &str) -> Value {
    env.write("fedora.json", sample(key));
    env.osbuild(["--store", "store", "fedora.json"])
        .expect(2)
        .says(&[".stages[0]", "image-builder resolve"]);
    let address = |id: &str| format!("{id}=file://{}", repository.dir(id).display());
    let (fedora, updates) = (address("fedora"), address("updates"));
    let args = [
        "resolve",
        "fedora.json",
        "--cache",
        "cache",
        "--repo",
        &fedora,
        "--repo",
        &updates,
    ];
    env.image_builder(args).expect(0).json()
}

#[test]
fn the_sample_is_pinned_and_becomes_a_disk() {
    if !need::root(WHAT) || !need::tools(&TOOLS, WHAT) {
        return;
    }
    let env = TestEnv::new();
    let repository = Repository::make(&env);
    let pinned = resolve(&env, &repository, &repository.key("ours"));

    // each package once, by digest; the newer one from `updates`; what the group stands for
    let items = pinned["sources"]["org.osbuild.librepo"]["items"]
        .as_object()
        .unwrap();
    let mut named: Vec<(&str, &str)> = items
        .values()
        .map(|item| (item["mirror"].as_str().unwrap(), item["path"].as_str().unwrap()))
        .collect();
    named.sort_unstable();
    let wanted = [
        ("fedora", "basics-1-1.noarch.rpm"),
        ("fedora", "filesystem-1-1.noarch.rpm"),
        ("fedora", "grub2-efi-x64-1-1.noarch.rpm"),
        ("fedora", "grub2-pc-1-1.noarch.rpm"),
        ("fedora", "kernel-1-1.noarch.rpm"),
        ("fedora", "openssh-server-1-1.noarch.rpm"),
        ("fedora", "shim-x64-1-1.noarch.rpm"),
        ("updates", "chrony-2-1.noarch.rpm"),
    ];
    assert_eq!(named, wanted.map(|(id, file)| (id, file)), "{pinned}");
    assert_eq!(resolve(&env, &repository, &repository.key("ours")), pinned);

    let run = env.build(&pinned, &["--json", "--export", "tree"]).expect(0);
    let tree = env.out().join("tree");
    let read = |path: &str| {
        let path = tree.join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    // rpm itself knows the packages, and finds nothing changed but what later stages changed
    let rpm = |args: &[&str]| {
        let mut command = Command::new("rpm");
        command
            .args(["--dbpath", "/usr/lib/sysimage/rpm", "--root"])
            .arg(&tree)
            .args(args);
        oracle::tool(&mut command).unwrap()
    };
    let mut installed: Vec<String> = rpm(&["-qa", "--qf", "%{NAME}-%{VERSION}\n"])
        .lines()
        .map(str::to_owned)
        .collect();
    installed.retain(|name| !name.starts_with("gpg-pubkey"));
    installed.sort();
    let expected = [
        "basics-1",
        "chrony-2",
        "filesystem-1",
        "grub2-efi-x64-1",
        "grub2-pc-1",
        "kernel-1",
        "openssh-server-1",
        "shim-x64-1",
    ];
    assert_eq!(installed, expected);
    rpm(&["-V", "chrony", "openssh-server", "basics"]);
    assert_eq!(read("usr/bin/chronyd"), "version 2\n");
    // package scripts ran in the tree, in the order of dependencies
    assert_eq!(read("etc/posted"), "basics after filesystem\nchrony 2\n");
    // as its stages say
    for (link, unit) in [("sshd", "sshd"), ("chronyd", "chronyd")] {
        let link = tree.join(format!(
            "etc/systemd/system/multi-user.target.wants/{link}.service"
        ));
        let target = std::fs::read_link(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
        assert!(
            target.ends_with(format!("usr/lib/systemd/system/{unit}.service")),
            "{target:?}"
        );
    }
    assert!(read("boot/grub2/grub.cfg").contains(UUID));
    assert!(read("boot/grub2/grubenv").contains("console=ttyS0,115200n8"));

    // what was installed is in the result
    let metadata = &metadata_of(&run.json());
    let mut reported: Vec<String> = metadata["packages"]
        .as_array()
        .unwrap_or_else(|| panic!("no packages in {metadata}"))
        .iter()
        .map(|package| {
            format!(
                "{}-{}",
                package["name"].as_str().unwrap(),
                package["version"].as_str().unwrap()
            )
        })
        .collect();
    reported.retain(|name| !name.starts_with("gpg-pubkey"));
    reported.sort();
    assert_eq!(reported, expected);

    // and the whole becomes a disk
    env.build(&pinned, &[]).expect(0);
    let image = env.out().join("fedora.qcow2");
    oracle::qemu_img_check(&image).unwrap();
    let raw = env.path("disk.raw");
    oracle::to_raw(&image, &raw).unwrap();
    let partitions = oracle::partitions(&raw).unwrap();
    let root = partitions
        .iter()
        .find(|partition| partition.name == "root")
        .unwrap();
    oracle::e2fsck(&raw, root.start).unwrap();
    let content = oracle::ext4_file(&raw, root.start, "/usr/lib/os-release").unwrap();
    assert!(content.contains("ID=fedora"), "{content}");
    let content = oracle::ext4_file(&raw, root.start, "/boot/vmlinuz-1-1.noarch").unwrap();
    assert_eq!(content, "kernel\n");

    // once more: nothing runs
    let again = env.build(&pinned, &["--json"]).expect(0).json();
    assert!(ran(&again).is_empty(), "{again}");
}

#[test]
fn packages_with_a_key_that_is_not_theirs_are_not_installed() {
    if !need::root(WHAT) || !need::tools(&TOOLS, WHAT) {
        return;
    }
    let env = TestEnv::new();
    let repository = Repository::make(&env);
    let pinned = resolve(&env, &repository, &repository.key("other"));
    env.build(&pinned, &[]).expect(1).says(&[
        "stage org.osbuild.rpm failed",
        "not signed as the manifest demands",
    ]);
}

/// What the rpm stage reported, in either format of the result.
fn metadata_of(result: &Value) -> Value {
    if let Some(stages) = result["stages"].as_array() {
        let stage = stages.iter().find(|stage| stage["type"] == "org.osbuild.rpm");
        return stage.map_or(Value::Null, |stage| stage["metadata"].clone());
    }
    let pipelines = result["metadata"].as_object().unwrap();
    let found = pipelines.values().find_map(|types| types.get("org.osbuild.rpm"));
    found.cloned().unwrap_or_else(|| json!({}))
}

/// The stages that ran, in either format of the result.
fn ran(result: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match result["log"].as_object() {
        Some(log) => log.values().flat_map(list).collect(),
        None => list(&result["stages"]),
    }
}
