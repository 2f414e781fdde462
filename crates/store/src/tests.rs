use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;

mod chains;

const SINCE: i64 = 4_000_000_000;

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: whiteouts and owners need root");
    }
    root
}

fn place() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("store-test-")
        .tempdir_in("/var/tmp")
        .unwrap()
}

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("store")).unwrap()
}

/// Held while a process is started: between fork and exec it has all our descriptors, and so all our locks.
static STARTING: RwLock<()> = RwLock::new(());

fn shell(dir: &Path, script: &str) {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let out = Command::new("sh")
        .args(["-euc", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A tree whose layer `script` fills as a stage would through an overlay.
fn make(store: &Store, base: Option<&Object>, times: Times, script: &str) -> Object {
    let new = store.new_tree(base).unwrap();
    shell(&new.upper(), script);
    store.commit(new, times).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let list = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = list
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn record(saw: u32) -> Record {
    Record::new(
        json!({ "saw": saw }),
        Some(json!({"n": [1]})),
        "log\n".into(),
        0.5,
    )
}

#[test]
fn what_a_stage_made_is_found_under_its_id() {
    let dir = place();
    let store = open(&dir);
    assert!(store.lookup("a1").unwrap().is_none());
    let first = make(&store, None, Times::Keep, "echo x > f");
    let second = make(&store, Some(&first), Times::Keep, "mkdir d; echo y > d/g");
    store.commit_record("a1", &second, &record(7)).unwrap();
    drop((first, second, store));

    let store = open(&dir);
    let (object, found) = store.lookup("a1").unwrap().unwrap();
    assert_eq!(found, record(7));
    assert_eq!(object.layers().len(), 2);
    assert!(object.layers()[0].join("d/g").is_file() && object.layers()[1].join("f").is_file());
    let index = object.index().unwrap();
    let paths: Vec<_> = index
        .entries()
        .map(|e| e.path.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, ["", "d", "d/g", "f"]);
    assert!(object.is_intact().unwrap());
    let link = std::fs::read_link(store.path().join("refs/a1")).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("../objects/{}", object.digest()));
}

#[test]
fn one_tree_is_one_object_whenever_and_by_whomever_it_is_made() {
    for times in [
        Times::Clamp {
            since: SINCE,
            epoch: 5,
        },
        Times::Zero { since: SINCE },
    ] {
        let build = |store: &Store, now: i64| {
            let base = make(
                store,
                None,
                times,
                &format!("mkdir a; echo x > a/f; touch -d @{now} a/f a ."),
            );
            make(
                store,
                Some(&base),
                times,
                &format!("echo y > g; touch -d @{} g .", now + 9),
            )
        };
        let (here, there) = (place(), place());
        let (store, other) = (open(&here), open(&there));
        let object = build(&store, SINCE);
        assert_eq!(object.digest(), build(&other, SINCE + 5000).digest());
        assert_eq!(object.path(), build(&store, SINCE + 70).path());
        assert_eq!(names(&store.path().join("objects")).len(), 2);
        assert_eq!(names(&store.path().join("tmp")).len(), 1, "only the desk is left");
    }
}

#[test]
fn a_stage_that_changes_nothing_makes_no_object() {
    let dir = place();
    let store = open(&dir);
    let base = make(
        &store,
        None,
        Times::Keep,
        "echo x > f; chmod 2751 .; touch -d @9.5 .",
    );
    let same = make(&store, Some(&base), Times::Keep, ":");
    assert_eq!(base.path(), same.path());
}

#[test]
fn a_tree_that_was_left_alone_is_its_base_unless_its_times_count_otherwise() {
    let dir = place();
    let store = open(&dir);
    let base = make(
        &store,
        None,
        Times::Keep,
        "echo a > file; touch -d @1000000000 . file",
    );
    let alone = |times| make(&store, Some(&base), times, "true").index().unwrap();
    let plain = base.index().unwrap();
    for since in [SINCE, 1_000_000_002] {
        assert_eq!(alone(Times::Zero { since }).digest(), *base.digest());
        assert_eq!(alone(Times::Clamp { since, epoch: 5 }).digest(), *base.digest());
    }
    assert_eq!(alone(Times::Keep).digest(), *base.digest());
    // the time of its root is one that a stage since then has left
    let clamped = alone(Times::Clamp { since: 7, epoch: 5 });
    assert_eq!(clamped.get("").unwrap().mtime, (5, 0));
    assert_eq!(clamped.get("file"), plain.get("file"));
    let zero = alone(Times::Zero { since: 7 });
    assert!(zero.get("").unwrap().timeless);
    assert_ne!(zero.digest(), *base.digest());
    // nor is it where the root alone is another
    let root = make(&store, Some(&base), Times::Keep, "chmod 700 .");
    assert_eq!(root.index().unwrap().get("").unwrap().mode, 0o700);
}

#[test]
fn a_record_that_was_cut_off_is_none_and_is_replaced() {
    let dir = place();
    let store = open(&dir);
    let tree = make(&store, None, Times::Keep, "echo a > file");
    let json = store.refs().join("id.json");
    std::fs::write(&json, "{\"version\": 1, \"tr").unwrap();
    assert!(store.lookup("id").unwrap().is_none());
    for saw in [1, 2] {
        store.commit_record("id", &tree, &record(saw)).unwrap();
        assert_eq!(store.lookup("id").unwrap().unwrap().1, record(saw));
    }
    assert_eq!(names(&store.refs()), ["id", "id.json"]);
}

#[test]
fn many_builders_of_one_tree_agree() {
    let dir = place();
    let store = open(&dir);
    let digests: Vec<TreeDigest> = std::thread::scope(|scope| {
        let build = || *make(&store, None, Times::Zero { since: 0 }, "echo x > f").digest();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(build)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(digests.iter().all(|d| *d == digests[0]));
    assert_eq!(names(&store.path().join("objects")), [digests[0].to_string()]);
}

#[test]
fn what_is_incomplete_is_a_miss_and_is_replaced() {
    let dir = place();
    let store = open(&dir);
    let base = || make(&store, None, Times::Zero { since: 0 }, "echo x > f");
    let top = make(&store, Some(&base()), Times::Zero { since: 0 }, "echo y > g");
    store.commit_record("id", &top, &record(1)).unwrap();
    for damage in [
        "rm -r layer",
        "rm index",
        "rm info",
        "echo x > parent",
        "echo { > info",
    ] {
        shell(base().path(), damage);
        assert!(store.lookup("id").unwrap().is_none(), "{damage}");
        base();
        assert!(store.lookup("id").unwrap().is_some(), "{damage}");
    }
    shell(store.path(), "echo { > refs/id.json");
    assert!(store.lookup("id").unwrap().is_none());
}

#[test]
fn after_a_crash_of_the_machine_objects_are_verified() {
    let dir = place();
    let store = open(&dir);
    let object = make(&store, None, Times::Zero { since: 0 }, "echo content > f");
    let (path, digest) = (object.path().to_owned(), *object.digest());
    let crash = || {
        shell(
            &path,
            r#"sed -i 's/"boot":"[^"]*"/"boot":"another"/; /boot/!s/}/,"boot":"another"}/' info"#,
        )
    };
    crash();
    assert!(store.object(&digest).unwrap().is_some());
    let info = std::fs::read_to_string(path.join("info")).unwrap();
    assert!(!info.contains("boot"), "verified, so known to be good: {info}");
    crash();
    // what a crash leaves: the right length, and zeros
    shell(&path, "truncate -s 0 layer/f; truncate -s 8 layer/f");
    assert!(store.object(&digest).unwrap().is_none());
    let again = make(&store, None, Times::Zero { since: 0 }, "echo content > f");
    assert_eq!(*again.digest(), digest);
    assert_eq!(std::fs::read(path.join("layer/f")).unwrap(), b"content\n");
}

#[test]
fn a_synced_object_loses_its_mark() {
    let dir = place();
    let store = open(&dir);
    let object = make(&store, None, Times::Keep, "echo x > f");
    let info = || std::fs::read_to_string(object.path().join("info")).unwrap();
    assert!(info().contains("boot"));
    store.sync();
    let begun = SystemTime::now();
    while info().contains("boot") {
        assert!(begun.elapsed().unwrap() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}

#[test]
fn a_stage_is_built_by_one_at_a_time() {
    let dir = place();
    let (store, other) = (open(&dir), open(&dir));
    let lock = store.lock_stage("id").unwrap();
    assert!(other.try_lock_stage("id").unwrap().is_none());
    assert!(other.try_lock_stage("another").unwrap().is_some());
    let (send, done) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let send = send.clone();
            let other = &other;
            scope.spawn(move || {
                let lock = other.lock_stage("id").unwrap();
                send.send(()).unwrap();
                drop(lock);
            });
        }
        assert!(done.try_recv().is_err());
        drop(lock);
    });
    assert_eq!(done.try_iter().count(), 4);
    assert!(!store.path().join("tmp/lock-id").exists());
}

#[test]
fn leftovers_are_collected_and_what_is_in_use_or_not_ours_stays() {
    let dir = place();
    let store = open(&dir);
    let new = store.new_tree(None).unwrap();
    let scratch = store.scratch("x").unwrap();
    let tmp = store.path().join("tmp");
    shell(
        &tmp,
        "mkdir -p new-left/upper/d new-tree-1-1 buildroot-tmp-q; chmod 0 new-left/upper/d; touch lock-dead file",
    );
    let lock = store.lock_stage("alive").unwrap();
    let other = open(&dir);
    assert!(new.upper().is_dir() && scratch.path().is_dir());
    for gone in ["new-left", "new-tree-1-1", "lock-dead"] {
        assert!(!tmp.join(gone).exists(), "{gone}");
    }
    for kept in ["buildroot-tmp-q", "file", "lock-alive"] {
        assert!(tmp.join(kept).exists(), "{kept}");
    }
    drop((new, scratch, lock, other, store));
    assert_eq!(names(&tmp), ["buildroot-tmp-q", "file"]);
}

/// A write lock as the Python osbuild takes it before it evicts.
fn peer_can_write(store: &Path) -> bool {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(store.join("cache.lock"))
        .unwrap();
    let all = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as _,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&all)).is_ok()
}

#[test]
fn a_store_of_the_python_osbuild_is_shared_with_it() {
    let dir = place();
    let path = dir.path().join("store");
    std::fs::create_dir(&path).unwrap();
    let id = "6".repeat(64);
    shell(
        &path,
        &format!(
            "mkdir -p objects/{id}/data/tree stage/uuid-1 sources/org.osbuild.files tmp/host; touch cache.lock
             echo '{{\"version\": 1, \"maximum-size\": 12345678, \"mine\": true}}' > cache.info; echo 5 > cache.size
             echo x > sources/org.osbuild.files/sha256:1; echo '{{}}' > objects/{id}/object.info"
        ),
    );
    let store = open(&dir);
    assert!(store.object(&id.parse().unwrap()).unwrap().is_none());
    assert_eq!(store.max_size().unwrap(), Some(12_345_678));
    store.set_max_size(Some(1)).unwrap();
    assert_eq!(store.evict().unwrap(), Evicted::default());
    store.set_max_size(None).unwrap();
    assert_eq!(store.max_size().unwrap(), None);
    assert!(!peer_can_write(&path));
    let _nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    drop(store);
    assert!(peer_can_write(&path));
    assert!(path.join("objects").join(&id).join("data/tree").is_dir() && path.join("tmp/host").is_dir());
    let info = std::fs::read_to_string(path.join("cache.info")).unwrap();
    assert_eq!(info, r#"{"version":1,"maximum-size":"unlimited","mine":true}"#);
}

#[test]
fn the_limit_of_a_new_store_is_bounded_by_the_free_space() {
    let dir = place();
    let store = open(&dir);
    let limit = store.max_size().unwrap().unwrap();
    let free = rustix::fs::statvfs(dir.path()).unwrap();
    assert!(limit <= 50 << 30 && limit <= free.f_blocks * free.f_frsize / 2);
    shell(
        store.path(),
        "echo '{\"version\": 1, \"maximum-size\": 0}' > cache.info",
    );
    assert_eq!(store.max_size().unwrap(), Some(limit));
}

#[test]
fn what_was_not_used_for_longest_is_evicted_first() {
    let dir = place();
    let store = open(&dir);
    let big = |name: &str| format!("head -c 1000000 /dev/urandom > {name}");
    let mut ids = Vec::new();
    let mut objects = Vec::new();
    let base = make(&store, None, Times::Keep, &big("base"));
    for (number, name) in ["child", "old", "pinned", "used", "new"].into_iter().enumerate() {
        let below = (name == "child").then_some(&base);
        let object = make(&store, below, Times::Keep, &big(name));
        let mut record = record(0);
        record.pinned = name == "pinned";
        store.commit_record(name, &object, &record).unwrap();
        // the base is older than all, and yet the child on it goes before it
        let used = SystemTime::now() - Duration::from_secs(1000 - number as u64);
        let lock = std::fs::File::open(object.path().join("lock")).unwrap();
        lock.set_modified(used).unwrap();
        ids.push(name);
        objects.push(object);
    }
    let lock = std::fs::File::open(base.path().join("lock")).unwrap();
    lock.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let used = objects.remove(3);
    drop((objects, base));

    let _nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let total = store.evict().unwrap().left;
    store.set_max_size(Some(total - 500_000)).unwrap();
    assert_eq!(store.evict().unwrap().objects, 1);
    assert!(store.lookup("child").unwrap().is_none());
    assert!(!store.path().join("refs/child").exists() && !store.path().join("refs/child.json").exists());
    store.set_max_size(Some(total - 2_500_000)).unwrap();
    assert_eq!(store.evict().unwrap().objects, 2, "the base and the old one");
    assert!(store.lookup("old").unwrap().is_none());
    store.set_max_size(Some(1)).unwrap();
    let done = store.evict().unwrap();
    assert_eq!(done.objects, 1);
    let left: Vec<_> = ids
        .into_iter()
        .filter(|id| store.lookup(id).unwrap().is_some())
        .collect();
    assert_eq!(left, ["pinned", "used"]);
    assert!(used.is_intact().unwrap());
}

#[test]
fn what_cannot_be_a_store_is_told() {
    let dir = place();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [&file, &file.join("below")] {
        let error = Store::open(path).unwrap_err().to_string();
        assert_eq!(error, format!("the store {} is not a directory", path.display()));
    }
    let error = Store::open(Path::new("/proc/nowhere/store"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the store /proc/nowhere/store cannot be written to: "),
        "{error}"
    );
    let store = open(&dir);
    for id in ["", "..", "a/b", ".x", "a\0b"] {
        assert!(matches!(store.lookup(id), Err(Error::BadId(_))), "{id:?}");
    }
}

#[test]
fn a_tree_that_no_store_can_hold_leaves_the_store_as_it_was() {
    if !root() {
        return;
    }
    let dir = place();
    let store = open(&dir);
    let new = store.new_tree(None).unwrap();
    shell(&new.upper(), "echo x > f; chown 70000 f");
    let error = store.commit(new, Times::Keep).unwrap_err().to_string();
    assert!(error.starts_with("/f: belongs to 70000"), "{error}");
    assert!(names(&store.path().join("objects")).is_empty());
    assert_eq!(names(&store.path().join("tmp")).len(), 1);
}
