//! Trees of more layers than a chain may have.

use std::ffi::CString;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use tree::Tree;
use tree::index::{Index, Markers};

use super::*;
use crate::chain::LAYERS;

/// Runs `work` in a thread with a mount namespace, and a working directory, of its own, or says that it was skipped.
#[allow(unsafe_code)]
fn with_mounts(work: impl FnOnce() + Send) {
    if !root() {
        return;
    }
    let thread = || {
        use rustix::thread::{UnshareFlags, unshare_unsafe};
        // SAFETY: only the mount namespace (and the working directory) of this thread change, no descriptor table
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
        work();
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(thread).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs `work` where the layers, the topmost first, are mounted, with the changes of `new` on top.
fn mounted<T>(dir: &Path, layers: &[PathBuf], new: Option<&NewTree>, work: impl FnOnce(&Path) -> T) -> T {
    if let (None, [single]) = (new, layers) {
        return work(single);
    }
    let merged = dir.join("merged");
    let names = dir.join("names");
    for made in [&merged, &names] {
        let _ = std::fs::create_dir(made);
    }
    // the options have to fit into one page: each layer gets a short name
    std::env::set_current_dir(&names).unwrap();
    let name = |path: &Path, name: String| {
        let _ = std::fs::remove_file(&name);
        std::os::unix::fs::symlink(path, &name).unwrap();
        name
    };
    let lower: Vec<String> = layers
        .iter()
        .enumerate()
        .map(|(n, path)| name(path, n.to_string()))
        .collect();
    let marks = match Markers::of_this_process() {
        Markers::Trusted => "redirect_dir=on",
        Markers::User => "userxattr",
    };
    let mut options = format!("{marks},index=off,metacopy=off,xino=off");
    if let Some(new) = new {
        name(new.path(), "new".into());
        options.push_str(",uuid=off,volatile,upperdir=new/upper,workdir=new/work");
    }
    let options = CString::new(format!("lowerdir={},{options}", lower.join(":"))).unwrap();
    mount(
        "overlay",
        &merged,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .unwrap();
    let result = work(&merged);
    // a test beside this one that is just starting a program has a copy of our descriptors for a moment
    while let Err(e) = unmount(&merged, UnmountFlags::empty()) {
        assert_eq!(e, rustix::io::Errno::BUSY);
        std::thread::yield_now();
    }
    result
}

/// A tree on `base` that a stage made through a mount.
fn make_mounted(dir: &Path, store: &Store, base: &Object, script: &str) -> Object {
    let new = store.new_tree(Some(base)).unwrap();
    mounted(dir, &new.lower_layers(), Some(&new), |merged| {
        shell(merged, script)
    });
    store.commit(new, Times::Keep).unwrap()
}

/// What a mount of a tree's layers shows is what its index says; and `test` holds there.
fn assert_shown(dir: &Path, object: &Object, test: &str) {
    let shown = mounted(dir, &object.layers(), None, |merged| {
        shell(merged, test);
        Index::scan(&Tree::open(merged).unwrap(), Times::Keep).unwrap()
    });
    let changes: Vec<_> = object
        .index()
        .unwrap()
        .diff(&shown)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(changes.is_empty(), "{changes:#?}");
    assert_eq!(shown.digest(), *object.digest());
}

/// What stages do in the beginning; the rest of them write a file and remove the one before.
const EARLY: [&str; 8] = [
    "rm large/gone; touch -d @9 large",
    "rm -r turned; echo file > turned; mkdir away; echo x > away/x",
    "rm turned; mkdir turned; echo new > turned/new; rm -r away",
    "rm -r emptied; mkdir emptied; echo only > emptied/only; chmod 750 emptied",
    "echo linked > one; ln one two; ln one turned/three; ln f other; rm plain; mkdir plain",
    "rm two; rmdir plain; echo back > plain",
    "mv moved there; echo more > there/inside/more; mkdir moved; echo else > moved/else",
    "mv there/inside turned/inside; rm moved/else; chown 3:4 turned; setfattr -n user.k -v v turned plain",
];

/// What holds in the end.
const LATE: &str = "test ! -e large/gone -a ! -e away -a ! -e two -a ! -e turned/old
    test \"$(ls turned)\" = 'inside\nnew\nthree' -a \"$(ls emptied)\" = only -a \"$(cat plain)\" = back
    test one -ef turned/three -a ! -e there/inside -a -e turned/inside/more -a -e turned/inside/below
    test -d moved -a -z \"$(ls moved)\" -a \"$(ls n)\" = \"$(cat n/*)\" -a \"$(stat -c %u:%g turned)\" = 3:4";

const BOTTOM: u64 = 24 << 20;

#[test]
fn what_is_large_at_the_bottom_of_a_long_chain_is_there_once() {
    with_mounts(|| {
        let dir = place();
        let store = open(&dir);
        let base = make(
            &store,
            None,
            Times::Keep,
            &format!(
                "mkdir -p large turned emptied moved/inside n; head -c {BOTTOM} /dev/urandom > large/kept
                 echo x | tee large/gone turned/old emptied/old moved/inside/below plain > moved/f; ln moved/f f"
            ),
        );
        let bottom = base.layers();
        let (mut object, mut longest, mut merges) = (base, 0, 0);
        for number in 0..2 * LAYERS + 10 {
            let script = match EARLY.get(number) {
                Some(script) => (*script).to_owned(),
                None => format!("rm -f n/*; echo {number} > n/{number}"),
            };
            let next = make_mounted(dir.path(), &store, &object, &script);
            if next.layers().len() != object.layers().len() + 1 {
                merges += 1;
                assert_shown(dir.path(), &next, LATE);
            }
            object = next;
            longest = longest.max(object.layers().len());
        }
        assert_eq!((longest, merges), (LAYERS, 2));
        assert_eq!(object.layers().last(), bottom.last());
        assert_shown(dir.path(), &object, LATE);
        assert!(object.is_intact().unwrap());
        let trees = store.usage().unwrap().trees;
        // each stage has a few small files, of 4 KiB on disk at least, and an index
        let rest: u64 = trees.iter().map(|tree| tree.own).sum::<u64>() - BOTTOM;
        assert!(rest < BOTTOM / 2, "{rest} bytes beside the {BOTTOM}");

        // what was made one layer is not needed for it any more
        let digest = *object.digest();
        let chain = object.layers().len();
        store.commit_record("last", &object, &record(1)).unwrap();
        drop(object);
        let _nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        store.collect(false).unwrap();
        assert_eq!(store.usage().unwrap().trees.len(), chain);
        let check = store.check(true, &|_, _| ()).unwrap();
        assert!(check.damage.is_empty() && check.unchecked.is_empty(), "{check:?}");
        assert_eq!(check.trees, chain);
        let object = store.lookup("last").unwrap().unwrap().0;
        assert_eq!(*object.digest(), digest);
        // what it lies on stays while it is used, however little the store may take
        store.set_max_size(Some(1)).unwrap();
        assert_eq!(store.evict().unwrap().objects, 0);
        assert_eq!(object.layers().len(), chain);
        assert!(object.is_intact().unwrap());
    });
}

/// A chain that is full, of plain files.
fn full_chain(store: &Store) -> Object {
    let mut object = make(store, None, Times::Keep, "echo bottom > bottom; touch -d @1 .");
    for number in 1..LAYERS {
        let script = format!("echo {number} > {number}; touch -d @1 .");
        object = make(store, Some(&object), Times::Keep, &script);
    }
    assert_eq!(object.layers().len(), LAYERS);
    object
}

#[test]
fn all_is_made_one_layer_where_nobody_knows_what_the_bottom_is() {
    let dir = place();
    let store = open(&dir);
    let full = full_chain(&store);
    let merged = make(&store, Some(&full), Times::Keep, "echo x > more");
    assert_eq!(merged.layers().len(), 2);
    let bottom = full.layers().pop().unwrap();
    shell(&bottom, "truncate -s 20 ../index");
    let whole = make(&store, Some(&full), Times::Keep, "echo x > last");
    assert_eq!(whole.layers().len(), 1);
    assert!(whole.is_intact().unwrap());
    assert_eq!(
        std::fs::read(whole.layers()[0].join("bottom")).unwrap(),
        b"bottom\n"
    );
    assert_eq!(
        whole.index().unwrap().len(),
        LAYERS + 2,
        "the root, those of the chain and one more"
    );
}

#[test]
fn a_layer_whose_size_is_not_known_is_measured() {
    let dir = place();
    let store = open(&dir);
    let mut object = make(&store, None, Times::Keep, "head -c 3000000 /dev/urandom > large");
    object = make(
        &store,
        Some(&object),
        Times::Keep,
        "head -c 2000000 /dev/urandom > second",
    );
    let second = object.path().to_owned();
    for number in 2..LAYERS {
        object = make(
            &store,
            Some(&object),
            Times::Keep,
            &format!("echo {number} > {number}"),
        );
    }
    let info = std::fs::read(second.join("info")).unwrap();
    std::fs::remove_file(second.join("info")).unwrap();
    let merged = make(&store, Some(&object), Times::Keep, "echo x > more");
    assert_eq!(merged.layers()[1], second.join("layer"), "it stays as it is");
    assert_eq!(merged.layers().len(), 3);
    std::fs::write(second.join("info"), info).unwrap();
    assert!(merged.is_intact().unwrap());
}

#[test]
fn a_tree_that_is_made_again_does_not_lie_on_itself() {
    if !root() {
        return;
    }
    let dir = place();
    let store = open(&dir);
    let touch = "touch -cd @1 f g h . 2>/dev/null || :";
    let first = make(&store, None, Times::Keep, &format!("echo f > f; {touch}"));
    let second = make(&store, Some(&first), Times::Keep, &format!("echo g > g; {touch}"));
    let third = make(
        &store,
        Some(&second),
        Times::Keep,
        &format!("echo h > h; {touch}"),
    );
    let (digest, path) = (*second.digest(), second.path().to_owned());
    drop(second);
    std::fs::remove_file(path.join("lock")).unwrap();
    assert!(store.object(&digest).unwrap().is_none());
    let again = make(
        &store,
        Some(&third),
        Times::Keep,
        &format!("mknod h c 0 0; {touch}"),
    );
    assert_eq!(*again.digest(), digest);
    assert_eq!(again.layers(), [path.join("layer"), first.layers()[0].clone()]);
    assert_eq!(
        names(&again.layers()[0]),
        ["g"],
        "no mark is left where nothing is to hide"
    );
    assert!(again.is_intact().unwrap());
    let third = store.object(third.digest()).unwrap().unwrap();
    assert_eq!(third.layers()[1..], again.layers());
    assert!(third.is_intact().unwrap());
}

#[test]
fn hard_links_of_a_merged_layer_stay_one_file() {
    let dir = place();
    let store = open(&dir);
    let mut object = full_chain(&store);
    object = make(
        &store,
        Some(&object),
        Times::Keep,
        "mkdir a; echo 0 > a/0; ln a/0 l",
    );
    for number in 0..LAYERS {
        object = make(&store, Some(&object), Times::Keep, &format!("echo {number} > n"));
    }
    assert!(object.is_intact().unwrap());
    let index = object.index().unwrap();
    assert!(index.get("l").unwrap().hard_link.is_some());
    let layers = object.layers();
    let layer = layers.iter().find(|layer| layer.join("l").exists()).unwrap();
    let inode = |name: &str| layer.join(name).metadata().unwrap().ino();
    assert_eq!(inode("l"), inode("a/0"));
}
