//! A tree with something of everything.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::TestEnv;
use tests::listing::{Item, Listing, allocated, list};
use tests::manifests::{copy_of, sha256};
use tests::oracle::tool;

const EPOCH: i64 = 1_735_689_600;

/// What a stage of ours has no option for.
const SCRIPT: &str = r#"set -e
cd /run/osbuild/tree/usr/things
printf 'one file, three names' > first
ln first second
mkdir -p below; ln first below/third
truncate -s 16M holes
printf middle | dd of=holes bs=1 seek=8M conv=notrunc status=none
: > empty
printf attributes > marked
setfattr -n user.colour -v blue marked
setfattr -n user.binary -v 0x00ff0a marked
setfattr -n user.note -v directory below
printf program > capable; chmod 0755 capable
setcap cap_net_raw,cap_net_bind_service+ep capable
printf program > setuid; chown 1234:5678 setuid; chmod 4755 setuid
mkdir setgid sticky; chmod 2775 setgid; chgrp 100 setgid; chmod 1777 sticky
ln -s ../things/first to-first; ln -s /nowhere/at/all dangling; ln -s . self
chown -h 77:78 dangling
printf x > 'a  name with spaces'
printf x > "$(printf 'line\nbreak')"
printf x > 'back\slash "quoted"'
printf x > -dash; printf x > '*'; printf x > 'ünïcödé ☃'
printf x > "$(printf '%0250d' 7)"
mkdir -p $(printf 'deep/%.0s' $(seq 1 60)); printf x > $(printf 'deep/%.0s' $(seq 1 60))leaf
chown 65534:65534 empty"#;

/// The stages of the tree. The last one adds what not every format can hold.
pub fn stages(all: bool) -> Value {
    let dirs = json!({"paths": [
        {"path": "/usr/things", "parents": true}, {"path": "/etc"}, {"path": "/var/lib/empty", "parents": true},
    ]});
    let hello = sha256("hello\n");
    let mut stages = vec![
        json!({"type": "org.osbuild.mkdir", "options": dirs}),
        copy_of(&[(&hello, "usr/things/hello")]),
        json!({"type": "org.osbuild.chmod", "options": {"items": {"/usr/things/hello": {"mode": "0640"}}}}),
        json!({"type": "org.osbuild.chown", "options": {"items": {"/usr/things/hello": {"user": 1000, "group": 50}}}}),
        json!({"type": "org.example.things"}),
    ];
    if all {
        stages.push(json!({"type": "org.example.more"}));
    }
    stages.into()
}

pub fn env() -> TestEnv {
    let env = TestEnv::new();
    env.stage("org.example.things", SCRIPT);
    env.stage(
        "org.example.more",
        r#"set -e
cd /run/osbuild/tree/usr/things
mkfifo fifo
printf x > "$(printf 'not utf-8 \377')""#,
    );
    env
}

/// The tree as pipeline `tree`, then one pipeline a result (name, stage, options).
pub fn manifest(all: bool, results: &[(&str, &str, Value)]) -> Value {
    let mut pipelines = vec![json!({"name": "tree", "source-epoch": EPOCH, "stages": stages(all)})];
    for (name, stage, options) in results {
        let input = json!({
            "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"],
        });
        let stage = json!({"type": stage, "inputs": {"tree": input}, "options": options});
        pipelines.push(json!({"name": name, "source-epoch": EPOCH, "stages": [stage]}));
    }
    json!({"version": "2", "pipelines": pipelines, "sources": sources()})
}

fn sources() -> Value {
    let item = json!({"encoding": "base64", "data": "aGVsbG8K"});
    json!({"org.osbuild.inline": {"items": {sha256("hello\n"): item}}})
}

/// Builds and exports all pipelines; what the tree is.
pub fn build(env: &TestEnv, manifest: &Value) -> Listing {
    let mut args = vec!["-l", "lib"];
    let pipelines = manifest["pipelines"].as_array().unwrap();
    for pipeline in pipelines {
        args.extend(["--export", pipeline["name"].as_str().unwrap()]);
    }
    env.build(manifest, &args).expect(0);
    let tree = env.out().join("tree");
    let listing = list(&tree);
    check(&tree, &listing);
    listing
}

/// The tree in the output directory is as the stages made it: what is compared with it means something.
pub fn check(tree: &Path, listing: &Listing) {
    let item = |name: &str| &listing[&Path::new("usr/things").join(name)];
    let owner = |item: &Item| (item.mode, item.uid, item.gid);
    assert_eq!(owner(item("hello")), (0o640, 1000, 50));
    assert_eq!(owner(item("setuid")), (0o4755, 1234, 5678));
    assert_eq!(owner(item("setgid")), (0o2775, 0, 100));
    assert_eq!((item("dangling").uid, item("dangling").gid), (77, 78));
    assert_eq!(item("below/third").first, item("first").first);
    assert_eq!(
        item("marked").xattrs["user.binary".as_ref() as &std::ffi::OsStr],
        "00ff0a"
    );
    assert_eq!(item("below").xattrs.len(), 1);
    let capable = tree.join("usr/things/capable");
    let said = tool(Command::new("getcap").arg(&capable)).unwrap();
    assert!(said.ends_with("cap_net_bind_service,cap_net_raw=ep\n"), "{said}");
    assert!(allocated(&tree.join("usr/things/holes")) < 1 << 20);
    // what the stages made is not newer than the source epoch
    assert!(item("hello").mtime <= EPOCH && item("first").mtime <= EPOCH);
}
