//! Templates' commands on small trees.

use super::*;

fn run(tree: &Tree, root: &Path, line: &str) -> Result<()> {
    Script::new(tree, root).run(&super::super::line::words(line)?)
}

fn tree() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    (dir, tree)
}

#[test]
fn files_are_made_moved_and_removed() {
    let (_dir, tree) = tree();
    let (build, root) = self::tree();
    root.mkdir_all("usr/share").unwrap();
    root.write("usr/share/a.conf", "A").unwrap();
    root.chmod("usr/share/a.conf", 0o755).unwrap();
    for line in [
        "mkdir /etc /usr/{lib,bin}",
        r#"append etc/profile "x=\"1\"\ny""#,
        "install /usr/share/*.conf etc",
        "move etc/a.conf usr/lib",
        "symlink ../lib/a.conf usr/bin/a",
        "symlink /new usr/bin/a",
        "-move none other",
        "remove usr/lib/*.no /var/lib/rpm/x",
    ] {
        run(&tree, build.path(), line).unwrap();
    }
    assert_eq!(tree.read_text("etc/profile").unwrap(), "x=\"1\"\ny\n");
    assert_eq!(tree.stat("usr/lib/a.conf").unwrap().unwrap().mode, 0o755);
    assert_eq!(tree.read_link("usr/bin/a").unwrap(), Path::new("/new"));
    run(&tree, build.path(), "remove usr/lib/*.conf").unwrap();
    assert!(!tree.exists("usr/lib/a.conf"));
    for line in [
        "move none other",
        "frobnicate",
        "-frobnicate",
        "append x",
        "install /none etc",
    ] {
        assert!(run(&tree, build.path(), line).is_err(), "{line}");
    }
}

#[test]
fn kernel_modules_go_but_for_some() {
    let (dir, tree) = tree();
    let base = "lib/modules/6/kernel/drivers/char";
    tree.mkdir_all(format!("{base}/hw_random")).unwrap();
    for name in ["x.ko", "virtio_console.ko", "hw_random/y.ko"] {
        tree.write(format!("{base}/{name}"), "").unwrap();
    }
    run(
        &tree,
        dir.path(),
        "removekmod drivers/char --allbut virtio_console hw_random",
    )
    .unwrap();
    assert!(!tree.exists(format!("{base}/x.ko")));
    assert!(
        tree.exists(format!("{base}/virtio_console.ko")) && tree.exists(format!("{base}/hw_random/y.ko"))
    );
    assert!(run(&tree, dir.path(), "removekmod --allbut x").is_err());
}

#[test]
fn regular_expressions_are_pythons() {
    let (dir, tree) = tree();
    tree.write("f", "a1\nb2\na3\n").unwrap();
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: needs python3");
        return;
    }
    run(&tree, dir.path(), r"replace '^a(\d)' 'x\1' f").unwrap();
    assert_eq!(tree.read_text("f").unwrap(), "x1\nb2\nx3\n");
    assert!(run(&tree, dir.path(), "replace a b none").is_err());
}

#[test]
fn no_link_leads_out() {
    let (dir, tree) = tree();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("f"), "1").unwrap();
    tree.symlink(outside.path(), "etc").unwrap();
    run(&tree, dir.path(), "-append etc/f x").unwrap();
    run(&tree, dir.path(), "remove etc/*").unwrap();
    assert_eq!(std::fs::read_to_string(outside.path().join("f")).unwrap(), "1");
}
