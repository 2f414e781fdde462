use std::os::unix::fs::FileExt;
use std::process::Command;

use rustix::fs::XattrFlags;

use super::*;

fn tree() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    (dir, tree)
}

/// A header as an attacker writes it: kind, name, target of a link, size as it stands, pax records before it.
struct Hostile<'a>(u8, &'a str, &'a str, &'a [u8]);

fn block(Hostile(kind, name, link, size): &Hostile<'_>) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    for (at, text) in [
        (100, "0000644"),
        (108, "0000000"),
        (116, "0000000"),
        (136, "00000000000"),
    ] {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    block[124..124 + size.len()].copy_from_slice(size);
    block[156] = *kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn archive(members: &[Hostile<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = members.iter().flat_map(block).collect();
    bytes.extend([0; 1024]);
    bytes
}

/// A pax header and the member it is for.
fn with_records(records: &str, member: &Hostile<'_>, content: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}", records.len());
    let mut bytes = block(&Hostile(b'x', "x", "", size.as_bytes()));
    bytes.extend_from_slice(records.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(block(member));
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

/// A file of the archive.
fn file(name: &str, content: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}", content.len());
    let mut bytes = block(&Hostile(b'0', name, "", size.as_bytes()));
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn error(tree: &Tree, bytes: &[u8]) -> String {
    unpack(tree, bytes).unwrap_err().to_string()
}

const EMPTY: &[u8] = b"00000000000";

#[test]
fn nobodys_number_is_no_owner() {
    let (_dir, tree) = tree();
    let file = Hostile(b'0', "f", "", EMPTY);
    for key in ["uid", "gid"] {
        let record = format!("18 {key}=4294967295\n");
        assert_eq!(record.len(), 18);
        let error = error(&tree, &with_records(&record, &file, b""));
        assert!(
            error.contains(&format!("the {key} of f is out of range")),
            "{error}"
        );
    }
}

#[test]
fn no_member_leads_out_of_the_tree() {
    let (outside, _) = tree();
    std::fs::write(outside.path().join("secret"), "kept").unwrap();
    let there = outside.path().to_str().unwrap();
    let (dir, tree) = tree();

    for name in ["../x", "a/../../x", "a/.."] {
        let message = error(&tree, &archive(&[Hostile(b'0', name, "", EMPTY)]));
        assert!(message.contains("leads out of the tree"), "{message}");
    }
    // a record says otherwise than the header
    let bytes = with_records("16 path=../evil\n", &Hostile(b'0', "good", "", EMPTY), b"");
    assert!(error(&tree, &bytes).contains("leads out of the tree"));
    // a link first, then a file through it: it ends in the tree
    let secret = format!("{there}/secret");
    unpack(
        &tree,
        &archive(&[
            Hostile(b'2', "door", there, EMPTY),
            Hostile(b'2', "file", &secret, EMPTY),
            Hostile(b'2', "up", "../../../../../..", EMPTY),
            Hostile(b'0', "file", "", EMPTY),
            Hostile(b'0', "up/there", "", EMPTY),
            Hostile(b'0', "/absolute", "", EMPTY),
        ])[..],
    )
    .unwrap();
    assert_eq!(
        std::fs::read_to_string(outside.path().join("secret")).unwrap(),
        "kept"
    );
    assert!(dir.path().join("there").is_file() && dir.path().join("absolute").is_file());
    assert!(!dir.path().join("file").is_symlink());
    assert!(error(&tree, &archive(&[Hostile(b'0', "door/secret", "", EMPTY)])).contains("door"));
    // hard links to what is outside, directly and through a link
    for target in [secret.as_str(), "door/secret", "../secret"] {
        let message = error(&tree, &archive(&[Hostile(b'1', "hard", target, EMPTY)]));
        assert!(
            message.contains("not there") || message.contains("leads out"),
            "{message}"
        );
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn sizes_beyond_the_archive_are_refused() {
    let (_dir, tree) = tree();
    for size in [
        &b"77777777777"[..],
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        &[0xff; 12],
        b"00000000x00",
    ] {
        for kind in [b'0', b'x', b'L', b'5'] {
            let message = error(&tree, &archive(&[Hostile(kind, "a", "", size)]));
            assert!(message.contains("archive"), "{message}");
        }
    }
    let bytes = with_records(
        "28 size=9223372036854775808\n",
        &Hostile(b'0', "a", "", EMPTY),
        b"",
    );
    assert!(error(&tree, &bytes).contains("archive"));
    // a sparse file whose map points behind its end, and one without end
    for map in [
        "1\n18446744073709551615\n2\n",
        "1\n0\n9\n",
        "99999999\n",
        "1\n0\n-1\n",
    ] {
        let records = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.realsize=8\n";
        let mut content = map.as_bytes().to_vec();
        content.resize(512, 0);
        let bytes = with_records(records, &Hostile(b'0', "a", "", b"00000001000"), &content);
        let message = error(&tree, &bytes);
        assert!(message.contains("archive"), "{message}");
    }
    let whole = archive(&[Hostile(b'0', "a", "", b"00000001000")]);
    assert!(
        error(&tree, &whole[..700]).contains("archive ends"),
        "a short archive"
    );
}

#[test]
fn what_is_in_the_way_is_replaced_except_full_directories() {
    let (dir, tree) = tree();
    tree.mkdir_all("full/of").unwrap();
    tree.mkdir_all("empty").unwrap();
    tree.symlink("full", "link").unwrap();
    tree.write("file", "old").unwrap();
    unpack(
        &tree,
        &archive(&[
            Hostile(b'0', "empty", "", EMPTY),
            Hostile(b'5', "link/", "", EMPTY),
            Hostile(b'5', "full/", "", EMPTY),
            Hostile(b'2', "file", "x", EMPTY),
            Hostile(b'0', "file", "", EMPTY),
            Hostile(b'1', "file", "./file", EMPTY),
        ])[..],
    )
    .unwrap();
    assert!(dir.path().join("empty").is_file() && dir.path().join("full/of").is_dir());
    assert!(!dir.path().join("link").is_symlink() && dir.path().join("file").is_file());
    let message = error(&tree, &archive(&[Hostile(b'0', "full", "", EMPTY)]));
    assert!(message.contains("directory"), "{message}");
    assert!(error(&tree, &[b'x'; 2048]).contains("not a tar archive"));
    assert!(error(&tree, &archive(&[Hostile(b'Q', "a", "", EMPTY)])).contains('Q'));
}

/// Content is written while the archive is read on: it goes to the file that it came with, whatever follows.
#[test]
fn files_of_all_sizes_keep_their_content() {
    let content = |seed: usize, length: usize| -> Vec<u8> {
        (0..length).map(|at| ((at * 31 + seed) >> 3) as u8).collect()
    };
    let sizes = [
        0, 1, 511, 512, 262_143, 262_144, 262_145, 1_500_000, 4096, 0, 70_000,
    ];
    let members: Vec<_> = (0..400)
        .map(|n| (format!("d{}/f{n}", n / 30), content(n, sizes[n % sizes.len()])))
        .collect();
    let mut bytes = Vec::new();
    for (number, (name, content)) in members.iter().enumerate() {
        if number % 3 == 0 {
            // an earlier file of that name, which lives on under another
            bytes.extend(file(name, b"the first"));
            bytes.extend(block(&Hostile(b'1', &format!("h{number}"), name, EMPTY)));
        }
        bytes.extend(file(name, content));
    }
    bytes.extend([0; 1024]);
    let (_dir, tree) = tree();
    unpack(&tree, &bytes[..]).unwrap();
    for (number, (name, content)) in members.iter().enumerate() {
        assert!(&tree.read(name).unwrap() == content, "{name}");
        let stat = tree.stat(name).unwrap().unwrap();
        assert_eq!((stat.mode, stat.mtime.0), (0o644, 0), "{name}");
        if number % 3 == 0 {
            assert_eq!(tree.read_text(format!("h{number}")).unwrap(), "the first");
        }
    }
}

#[test]
fn a_path_that_leads_elsewhere_is_followed_anew() {
    let (dir, tree) = tree();
    let bytes = archive(&[
        Hostile(b'5', "one/b/", "", EMPTY),
        Hostile(b'5', "two/b/", "", EMPTY),
        Hostile(b'2', "a", "one", EMPTY),
        Hostile(b'0', "a/b/x", "", EMPTY),
        Hostile(b'0', "a/b/y", "", EMPTY),
        Hostile(b'2', "a", "two", EMPTY),
        Hostile(b'0', "a/b/z", "", EMPTY),
        Hostile(b'0', "a/b/y", "", EMPTY),
    ]);
    unpack(&tree, &bytes[..]).unwrap();
    let names = |path| std::fs::read_dir(dir.path().join(path)).unwrap().count();
    assert_eq!((names("one/b"), names("two/b")), (2, 2));
    // and by somebody else's hand
    let mut unpacker = Unpacker::new(&tree);
    for (number, name) in ["a/b/1", "a/b/2"].into_iter().enumerate() {
        if number == 1 {
            tree.remove_file("a").unwrap();
            tree.symlink("one", "a").unwrap();
            unpacker.tree_changed();
        }
        let bytes = file(name, b"x");
        let mut reader = Reader::new(&bytes[..]);
        let entry = reader.entry().unwrap().unwrap();
        unpacker.unpack(Path::new(name), &entry, &mut reader).unwrap();
    }
    unpacker.finish().unwrap();
    assert!(tree.is_file("two/b/1") && tree.is_file("one/b/2"));
}

#[test]
fn the_first_file_that_cannot_be_written_is_told() {
    let (_dir, tree) = tree();
    let label = |name: &str| {
        let record = "28 SCHILY.xattr.userx=value\n";
        assert_eq!(record.len(), 28);
        with_records(record, &Hostile(b'0', name, "", EMPTY), b"")
    };
    let mut bytes = Vec::new();
    for number in 0..100 {
        bytes.extend(file(&format!("good{number}"), b"x"));
    }
    // attributes without a name space are none
    for name in ["bad", "worse"] {
        let member = label(name);
        bytes.extend(&member[..member.len() - 1024]);
    }
    let text = error(&tree, &bytes);
    assert!(text.contains("/bad: cannot set the attribute userx"), "{text}");
}

#[test]
fn the_flags_of_a_tree_do_not_come_from_an_archive() {
    let (_dir, tree) = tree();
    let record = "38 SCHILY.xattr.user.osbuild.flags=ia\n";
    assert_eq!(record.len(), 38);
    let member = Hostile(b'0', "f", "", EMPTY);
    if let Err(error) = unpack(&tree, &with_records(record, &member, b"")[..]) {
        panic!("{error}");
    }
    let file = tree.open_file("f").unwrap();
    let found = fs::fgetxattr(&file, "user.osbuild.flags", &mut [0; 8][..]);
    assert_eq!(found, Err(rustix::io::Errno::NODATA));
}

/// Oracle: GNU tar packs, in all its formats, and this unpacks.
#[test]
fn what_gnu_tar_packs_is_restored() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: not root");
        return;
    }
    let (from, source) = tree();
    source.mkdir("sticky", 0o1777).unwrap();
    source.write("sticky/setuid", "x").unwrap();
    source.chown("sticky/setuid", Some(12), Some(34)).unwrap();
    source.chmod("sticky/setuid", 0o4755).unwrap();
    source.set_mtime("sticky/setuid", 1_000_000, 0).unwrap();
    source.hard_link("sticky/setuid", "z").unwrap();
    source.symlink("../sticky", "link").unwrap();
    let long = "d/".repeat(60) + &"n".repeat(90);
    source.mkdir_all(long.rsplit_once('/').unwrap().0).unwrap();
    source.write(&long, "deep").unwrap();
    let sparse = source.create_file("sparse").unwrap();
    sparse.set_len(20 << 20).unwrap();
    for at in [0, 3 << 20, 5 << 20, 7 << 20, 9 << 20, 11 << 20] {
        sparse.write_all_at(b"data", at).unwrap();
    }
    source.set_mtime("sticky", 7, 0).unwrap();
    let list = |dir: &Path| {
        let script = "find . -printf '%P %y %m %U %G %n %l %s\\n' | sed 's/^\\(\\S* d .*\\) [0-9]*$/\\1/' | sort; stat -c '%n %Y' sticky sticky/*; \
                      find . -type f -print0 | sort -z | xargs -0 sha256sum";
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for arguments in [
        &["--format=gnu", "-S"][..],
        &["--format=oldgnu"],
        &["--format=posix", "-S"],
        &["--format=posix", "-S", "--sparse-version=0.0"],
        &["--format=posix", "-S", "--sparse-version=0.1"],
        &["--format=ustar"],
    ] {
        let output = Command::new("tar")
            .args(arguments)
            .args(["-cC", from.path().to_str().unwrap(), "."])
            .output()
            .unwrap();
        assert!(output.status.success());
        let (to, target) = tree();
        unpack(&target, &output.stdout[..]).unwrap();
        assert_eq!(list(from.path()), list(to.path()), "{arguments:?}");
        if arguments.contains(&"-S") {
            let blocks = target.stat("sparse").unwrap().unwrap().blocks;
            assert!(blocks < 200, "{blocks} blocks of a sparse file: {arguments:?}");
        }
    }
}

#[test]
fn attributes_of_any_bytes_are_restored() {
    let (_dir, source) = tree();
    source.write("f", "x").unwrap();
    let value = b"a line\nand = another\0";
    let file = source.open_file("f").unwrap();
    if fs::fsetxattr(&file, "user.note", value, XattrFlags::empty()).is_err() {
        println!("skipped: no attributes here");
        return;
    }
    let mut bytes = Vec::new();
    let mut archive = crate::tar::Archive::new(&mut bytes, crate::tar::Options::default());
    archive.append_tree(&source, ".").unwrap();
    archive.finish().unwrap();
    let (_dir, target) = tree();
    unpack(&target, &bytes[..]).unwrap();
    let mut found = [0; 64];
    let length = fs::fgetxattr(target.open_file("f").unwrap(), "user.note", &mut found[..]).unwrap();
    assert_eq!(&found[..length], value);
}
