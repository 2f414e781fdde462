use super::*;
use serde_json::json;
use std::process::Command;

const FIXTURE: &str =
    "mkdir -p s/d s/e existing into/s links/d behind; echo one > s/f; ln -s f s/l; echo x > s/d/x
    echo two > s/e/g; chmod 640 s/f; chmod 750 s; echo old > into/s/f; echo kept > into/k
    echo behind > behind/f; ln -s ../behind/f links/f; ln -s nowhere links/l; echo a > h1; ln h1 h2
    mkdir notdir; ln -s ../behind notdir/d; mkdir -p full/f/x; ln -s behind dirlink; ln -s gone dangling; mkfifo p";

fn shell(dir: &Path, script: &str) -> bool {
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(dir)
        .output()
        .unwrap();
    output.status.success()
}

/// cp itself says what is right: both get the same tree, ours through the stage.
#[test]
fn cp_agrees() {
    let cases = [
        ("s", "new", false),
        ("s", "existing", false),
        ("s/", "new", false),
        ("s/", "existing/", false),
        ("s", "into", false),
        ("s/f", "existing", false),
        ("s/f", "new", false),
        ("s/f", "existing/", false),
        ("s/f", "nope/", false),
        ("s/l", "new", false),
        ("s/l", "h1", false),
        ("s/f", "h1", false),
        ("s/f", "dirlink", false),
        ("s/d", "s/f", false),
        ("s/", "links", true),
        ("s/", "notdir", false),
        ("s/", "full", false),
        ("s/f", "links/f", false),
        ("s/f", "links/f", true),
        ("s/l", "links/f", false),
        ("s/l", "dangling", false),
        ("p", "links/f", false),
        ("s/f", "dangling", false),
        ("s/f", "dangling", true),
        ("s", "s/sub", false),
        ("s/f", "s/f", false),
        ("s/f", "s/l", false),
        ("gone", "new", false),
        ("dirlink/", "new", false),
        ("dirlink", "new", false),
        ("s/f/", "new", false),
        ("s", "a/b", false),
        ("s/", "dirlink", false),
        ("s/../s/f", "new", false),
    ];
    let list =
        "find . -printf '%P %y %m %U:%G %n %l\\n' | sort; find . -type f -exec sha256sum {} + | sort -k2";
    for (from, to, remove) in cases {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [our_tree, their_tree] = [&ours, &theirs].map(|dir| dir.path().join("t"));
        for tree in [&our_tree, &their_tree] {
            std::fs::create_dir(tree).unwrap();
            assert!(shell(tree, FIXTURE));
        }
        let path = |path| format!("tree:///{path}");
        let pair = json!({"from": path(from), "to": path(to), "remove_destination": remove});
        let result = (MODULE.run)(json!({"tree": our_tree, "options": {"paths": [pair]}}));
        let dotted = |path: &str| {
            if path.ends_with('/') {
                format!("{path}.")
            } else {
                path.to_owned()
            }
        };
        let option = if remove { "--remove-destination" } else { "" };
        let good = shell(
            &their_tree,
            &format!("cp -a {option} '{}' '{}'", dotted(from), dotted(to)),
        );
        assert_eq!(result.is_ok(), good, "{from} -> {to}: {result:?}");
        if good {
            let listed = |tree: &Path| {
                let output = Command::new("sh")
                    .args(["-c", list])
                    .current_dir(tree)
                    .output()
                    .unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            assert_eq!(listed(&our_tree), listed(&their_tree), "{from} -> {to}");
        }
    }
}

/// cp writes through the links that it meets on the way, and stops at dangling ones; those we replace.
#[test]
fn links_on_the_way_keep_their_places() {
    let dir = tempfile::tempdir().unwrap();
    assert!(shell(dir.path(), FIXTURE));
    let pair = json!({"from": "tree:///s/", "to": "tree:///links"});
    (MODULE.run)(json!({"tree": dir.path(), "options": {"paths": [pair]}})).unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    assert_eq!(tree.read_link("links/f").unwrap(), Path::new("../behind/f"));
    assert_eq!(tree.read_text("behind/f").unwrap(), "one\n");
    assert_eq!(tree.stat("behind/f").unwrap().unwrap().mode, 0o640);
    assert_eq!(tree.read_link("links/l").unwrap(), Path::new("f"));
}

#[test]
fn no_link_leads_out_of_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.symlink(outside.path(), "out").unwrap();
    tree.symlink(&secret, "file").unwrap();
    tree.write("new", "new").unwrap();
    let copy = |from: &str, to: &str| {
        (MODULE.run)(json!({"tree": dir.path(), "options": {"paths": [{"from": from, "to": to}]}}))
    };
    assert!(copy("tree:///out/", "tree:///got").is_err());
    assert!(copy("tree:///out/secret", "tree:///got").is_err());
    assert!(copy("tree:///new", "tree:///file").is_err());
    assert!(copy("tree:///new", "tree:///out/x").is_err());
    assert!(copy("tree:///../../etc/passwd", "tree:///got").is_err());
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}
