use super::*;
use serde_json::{Value, json};

fn tree() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("etc/skel").unwrap();
    tree.write("etc/login.defs", "USERGROUPS_ENAB\tyes\n").unwrap();
    tree.write("etc/skel/.profile", "# p\n").unwrap();
    tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        .unwrap();
    tree.write("etc/shadow", "root:*:19000:0:99999:7:::\n").unwrap();
    tree.write("etc/group", "root:x:0:\nsudo:x:27:\n").unwrap();
    (dir, tree)
}

fn set(tree: &Tree, users: Value) -> Result<()> {
    let meta = json!({"source-epoch": 86400 * 100});
    (MODULE.run)(json!({"tree": tree.path(), "options": {"users": users}, "meta": meta}))
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can give files away");
    }
    root
}

#[test]
fn a_user_of_a_blueprint_can_log_in() {
    if !is_root() {
        return;
    }
    let (_dir, tree) = tree();
    let user =
        json!({"groups": ["sudo"], "password": "$6$salt$hash", "key": "ssh-ed25519 LAST", "keys": ["FIRST"]});
    set(&tree, json!({"ada": user, "bob": {}})).unwrap();
    let has = |file: &str, line: &str| {
        let text = tree.read_text(file).unwrap();
        assert!(text.lines().any(|l| l == line), "{file}: {text}");
    };
    has("etc/passwd", "ada:x:1000:1000::/home/ada:/bin/bash");
    has("etc/passwd", "bob:x:1001:1001::/home/bob:/bin/bash");
    has("etc/shadow", "ada:$6$salt$hash:100::::::");
    has("etc/group", "sudo:x:27:ada");
    let stat = |path: &str| {
        let stat = tree.stat(path).unwrap().unwrap();
        (stat.mode, stat.uid, stat.gid)
    };
    assert_eq!(stat("home/ada/.profile"), (0o644, 1000, 1000));
    assert_eq!(stat("home/ada/.ssh"), (0o700, 1000, 1000));
    assert_eq!(stat("home/ada/.ssh/authorized_keys"), (0o600, 1000, 1000));
    assert_eq!(
        tree.read_text("home/ada/.ssh/authorized_keys").unwrap(),
        "FIRST\nssh-ed25519 LAST\n"
    );
    // Debian's login.defs does not speak of CREATE_HOME: a user has a home all the same
    assert!(tree.is_dir("home/bob"));
}

#[test]
fn keys_are_added_to_those_that_are_there() {
    if !is_root() {
        return;
    }
    let (_dir, tree) = tree();
    tree.mkdir_all("root/.ssh").unwrap();
    tree.write("root/.ssh/authorized_keys", "old").unwrap();
    set(&tree, json!({"root": {"key": "new"}})).unwrap();
    assert_eq!(tree.read_text("root/.ssh/authorized_keys").unwrap(), "old\nnew\n");
    assert_eq!(
        tree.stat("root/.ssh/authorized_keys").unwrap().unwrap().mode,
        0o600
    );
    assert!(
        !tree.exists("etc/.pwd.lock"),
        "nothing of the database was to be changed"
    );
}

#[test]
fn nothing_outside_is_touched() {
    if !is_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("passwd");
    std::fs::write(&victim, "root:x:0:0::/:/bin/sh\n").unwrap();
    let (_dir, tree) = tree();
    tree.remove_all("etc").unwrap();
    tree.symlink(outside.path(), "etc").unwrap();
    assert!(set(&tree, json!({"eve": {}})).is_err());
    tree.symlink(outside.path(), "home").unwrap();
    tree.remove_file("etc").unwrap();
    tree.mkdir_all("etc").unwrap();
    assert!(set(&tree, json!({"eve": {"home": "/home/eve", "key": "k"}})).is_err());
    assert_eq!(
        std::fs::read_to_string(&victim).unwrap(),
        "root:x:0:0::/:/bin/sh\n"
    );
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn another_id_than_the_one_there_is_refused() {
    let (_dir, tree) = tree();
    let error = set(&tree, json!({"root": {"uid": 5}})).unwrap_err().to_string();
    assert_eq!(
        error,
        "user `root` is there with the id 0, not 5: leave `uid` out"
    );
}
