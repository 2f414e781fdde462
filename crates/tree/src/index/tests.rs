use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sha2::Digest;

use super::*;
use crate::copy::{Options, copy_tree};

/// Runs `work` in a thread with a mount namespace of its own, or says that it was skipped.
#[allow(unsafe_code)]
fn with_mounts(work: impl FnOnce() + Send) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting an overlay needs root");
        return;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            use rustix::mount::{MountPropagationFlags, mount_change};
            use rustix::thread::{UnshareFlags, unshare_unsafe};
            // SAFETY: only the mount namespace (and the working directory) of this thread change, no descriptor table
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
            mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
            work();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A pile of layers in a temporary directory.
struct Pile {
    dir: tempfile::TempDir,
    /// The directories of the layers, the lowest first.
    layers: Vec<String>,
    /// How many layers were made.
    made: usize,
    markers: Markers,
}

impl Pile {
    fn new() -> Self {
        Self::with(Markers::Trusted)
    }

    fn with(markers: Markers) -> Self {
        let pile = Self {
            dir: tempfile::Builder::new()
                .prefix("tree-index-")
                .tempdir_in("/var/tmp")
                .unwrap(),
            layers: Vec::new(),
            made: 0,
            markers,
        };
        std::fs::create_dir(pile.dir.path().join("merged")).unwrap();
        pile
    }

    fn layer(&self, number: usize) -> Tree {
        Tree::open(self.dir.path().join(&self.layers[number])).unwrap()
    }

    fn top(&self) -> Tree {
        self.layer(self.layers.len() - 1)
    }

    /// Topmost first.
    fn trees(&self) -> Vec<Tree> {
        (0..self.layers.len()).rev().map(|n| self.layer(n)).collect()
    }

    /// The name of a new layer, which is an empty directory.
    fn add(&mut self) -> String {
        let name = format!("l{}", self.made);
        let dir = self.dir.path().join(&name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.made += 1;
        name
    }

    /// Makes one layer of all above the lowest `kept`, whose tree has the index `below`.
    fn merge(&mut self, kept: usize, below: &Index) {
        let mut layers = self.trees();
        layers.truncate(self.layers.len() - kept);
        let merged = self.add();
        let to = Tree::open(self.dir.path().join(&merged)).unwrap();
        squash_upon(below, &layers, &to, self.markers, &|| true).unwrap();
        self.layers.truncate(kept);
        self.layers.push(merged);
    }

    /// The options of a mount of all layers.
    fn options(&self) -> String {
        let lower: Vec<&str> = self.layers.iter().rev().map(String::as_str).collect();
        let marks = match self.markers {
            Markers::Trusted => "redirect_dir=on",
            Markers::User => "userxattr",
        };
        format!(
            "lowerdir={},{marks},metacopy=off,index=off,xino=off",
            lower.join(":")
        )
    }

    /// Runs `work` where an overlay with the options is mounted.
    fn mounted<T>(&self, options: String, work: impl FnOnce(&Path) -> T) -> T {
        use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
        let merged = self.dir.path().join("merged");
        let options = std::ffi::CString::new(options).unwrap();
        // the thread has a working directory of its own: names stay short
        std::env::set_current_dir(self.dir.path()).unwrap();
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

    /// What a mount of all layers is.
    fn shown(&self) -> Index {
        self.mounted(self.options(), |merged| {
            Index::scan(&Tree::open(merged).unwrap(), Times::Keep).unwrap()
        })
    }

    /// Adds a layer that `script` fills, in the merged tree, and gives what the mounted tree then is.
    fn run(&mut self, times: Times, script: &str) -> Index {
        let upper = self.add();
        let index = if self.layers.is_empty() {
            let upper = self.dir.path().join(&upper);
            shell(&upper, script);
            Index::scan(&Tree::open(&upper).unwrap(), times).unwrap()
        } else {
            let work = format!("work-{upper}");
            std::fs::create_dir(self.dir.path().join(&work)).unwrap();
            let options = format!("{},upperdir={upper},workdir={work}", self.options());
            self.mounted(options, |merged| {
                shell(merged, script);
                Index::scan(&Tree::open(merged).unwrap(), Times::Keep).unwrap()
            })
        };
        self.layers.push(upper);
        index
    }
}

fn shell(dir: &Path, script: &str) {
    let out = Command::new("sh")
        .args(["-euc", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn assert_same(what: &str, a: &Index, b: &Index) {
    let changes: Vec<_> = a.diff(b).iter().map(ToString::to_string).collect();
    assert!(changes.is_empty(), "{what}: {changes:#?}");
    assert_eq!(a.digest(), b.digest(), "{what}");
    // however its bytes were put together, they are those that would be written, and everything is found in them
    let mut bytes = Vec::new();
    a.write_to(&mut bytes).unwrap();
    assert_eq!(&Index::read_from(&bytes[..]).unwrap(), a, "{what}");
    assert_eq!(a.entries().count(), a.len(), "{what}");
    for entry in a.entries() {
        assert_eq!(a.get(&entry.path), Some(entry), "{what}");
    }
    let with_attributes: Vec<_> = a.entries().filter(|entry| !entry.xattrs.is_empty()).collect();
    assert_eq!(a.entries_with_attributes().collect::<Vec<_>>(), with_attributes);
}

const BASE: &str = r#"
mkdir -p usr/bin usr/lib/x/y usr/share/doc/a etc/d var/empty
echo one > usr/bin/one; echo two > usr/bin/two; ln usr/bin/two usr/bin/zwei; ln usr/bin/two usr/lib/x/duo
ln -s ../lib usr/bin/up; ln -s /nowhere etc/dangling
echo a > usr/share/doc/a/README; echo b > usr/lib/x/y/b; echo conf > etc/conf; echo d > etc/d/file
chmod 4755 usr/bin/one; chmod 1777 var/empty; chown 7:8 etc/conf
setcap cap_net_raw+ep usr/bin/one; setfattr -n user.note -v hello etc/d
mknod usr/lib/null c 1 3; mkfifo usr/lib/pipe; truncate -s 3M usr/lib/sparse
touch -d @1000000000 usr/bin/two etc/conf usr/lib
"#;

#[test]
fn a_merged_layer_is_what_the_mount_shows() {
    with_mounts(|| {
        let mut pile = Pile::new();
        let mut index = pile.run(Times::Keep, BASE);
        for (number, script) in [
            "rm etc/conf; rm -r usr/share/doc; mkdir usr/share/doc; echo new > usr/share/doc/new",
            "mv usr/lib/x usr/lib/z; mv usr/share/doc/new usr/share/; mv usr/lib/z/y etc/y; echo more >> etc/y/b",
            "mkdir usr/lib/x; mv etc/d usr/lib/x/d; mv usr/lib/z usr/lib/x/z",
            "rm -r var/empty; echo file > var/empty; rm usr/share/new; mkdir -p usr/share/new/dir; chmod 700 usr",
            "ln usr/bin/one usr/bin/eins; echo x > usr/lib/x/n; ln usr/lib/x/n m; mv etc .etc; mv usr/bin usr/sbin",
            "mv usr/lib/x/z/duo usr/; chmod 600 usr/duo; mv .etc etc; setcap cap_chown+ep usr/sbin/two; rm m",
            "rm var/empty; mkdir var/empty; mv usr/lib usr/lib64; mv usr/lib64/x usr/lib; chown 1:2 .; rm -r usr/lib/d",
            "setfattr -x user.note etc/y 2>/dev/null || :; setfattr -n trusted.overlay.opaque -v y etc || :",
        ]
        .iter()
        .enumerate()
        {
            let shown = pile.run(Times::Keep, script);
            index = index
                .merge_layer(&pile.layer(number + 1), Times::Keep)
                .unwrap();
            assert_same(script, &index, &shown);
        }
        let flat = pile.dir.path().join("flat");
        std::fs::create_dir(&flat).unwrap();
        let flat = Tree::open(&flat).unwrap();
        squash(&pile.trees(), &flat, Markers::Trusted).unwrap();
        let squashed = Index::empty().merge_layer(&flat, Times::Keep).unwrap();
        assert_same("squashed", &index, &squashed);
    });
}

/// A small stream of numbers, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

/// Changes of which most meet something; many fail, and that is fine.
fn arbitrary_changes(numbers: &mut Numbers, count: usize) -> String {
    let mut script = String::from("set +e\n");
    for step in 0..count {
        // paths of up to three names out of a few
        let mut path = || {
            let depth = 1 + numbers.below(3);
            let names: Vec<_> = (0..depth)
                .map(|_| ["a", "b", "c", "d", "e", "a-", "l"][numbers.below(7)])
                .collect();
            names.join("/")
        };
        let (p, q) = (path(), path());
        let step = match numbers.below(9) {
            0 | 1 => format!("mkdir -p {p}"),
            2 | 3 => format!("mv -T {p} {q}"),
            4 => format!("rm -rf {p}"),
            5 => format!("echo {step} > {p}"),
            6 => format!("ln {p} {q}"),
            7 => format!("chmod {} {p}", ["700", "755", "4711"][numbers.below(3)]),
            _ => format!("ln -s {p} {q}"),
        };
        script.push_str(&step);
        script.push_str(" 2>/dev/null\n");
    }
    script.push_str("true\n");
    script
}

/// Enough that parts of the index are taken over without being looked at.
const ARBITRARY_BASE: &str = "mkdir -p a/b/c d/e f; echo 1 > a/1; echo 2 > a/b/2; ln a/1 d/l
    for dir in a a/b/c d/e; do seq 90 | sed s,^,$dir/n, | xargs touch; done";

#[test]
fn hundreds_of_arbitrary_changes_merge_as_the_kernel_merges_them() {
    with_mounts(|| {
        for seed in 0..6 {
            let mut numbers = Numbers(seed);
            let mut pile = Pile::new();
            let mut index = pile.run(Times::Keep, ARBITRARY_BASE);
            for layer in 1..8 {
                let script = arbitrary_changes(&mut numbers, 40);
                let shown = pile.run(Times::Keep, &script);
                index = index.merge_layer(&pile.layer(layer), Times::Keep).unwrap();
                assert_same(&format!("seed {seed} layer {layer}"), &index, &shown);
            }
            let flat = pile.dir.path().join("flat");
            std::fs::create_dir(&flat).unwrap();
            let flat = Tree::open(&flat).unwrap();
            squash(&pile.trees(), &flat, Markers::Trusted).unwrap();
            let squashed = Index::scan(&flat, Times::Keep).unwrap();
            assert_same(&format!("seed {seed} squashed"), &index, &squashed);
        }
    });
}

/// What `merge_layer` with the pile's marks makes of it.
fn merged_upon(below: &Index, pile: &Pile) -> Index {
    below
        .merge_layer_with(&pile.top(), Times::Keep, pile.markers)
        .unwrap()
}

#[test]
fn the_layers_at_the_top_become_one_and_show_what_they_showed() {
    with_mounts(|| {
        for markers in [Markers::Trusted, Markers::User] {
            let mut pile = Pile::with(markers);
            let mut indexes = vec![pile.run(Times::Keep, BASE)];
            for script in [
                // gone, and gone for a while
                "rm usr/bin/one etc/conf; rm -r usr/share/doc; rm -r var/empty",
                // another kind in its place, and back; what a new directory hides
                "rm -r usr/lib/x; echo file > usr/lib/x; mkdir -p usr/share/doc/new; echo conf > etc/conf",
                "rm usr/lib/x; mkdir usr/lib/x; echo n > usr/lib/x/n; rm -r usr/share/doc; rm etc/conf; mkdir etc/conf",
                // hard links of one layer, of two, and of below
                "echo h > h1; ln h1 h2; ln h1 usr/h3; ln usr/bin/two usr/bin/deux; mkdir opt; truncate -s 2M opt/sparse",
                "rm h2; echo more >> usr/h3; ln h1 h4; chmod 4711 opt; chown 3:4 opt; setfattr -n user.k -v v opt h4",
                // directories below are moved, and what moves them is
                "mv etc/d etc/e; mv usr/share usr/part; mv usr/part opt/share; mkdir usr/share; touch -d @77 opt usr",
                "mv opt/share/doc usr/ 2>/dev/null || :; mv etc etc2; mkdir etc; mv etc2/e etc/d; rm -r usr/lib/x",
                "setfattr -n trusted.overlay.opaque -v y usr || :; setfattr -n user.overlay.x -v y usr || :",
            ] {
                indexes.push(pile.run(Times::Keep, script));
            }
            let index = indexes.last().unwrap().clone();
            // from the top down, as a store does it again and again, and each time on other layers
            for kept in (1..indexes.len()).rev() {
                pile.merge(kept, &indexes[kept - 1]);
                assert_eq!(pile.layers.len(), kept + 1);
                let what = format!("{markers:?}, {kept} layers and the rest in one");
                assert_same(&what, &merged_upon(&indexes[kept - 1], &pile), &index);
                assert_same(&what, &pile.shown(), &index);
            }
            // what comes later lies on it as on anything
            let what = format!("{markers:?}, on the merged one");
            let shown = pile.run(
                Times::Keep,
                "mv usr/bin bin; mv etc/d d; rm -r opt; ln h1 h5; mkdir -p opt/share",
            );
            assert_same(
                &what,
                &index.merge_layer_with(&pile.top(), Times::Keep, markers).unwrap(),
                &shown,
            );
            pile.merge(0, &Index::empty());
            assert_same(&what, &merged_upon(&Index::empty(), &pile), &shown);
        }
    });
}

#[test]
fn hundreds_of_arbitrary_changes_become_one_layer_for_any_tree_below() {
    with_mounts(|| {
        for (seed, markers) in (10..14).flat_map(|seed| [(seed, Markers::Trusted), (seed, Markers::User)]) {
            let mut numbers = Numbers(seed);
            let mut pile = Pile::with(markers);
            // those of the trees of the lowest layers, each number of them
            let mut indexes = vec![pile.run(Times::Keep, ARBITRARY_BASE)];
            for round in 0..14 {
                let below = indexes.last().unwrap();
                pile.run(Times::Keep, &arbitrary_changes(&mut numbers, 25));
                // of a fresh mount: in the one where a symbolic link was copied up and linked these are two inodes still
                let shown = pile.shown();
                let what = format!("seed {seed} {markers:?} round {round}");
                assert_same(&what, &merged_upon(below, &pile), &shown);
                indexes.push(shown);
                if pile.layers.len() < 4 {
                    continue;
                }
                let kept = 1 + numbers.below(pile.layers.len() - 1);
                let index = indexes.pop().unwrap();
                pile.merge(kept, &indexes[kept - 1]);
                indexes.truncate(kept);
                assert_same(&what, &merged_upon(&indexes[kept - 1], &pile), &index);
                assert_same(&what, &pile.shown(), &index);
                indexes.push(index);
            }
        }
    });
}

#[test]
fn only_what_hides_something_gets_a_mark() {
    with_mounts(|| {
        let mut pile = Pile::new();
        let base = pile.run(
            Times::Keep,
            "mkdir -p d/e old new s/t; echo x > d/e/f; echo x > s/t/f; echo x > old/f; echo x > gone",
        );
        pile.run(
            Times::Keep,
            "rm gone; rm -r old; echo x > short; mkdir tmp; touch tmp/x; mv d/e d/g; touch d/g/more",
        );
        pile.run(
            Times::Keep,
            "rm short; rm -r tmp; mkdir old plain; touch old/g plain/h new/i; mv d/g moved; mv s/t s/u",
        );
        pile.merge(1, &base);
        let top = pile.dir.path().join(&pile.layers[1]);
        let list = Command::new("sh")
            .args([
                "-euc",
                "find . -mindepth 1 -printf '%P %y\n' | sort; find . | sort | xargs getfattr -hd -m trusted.overlay. | grep -v '^$'",
            ])
            .current_dir(&top)
            .output()
            .unwrap();
        assert!(list.status.success());
        assert_eq!(
            String::from_utf8(list.stdout).unwrap(),
            "d d\nd/e c\ngone c\nmoved d\nmoved/more f\nnew d\nnew/i f\nold d\nold/g f\nplain d\nplain/h f\ns d\ns/t c\ns/u d\n\
             # file: moved\ntrusted.overlay.redirect=\"/d/e\"\n# file: old\ntrusted.overlay.opaque=\"y\"\n\
             # file: s/u\ntrusted.overlay.redirect=\"t\"\n"
        );
    });
}

/// One build at the second `now`, over a base of an older one when there is one.
fn build(now: i64, times: impl Fn(i64) -> Times) -> (TreeDigest, TreeDigest) {
    let mut pile = Pile::new();
    pile.run(
        Times::Keep,
        &format!("mkdir a b; echo x > a/x; echo old > a/old; touch -d @{now}.5 a/x a b .; touch -d @5 a/old"),
    );
    let base = Index::empty().merge_layer(&pile.layer(0), times(now)).unwrap();
    let later = now + 1000;
    pile.run(
        Times::Keep,
        &format!("chmod 600 a/x; mv a/x b/x; chmod 700 a/old; echo y > a/y; touch -d @{later} a/y a b ."),
    );
    let index = base.merge_layer(&pile.layer(1), times(later)).unwrap();
    (base.digest(), index.digest())
}

#[test]
fn builds_at_different_times_have_one_digest() {
    with_mounts(|| {
        let now = 4_000_000_000;
        let zero = |since| Times::Zero { since };
        let clamp = |since| Times::Clamp { since, epoch: 77 };
        assert_eq!(build(now, zero), build(now + 5, zero));
        assert_eq!(build(now, clamp), build(now + 5, clamp));
        // the base of yesterday, the rest of today: what was moved up from the base still has yesterday's time
        assert_eq!(
            build(now, zero),
            build(now, |since| Times::Zero {
                since: since.min(now)
            })
        );
    });
}

#[test]
fn clamped_times_are_on_disk_and_older_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    shell(
        dir.path(),
        "mkdir d; echo x > d/new; ln -s x d/link; echo y > old; touch -d @5.25 old",
    );
    let tree = Tree::open(dir.path()).unwrap();
    let index = Index::scan(
        &tree,
        Times::Clamp {
            since: 1_000_000,
            epoch: 99,
        },
    )
    .unwrap();
    for path in ["", "d", "d/new", "d/link"] {
        assert_eq!(tree.stat(path).unwrap().unwrap().mtime, (99, 0), "{path}");
        assert_eq!(index.get(path).unwrap().mtime, (99, 0), "{path}");
    }
    assert_eq!(index.get("old").unwrap().mtime, (5, 250_000_000));
}

#[test]
fn zeroed_times_are_kept_in_the_index_and_absent_from_the_digest() {
    let dir = tempfile::tempdir().unwrap();
    shell(dir.path(), "echo x > f; touch -d @3000000000 f .");
    let tree = Tree::open(dir.path()).unwrap();
    let scan = || Index::scan(&tree, Times::Zero { since: 2_999_999_999 }).unwrap();
    let first = scan();
    assert_eq!(first.get("f").unwrap().mtime, (3_000_000_000, 0));
    tree.set_mtime("f", 3_000_000_500, 1).unwrap();
    assert_eq!(scan().digest(), first.digest());
    tree.set_mtime("f", 5, 0).unwrap();
    assert_ne!(scan().digest(), first.digest());
}

#[test]
fn an_index_reads_back_and_damage_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    shell(
        dir.path(),
        "mkdir d; echo x > d/f; ln d/f g; ln -s t l; setfattr -n user.k -v v d/f; touch -d @-5 g; mkfifo p",
    );
    let tree = Tree::open(dir.path()).unwrap();
    let index = Index::scan(&tree, Times::Zero { since: 0 }).unwrap();
    let mut bytes = Vec::new();
    index.write_to(&mut bytes).unwrap();
    assert_eq!(Index::read_from(bytes.as_slice()).unwrap(), index);
    for length in 0..bytes.len() {
        assert!(Index::read_from(&bytes[..length]).is_err(), "{length}");
    }
    assert_eq!(index.get("d/f").unwrap().hard_link, Some(0));
    assert_eq!(index.total_size(), 2);
    let text = index.digest().to_string();
    assert_eq!(text.parse::<TreeDigest>().unwrap(), index.digest());
}

#[test]
fn what_is_written_and_its_digest_stay_as_they_are() {
    // stores are full of both
    let entry = |path: &[u8], flags: u8, rest: &[u8]| {
        let shared = [0, path.len() as u8];
        [&shared[..], path, &[flags, 0xed, 3, 7, 8], rest].concat()
    };
    let file = [&[10, 1, 5][..], &[0xab; 32], &[1, 6], b"user.k", &[1], b"v", &[0]].concat();
    let bytes = [
        &b"osbuild index 2\n\x05"[..],
        &entry(b"", 1, &[9, 0]),
        &entry(b"d", 1 | 8, &[0x80, 0xa8, 0xd6, 0xb9, 7, 5]),
        &entry(b"f", 16 | 32, &file),
        &entry(b"l", 2, &[0, 0, 2, b'.', b'.']),
        &entry(b"null", 3, &[0, 0, 1, 3]),
    ]
    .concat();
    let index = Index::read_from(&bytes[..]).unwrap();
    let mut again = Vec::new();
    index.write_to(&mut again).unwrap();
    assert_eq!(again, bytes);
    let entry = index.get("f").unwrap();
    assert_eq!((entry.mtime, entry.size, entry.hard_link), ((5, 1), 5, Some(0)));
    assert_eq!((entry.mode, entry.uid, entry.gid), (0o755, 7, 8));
    assert_eq!(entry.xattrs, [(b"user.k".to_vec(), b"v".to_vec())]);
    assert_eq!(index.get("").unwrap().mtime, (-5, 0));
    assert_eq!(index.get("d").unwrap().mtime, (1_000_000_000, 5));
    assert_eq!(index.get("null").unwrap().rdev, (1, 3));
    // the time of `d` counts as 0
    let counted = [&bytes[..34], &[0, 0], &bytes[40..]].concat();
    assert_eq!(index.digest().0[..], sha2::Sha256::digest(counted)[..]);
}

#[test]
fn an_index_in_another_writing_is_no_index() {
    let magic = b"osbuild index 2\n";
    let read = |rest: &[u8]| Index::read_from(&[magic, rest].concat()[..]);
    let pipe = [5, 0, 0, 0, 0, 0];
    let one = |path: &[u8]| [path, &pipe].concat();
    assert!(read(&[&[1][..], &one(b"\0\x01a")].concat()).is_ok());
    assert!(read(&[&[2][..], &one(b"\0\x01a"), &one(b"\0\x01b")].concat()).is_ok());
    let bad: [(&str, Vec<u8>); 4] = [
        (
            "a number with a needless byte",
            [&[1][..], &one(b"\0\x81\0a")].concat(),
        ),
        (
            "a number beyond 64 bits",
            [&[1, 0, 1, b'a', 5, 0, 0, 0][..], &[0x80; 9], &[2, 0]].concat(),
        ),
        (
            "a flag that is none",
            [1, 0, 1, b'a', 5 | 64, 0, 0, 0, 0, 0].to_vec(),
        ),
        (
            "two of one name",
            [&[2][..], &one(b"\0\x01a"), &one(b"\x01\0")].concat(),
        ),
    ];
    for (what, bytes) in bad {
        assert!(read(&bytes).is_err(), "{what}");
    }
}

#[test]
fn owners_and_paths_that_nothing_can_hold_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let long = ["x".repeat(255), "y".repeat(200)].join("/");
    let mut at = tree.subtree("").unwrap();
    for _ in 0..9 {
        at.mkdir_all(&long).unwrap();
        at = at.subtree(&long).unwrap();
    }
    let error = Index::scan(&tree, Times::Keep).unwrap_err().to_string();
    assert!(error.contains("is too long"), "{error}");
    crate::remove_tree(tree.fd(), "x".repeat(255).as_ref()).unwrap();
    if rustix::process::geteuid().is_root() {
        tree.write("file", "").unwrap();
        tree.chown("file", Some(65536), None).unwrap();
        let error = Index::scan(&tree, Times::Keep).unwrap_err().to_string();
        assert!(error.starts_with("/file: belongs to 65536"), "{error}");
    }
}

#[test]
fn paths_sort_a_directory_directly_before_what_it_holds() {
    let mut paths = ["a-", "a", "a/b", "", "a/b/c", "a.b", "a/-"];
    paths.sort_by(|a, b| order(a.as_bytes(), b.as_bytes()));
    assert_eq!(paths, ["", "a", "a/-", "a/b", "a/b/c", "a-", "a.b"]);
}

#[test]
fn a_copy_has_the_digest_of_its_source() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: owners, devices and capabilities need root");
        return;
    }
    let dir = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
    shell(dir.path(), "mkdir from to");
    shell(&dir.path().join("from"), BASE);
    let tree = |name| Tree::open(dir.path().join(name)).unwrap();
    copy_tree(&tree("from"), &tree("to"), &Options::default()).unwrap();
    let scan = |name| Index::scan(&tree(name), Times::Keep).unwrap();
    assert_same("copy", &scan("from"), &scan("to"));
}

#[test]
fn a_first_layer_with_a_whiteout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    shell(
        dir.path(),
        "mkdir d; mknod d/gone c 0 0 2>/dev/null || echo skipped",
    );
    let tree = Tree::open(dir.path()).unwrap();
    if tree.exists("d/gone") {
        let error = Index::empty()
            .merge_layer(&tree, Times::Keep)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("/d/gone: is the device 0:0"), "{error}");
    }
}
