use std::path::Path;
use std::process::Command;

use super::*;

fn sample() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("d/e").unwrap();
    tree.write("d/b", "two").unwrap();
    tree.chmod("d/b", 0o600).unwrap();
    tree.hard_link("d/b", "d/c").unwrap();
    tree.symlink("d", "link").unwrap();
    tree.write("a", vec![7; 100_001]).unwrap();
    (dir, tree)
}

fn options(format: Format) -> Options {
    Options {
        format,
        root: true,
        renumber: true,
        owner: (None, None),
        latest: Some(1_000_000_000),
    }
}

/// Oracle: GNU cpio, where it is there.
#[test]
fn cpio_restores_every_format_and_what_was_appended() {
    let (dir, tree) = sample();
    let more = tempfile::tempdir().unwrap();
    std::fs::write(more.path().join("later"), "appended").unwrap();
    let more = Tree::open(more.path()).unwrap();
    for (format, name) in [
        (Format::Bin, "bin"),
        (Format::Odc, "odc"),
        (Format::Newc, "newc"),
        (Format::Crc, "crc"),
        (Format::Tar, "tar"),
        (Format::Ustar, "ustar"),
    ] {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("archive");
        let mut file = File::options();
        let file = file.read(true).write(true).create(true).truncate(false);
        write(&tree, &file.open(&path).unwrap(), false, options(format)).unwrap();
        let once = std::fs::read(&path).unwrap();
        assert_eq!(once.len() % 512, 0);
        write(&tree, &file.open(&path).unwrap(), false, options(format)).unwrap();
        assert!(once == std::fs::read(&path).unwrap(), "{name}");
        write(&more, &file.open(&path).unwrap(), true, options(format)).unwrap();
        let archive = File::open(&path).unwrap();
        let Ok(output) = Command::new("cpio")
            .args([
                "-idmu",
                "--quiet",
                &format!("--format={name}"),
                "--no-absolute-filenames",
            ])
            .stdin(archive)
            .current_dir(out.path())
            .output()
        else {
            println!("skipped: there is no cpio");
            return;
        };
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::remove_file(&path).unwrap();
        let read = |name: &str| std::fs::read(out.path().join(name)).unwrap();
        assert!(
            read("a") == vec![7; 100_001] && read("d/c") == b"two" && read("later") == b"appended",
            "{name}"
        );
        assert_eq!(
            std::fs::read_link(out.path().join("link")).unwrap(),
            Path::new("d")
        );
        use std::os::unix::fs::MetadataExt;
        let stat = |name: &str| std::fs::metadata(out.path().join(name)).unwrap();
        assert_eq!(
            (stat("d/b").mode() & 0o777, stat("d/b").mtime()),
            (0o600, 1_000_000_000),
            "{name}"
        );
        assert_eq!(stat("d/b").ino(), stat("d/c").ino(), "{name}");
        assert!(stat("d/e").is_dir());
    }
    drop(dir);
}

#[test]
fn a_directory_comes_before_what_it_holds_and_the_root_can_be_left_out() {
    let (_dir, tree) = sample();
    let file = tempfile::tempfile().unwrap();
    let options = Options {
        root: false,
        owner: (Some(5), None),
        ..options(Format::Newc)
    };
    write(&tree, &file, false, options).unwrap();
    let mut file = file;
    file.rewind().unwrap();
    let mut names = Vec::new();
    loop {
        let (fields, name, _) = Layout::Newc.decode(&mut file).unwrap();
        if name == TRAILER {
            break;
        }
        names.push(String::from_utf8(name).unwrap());
        let content = fields.size.next_multiple_of(4);
        file.seek(SeekFrom::Current(content as i64)).unwrap();
    }
    assert_eq!(names, ["a", "d", "d/b", "d/c", "d/e", "link"]);
}

#[test]
fn appending_to_something_else_is_refused() {
    let (_dir, tree) = sample();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'x'; 4096]).unwrap();
    for format in [Format::Newc, Format::Odc, Format::Bin, Format::Ustar] {
        let error = write(&tree, &file, true, options(format)).unwrap_err();
        assert!(error.to_string().contains("no archive of this format"), "{error}");
    }
    assert_eq!(file.metadata().unwrap().len(), 4096);
}
