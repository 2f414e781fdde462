use std::process::Command;

use super::*;

#[test]
fn patterns_are_the_shells_and_stars_match_slashes() {
    for (pattern, name, fits) in [
        ("*", "a/b", true),
        ("a*", "a/b.c", true),
        ("*.c", "a/b.c", true),
        ("a", "a/", false),
        ("?", "ab", false),
        ("[a-c]x", "bx", true),
        ("[!a-c]x", "bx", false),
        ("[]]", "]", true),
        ("[a", "[a", true),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("[a]", "", false),
    ] {
        assert_eq!(
            matches(pattern.as_bytes(), name.as_bytes()),
            fits,
            "{pattern} {name}"
        );
    }
}

/// Oracle: unzip, where it is there.
#[test]
fn unzip_restores_what_links_lead_to() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("d/e").unwrap();
    tree.write("d/small", "text ".repeat(100)).unwrap();
    tree.chmod("d/small", 0o640).unwrap();
    let large: Vec<u8> = (0..3_000_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    tree.write("large", &large).unwrap();
    tree.write("ä", "").unwrap();
    for (link, target) in [
        ("to-file", "/d/small"),
        ("to-dir", "d"),
        ("loop", "/"),
        ("d/up", ".."),
        ("gone", "x"),
    ] {
        tree.symlink(target, link).unwrap();
    }
    for level in [0, 6] {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("x.zip");
        let options = Options {
            level,
            include: Vec::new(),
            latest: Some(1_000_000_000),
        };
        let count = write(&tree, &File::create(&path).unwrap(), &options).unwrap();
        assert_eq!(count, 9);
        let Ok(output) = Command::new("unzip")
            .arg("-q")
            .arg(&path)
            .current_dir(out.path())
            .output()
        else {
            println!("skipped: there is no unzip");
            return;
        };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let read = |name: &str| std::fs::read(out.path().join(name)).unwrap();
        assert!(read("large") == large && read("to-dir/small") == read("d/small"));
        assert_eq!(read("to-file").len(), 500);
        assert!(out.path().join("d/e").is_dir() && out.path().join("ä").is_file());
        use std::os::unix::fs::MetadataExt;
        let stat = std::fs::metadata(out.path().join("d/small")).unwrap();
        assert_eq!((stat.mode() & 0o777, stat.mtime()), (0o640, 1_000_000_000));
        let again = out.path().join("again.zip");
        write(&tree, &File::create(&again).unwrap(), &options).unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap());
    }
}
