//! A store on a file system that carries no layers, such as another overlay: the same trees and bytes, only slower.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, TestEnv, listing, need, run};

const LIMIT: Duration = Duration::from_secs(900);
const EPOCH: i64 = 1_700_000_000;
const UUID: &str = "2b5a3a39-6ab9-4f8f-8f0c-6f3c35d5a1d8";

/// Everything that a change of owners could lose.
const ALL_KINDS: &str = r#"set -e
cd /run/osbuild/tree
mkdir -p etc usr/bin usr/lib home var/lib var/gone tmp acl linked
echo root:x:0:0::/root:/bin/sh > etc/passwd
echo root:x:0: > etc/group
cp /usr/bin/env usr/bin
chmod 4755 usr/bin/env
ln usr/bin/env usr/bin/same
ln usr/bin/env usr/bin/third
ln -s env usr/bin/link
cp /usr/bin/true usr/bin/ping
chown 3:4 usr/bin/ping
setcap cap_net_raw+ep usr/bin/ping
mkfifo var/lib/fifo
truncate -s 10M var/lib/holes
seq 100000 > usr/lib/numbers
for i in $(seq 30); do echo $i > var/lib/file-$i; echo $i > var/gone/file-$i; done
chown -R 7:8 var/lib
echo x > acl/file
setfacl -m u:12:r acl/file
setfacl -d -m g:13:rwx acl
setfattr -n user.test -v value acl/file
echo linked > linked/1
ln linked/1 linked/2
ln linked/1 linked/3
touch -d 2001-02-03 etc/group
chmod 1777 tmp
"#;

/// What the stage before left is as it was made; and what an overlay has marks for.
const CHANGES: &str = r#"set -e
cd /run/osbuild/tree
test "$(stat -c %u:%g usr/bin/ping)" = 3:4
test "$(stat -c %a usr/bin/env)" = 4755
getcap usr/bin/ping | grep -q cap_net_raw
getfacl -n acl/file | grep -q user:12:r
mv var/lib var/moved
rm -r var/gone
echo file > var/gone
echo more >> usr/bin/same
chmod 2755 usr/bin/third
echo x > acl/new
rm linked/2
mkdir etc/new
echo 1 > etc/new/1
chown 70:71 usr/lib/numbers
"#;

const TOOLS: [&str; 5] = ["mke2fs", "setcap", "setfacl", "setfattr", "unshare"];

/// A place with a store on an overlay, which is mounted for as long as a command runs: below it is `lower`, and what is
/// written goes to `upper`.
struct Overlay(TestEnv);

impl Overlay {
    fn new() -> Self {
        let env = with_stages();
        for name in ["lower", "upper", "work", "store"] {
            fs::create_dir(env.path(name)).unwrap();
        }
        Self(env)
    }

    /// Runs `osbuild` with these arguments where the store is mounted.
    fn osbuild(&self, args: &[&str]) -> Run {
        let script =
            "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work store && exec \"$@\"";
        let mut command = self.0.command("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(self.0.binaries().osbuild()).args(args);
        let run = run(&mut command, b"", LIMIT);
        let left: Vec<_> = fs::read_dir(self.0.path("upper/tmp"))
            .into_iter()
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
        run
    }

    fn build(&self, manifest: &Value) -> Value {
        let file = self.0.write("manifest.json", manifest.to_string());
        let args = [
            "--store",
            "store",
            "-o",
            "out",
            "-l",
            "lib",
            "--json",
            file.to_str().unwrap(),
        ];
        self.osbuild(&args).expect(0).json()
    }

    fn store(&self, args: &[&str]) -> Run {
        self.osbuild(&[&["store", "--store", "store"], args].concat())
    }
}

fn with_stages() -> TestEnv {
    let env = TestEnv::new();
    env.stage("org.test.all-kinds", ALL_KINDS);
    env.stage("org.test.changes", CHANGES);
    env
}

/// A tree of several stages, and what is made of it: archives, disks, a commit.
fn manifest(hostname: &str) -> Value {
    let mut manifest = tree_of(json!([
        {"type": "org.test.all-kinds"},
        {"type": "org.test.changes"},
        {"type": "org.osbuild.hostname", "options": {"hostname": hostname}},
        {"type": "org.osbuild.users", "options": {"users": {"ada": {"home": "/home/ada"}}}},
    ]));
    manifest["pipelines"][0]["source-epoch"] = EPOCH.into();
    let disk = |name: &str| json!({"filename": name, "root_fs_uuid": UUID, "size": "64 MiB"});
    let results = [
        (
            "archive",
            "org.osbuild.tar.assembler",
            json!({"filename": "tree.tar"}),
        ),
        ("raw", "org.osbuild.raw", disk("disk.raw")),
        ("qcow2", "org.osbuild.qcow2", disk("disk.qcow2")),
        (
            "commit",
            "org.osbuild.ostree.commit.assembler",
            json!({"ref": "test/small", "os_version": "1"}),
        ),
    ];
    for (name, kind, options) in results {
        let inputs = json!({
            "tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]},
        });
        let stage = json!({"type": kind, "inputs": inputs, "options": options});
        let pipeline = json!({"name": name, "source-epoch": EPOCH, "stages": [stage]});
        manifest["pipelines"].as_array_mut().unwrap().push(pipeline);
    }
    manifest
}

/// Which trees the stages in a store have made.
fn trees(store: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(store.join("refs"))
        .unwrap()
        .map(|entry| entry.unwrap());
    let links = entries.filter(|entry| entry.file_type().unwrap().is_symlink());
    links
        .map(|link| {
            let name = link.file_name().into_string().unwrap();
            (name, fs::read_link(link.path()).unwrap())
        })
        .collect()
}

/// The stages that a build ran.
fn ran(document: &Value) -> Vec<&str> {
    let log = document["log"].as_object().unwrap();
    let stages = log.values().flat_map(|stages| stages.as_array().unwrap());
    stages.map(|stage| stage["type"].as_str().unwrap()).collect()
}

/// What was handed out, whenever it was made.
fn content(dir: &Path) -> listing::Listing {
    listing::without(&listing::list(dir), |item| item.mtime = 0)
}

fn can(what: &str) -> bool {
    need::root(what) && need::tools(&TOOLS, what)
}

#[test]
fn what_is_built_in_it_is_the_same() {
    if !can("a store on an overlay") {
        return;
    }
    let (plain, overlay) = (with_stages(), Overlay::new());
    let exports: Vec<&str> = ["tree", "archive", "raw", "qcow2", "commit"]
        .into_iter()
        .flat_map(|name| ["--export", name])
        .collect();
    let first = manifest("same");
    plain
        .build(&first, &[&["-l", "lib", "-q"], &exports[..]].concat())
        .expect(0);
    let file = overlay.0.write("manifest.json", first.to_string());
    let args = ["--store", "store", "-o", "out", "-l", "lib", "--json"];
    let args = [&args[..], &exports, &[file.to_str().unwrap()]].concat();
    let document = overlay.osbuild(&args).expect(0).json();
    assert_eq!(ran(&document).len(), 8);
    assert_eq!(trees(&plain.store()), trees(&overlay.0.path("upper")));
    assert_eq!(content(&plain.out()), content(&overlay.0.out()));

    // what is there is taken, also below what has changed
    assert_eq!(ran(&overlay.build(&first)), [""; 0]);
    let second = manifest("other");
    plain
        .build(&second, &["-l", "lib", "-q", "--export", "archive"])
        .expect(0);
    let args = [
        "--store", "store", "-o", "out", "-l", "lib", "--json", "--export", "archive",
    ];
    let file = overlay.0.write("manifest.json", second.to_string());
    let document = overlay
        .osbuild(&[&args[..], &[file.to_str().unwrap()]].concat())
        .expect(0)
        .json();
    let mut again = ran(&document);
    again.sort_unstable();
    assert_eq!(
        again,
        [
            "org.osbuild.hostname",
            "org.osbuild.tar.assembler",
            "org.osbuild.users"
        ]
    );
    assert_eq!(trees(&plain.store()), trees(&overlay.0.path("upper")));

    overlay.store(&["fsck", "--deep"]).expect(0);
    overlay.store(&["gc"]).expect(0);
    overlay.store(&["fsck", "--deep"]).expect(0);
    assert_eq!(ran(&overlay.build(&first)), [""; 0]);
}

#[test]
fn a_build_without_an_epoch_makes_the_same_trees() {
    if !can("a store on an overlay") {
        return;
    }
    let (plain, overlay) = (with_stages(), Overlay::new());
    let mut timeless = manifest("same");
    timeless["pipelines"].as_array_mut().unwrap().truncate(1);
    timeless["pipelines"][0]
        .as_object_mut()
        .unwrap()
        .remove("source-epoch");
    plain.build(&timeless, &["-l", "lib", "-q"]).expect(0);
    assert_eq!(ran(&overlay.build(&timeless)).len(), 4);
    assert_eq!(trees(&plain.store()), trees(&overlay.0.path("upper")));
}

#[test]
fn a_machine_whose_whole_root_is_an_overlay_builds_the_same() {
    if !can("a root file system on an overlay") {
        return;
    }
    let env = with_stages();
    env.build(&manifest("same"), &["-l", "lib", "-q", "--export", "archive"])
        .expect(0);
    env.write("manifest.json", manifest("same").to_string());
    // in a mount table of its own, which takes all of this with it
    let script = r#"set -e
mkdir disk
mount -t tmpfs tmpfs disk
mkdir disk/upper disk/work disk/root
mount -t overlay overlay -o lowerdir=/,upperdir=disk/upper,workdir=disk/work disk/root
for dir in dev proc sys; do mount --rbind /$dir disk/root/$dir; done
mkdir disk/root/binaries disk/root/given disk/root/old disk/root/made
mount --bind "$1" disk/root/binaries
mount --bind . disk/root/given
cd disk/root
pivot_root . old
umount -l /old
cd /made
/binaries/osbuild --store store -o out -l /given/lib -q --export archive /given/manifest.json
/binaries/osbuild store --store store fsck --deep
stat -f -c %T . store/objects
sha256sum out/archive/tree.tar
"#;
    let mut command = env.command("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]);
    let osbuild = env.binaries().osbuild();
    command.arg(osbuild.parent().unwrap()).env("TMPDIR", "/tmp");
    let there = run(&mut command, b"", LIMIT).expect(0);
    assert!(there.stdout.contains("overlayfs\noverlayfs\n"), "{there}");
    let here = run(env.command("sha256sum").arg("out/archive/tree.tar"), b"", LIMIT).expect(0);
    assert!(there.stdout.ends_with(&here.stdout), "{there}");
    fs::remove_dir(env.path("disk")).unwrap();
}

#[test]
fn layers_below_an_overlay_are_not_taken_for_what_they_are_not() {
    if !can("a store on an overlay") {
        return;
    }
    let (plain, overlay) = (with_stages(), Overlay::new());
    let (first, second) = (manifest("same"), manifest("other"));
    let quiet = ["-l", "lib", "-q"];
    plain.build(&first, &quiet).expect(0);
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(from.join("."))
            .arg(to)
            .status()
            .unwrap();
        assert!(copied.success());
    };
    // below an overlay, as in the image of a container: layers with marks in them do not show there as they are
    copy(&plain.store(), &overlay.0.path("lower"));
    plain.build(&second, &quiet).expect(0);
    let document = overlay.build(&second);
    let ran = ran(&document);
    assert!(
        !ran.contains(&"org.test.all-kinds") && ran.contains(&"org.osbuild.hostname"),
        "{ran:?}"
    );
    overlay.build(&first);
    overlay.store(&["fsck", "--deep"]).expect(0);
    let made = trees(&overlay.0.path("upper"));
    let all = trees(&plain.store());
    assert!(
        made.iter().all(|(id, tree)| all.get(id) == Some(tree)),
        "{made:?} {all:?}"
    );
}

#[test]
fn whole_trees_are_as_good_as_layers_elsewhere() {
    if !can("a store on an overlay") {
        return;
    }
    let (plain, overlay) = (with_stages(), Overlay::new());
    let (first, second) = (manifest("same"), manifest("other"));
    overlay.build(&first);
    fs::rename(overlay.0.path("upper"), plain.store()).unwrap();
    let build = |manifest| plain.build(manifest, &["-l", "lib", "--json"]).expect(0).json();
    assert_eq!(ran(&build(&first)), [""; 0]);
    let document = build(&second);
    let again = ran(&document);
    assert!(
        !again.contains(&"org.test.changes") && again.contains(&"org.osbuild.hostname"),
        "{again:?}"
    );
    plain
        .osbuild(["store", "--store", "store", "fsck", "--deep"])
        .expect(0);
    let other = with_stages();
    other.build(&second, &["-l", "lib", "-q"]).expect(0);
    let made = trees(&plain.store());
    assert!(
        trees(&other.store())
            .iter()
            .all(|(id, tree)| made.get(id) == Some(tree)),
        "{made:?}"
    );
}
