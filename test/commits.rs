//! OSTree commits: fetched from repositories, given to stages, deployed.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Httpd, Reply, TestEnv, need, run};

const SOURCE: &str = "org.osbuild.ostree";
const REF: &str = "test/x86_64/os";

/// Runs a tool in the test's directory; what it prints.
fn tool(env: &TestEnv, name: &str, args: &[&str]) -> String {
    let limit = std::time::Duration::from_secs(300);
    let done = run(env.command(name).args(args), b"", limit).expect(0);
    done.stdout.trim().to_owned()
}

/// A repository `remote` with a bootable commit; its checksum.
fn repository(env: &TestEnv) -> String {
    for (path, content) in [
        ("usr/lib/modules/6.1/vmlinuz", "kernel"),
        ("usr/lib/modules/6.1/initramfs.img", "initramfs"),
        ("usr/lib/os-release", "ID=test\nPRETTY_NAME=Test\n"),
        ("usr/lib/passwd", "root:x:0:0::/root:/bin/sh\nbin:x:2:2::/:/\n"),
        ("usr/lib/group", "root:x:0:\n"),
        ("usr/etc/passwd", "root:x:0:0:own:/root:/bin/sh\n"),
        ("usr/bin/large", &"many words ".repeat(50_000)),
    ] {
        env.write(&format!("system/{path}"), content);
    }
    // where a booted system finds what is not in the commit
    for dir in ["boot", "sysroot", "var"] {
        fs::create_dir(env.path("system").join(dir)).unwrap();
    }
    tool(env, "ostree", &["init", "--repo=remote", "--mode=archive"]);
    let version = "--add-metadata-string=version=1.2";
    tool(
        env,
        "ostree",
        &[
            "commit",
            "--repo=remote",
            "-b",
            REF,
            "--bootable",
            version,
            "system",
        ],
    )
}

/// Serves what is in a directory.
fn serve(dir: &Path) -> Httpd {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = format!("/{}", path.strip_prefix(dir).unwrap().display());
                files.push((name, Reply::Content(fs::read(path).unwrap())));
            }
        }
    }
    Httpd::serve(files)
}

/// The input `commits` with this commit.
fn commits(kind: &str, commit: &str, options: Value) -> Value {
    json!({"commits": {"type": kind, "origin": "org.osbuild.source", "references": {commit: options}}})
}

/// Takes the commit over into `/repo` of the tree.
fn pulling(commit: &str, remote: Value) -> Value {
    let mut manifest = tree_of(json!([
        {"type": "org.osbuild.ostree.init", "options": {"path": "/repo"}},
        {
            "type": "org.osbuild.ostree.pull",
            "inputs": commits(SOURCE, commit, json!({"ref": REF})),
            "options": {"repo": "/repo"},
        },
    ]));
    manifest["sources"] = json!({SOURCE: {"items": {commit: {"remote": remote}}}});
    manifest
}

fn unfit() -> bool {
    !need::root("OSTree commits") || !need::tools(&["ostree"], "OSTree commits")
}

/// What `ostree` says of the result.
fn is_in(env: &TestEnv, repo: &str, commit: &str) {
    let repo = format!("--repo={repo}");
    tool(env, "ostree", &["fsck", &repo]);
    assert_eq!(tool(env, "ostree", &["rev-parse", &repo, REF]), commit);
}

#[test]
fn a_commit_comes_over_http_and_is_a_repository_for_the_stage() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let commit = repository(&env);
    let server = serve(&env.path("remote"));
    let manifest = pulling(&commit, json!({"url": server.url("")}));
    env.build(&manifest, &["--export", "tree"]).expect(0);
    is_in(&env, "out/tree/repo", &commit);
    // the store's repository is one for the tool, and so for the Python osbuild, too
    let store = "--repo=store/sources/org.osbuild.ostree/repo";
    tool(&env, "ostree", &["fsck", store]);
    tool(&env, "ostree", &["show", store, &commit]);
    assert!(tool(&env, "ostree", &["config", "get", "core.mode", store]).starts_with("archive"));

    let asked = server.requests().len();
    let mut again = manifest.clone();
    again["pipelines"][0]["stages"][1]["options"]["remote"] = "r".into();
    env.build(&again, &["--export", "tree"]).expect(0);
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn what_the_tool_has_put_into_the_store_is_used() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let commit = repository(&env);
    let repo = "--repo=store/sources/org.osbuild.ostree/repo";
    fs::create_dir_all(env.store().join("sources/org.osbuild.ostree")).unwrap();
    tool(&env, "ostree", &["init", "--mode=archive", repo]);
    tool(&env, "ostree", &["pull-local", repo, "remote", &commit]);
    let manifest = pulling(&commit, json!({"url": "http://127.0.0.1:1/none"}));
    env.build(&manifest, &["--export", "tree"]).expect(0);
    is_in(&env, "out/tree/repo", &commit);
}

#[test]
fn a_wrong_or_missing_object_fails_the_build_with_its_name() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let commit = repository(&env);
    let server = serve(&env.path("remote"));
    let manifest = pulling(&commit, json!({"url": server.url("")}));
    let path = format!("/objects/{}/{}.commit", &commit[..2], &commit[2..]);
    server.set(&path, Reply::Content(b"something else".to_vec()));
    env.build(&manifest, &[])
        .expect(1)
        .says(&[&commit, "wrong content"]);
    server.set(&path, Reply::Status(404));
    env.build(&manifest, &[]).expect(1).says(&[&commit, "404"]);
    assert!(
        !env.store()
            .join(format!("sources/org.osbuild.ostree/repo{path}"))
            .exists()
    );
}

#[test]
fn signatures_are_checked_where_keys_are_given() {
    if unfit() || !need::tools(&["gpg"], "signed commits") {
        return;
    }
    let env = TestEnv::new();
    let commit = repository(&env);
    // a short path: gpg-agent's socket lies there
    let home = tempfile::Builder::new()
        .prefix("gpg-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let home = home.path().to_str().unwrap();
    let key = |name: &str| {
        let new = [
            "--homedir",
            home,
            "--batch",
            "--passphrase",
            "",
            "--quick-gen-key",
            name,
            "ed25519",
            "sign",
        ];
        tool(&env, "gpg", &new);
        let text = tool(&env, "gpg", &["--homedir", home, "--armor", "--export", name]);
        format!("{text}\n")
    };
    let (right, wrong) = (key("right@example.org"), key("wrong@example.org"));
    let sign = format!("--gpg-homedir={home}");
    tool(
        &env,
        "ostree",
        &["gpg-sign", "--repo=remote", &sign, &commit, "right@example.org"],
    );
    // no agent is left behind
    Command::new("gpgconf")
        .args(["--homedir", home, "--kill", "all"])
        .status()
        .ok();

    let server = serve(&env.path("remote"));
    let from = |key: &str| pulling(&commit, json!({"url": server.url(""), "gpgkeys": [key]}));
    env.build(&from(&wrong), &[]).expect(1).says(&[&commit, "ostree"]);
    env.build(&from(&right), &["--export", "tree"]).expect(0);
    is_in(&env, "out/tree/repo", &commit);
    let left = fs::read_dir(env.store().join("sources/org.osbuild.ostree")).unwrap();
    assert_eq!(left.count(), 1, "only the repository is there");
}

#[test]
fn a_commit_is_deployed() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let commit = repository(&env);
    let deployment = json!({"osname": "test", "ref": format!("remote:{REF}")});
    let mut manifest = tree_of(json!([
        {"type": "org.osbuild.ostree.init-fs"},
        {"type": "org.osbuild.ostree.os-init", "options": {"osname": "test"}},
        {
            "type": "org.osbuild.ostree.remotes",
            "options": {"repo": "/ostree/repo", "remotes": [{"name": "remote", "url": "http://u.example.org"}]},
        },
        {
            "type": "org.osbuild.ostree.deploy",
            "inputs": commits(SOURCE, &commit, json!({"ref": REF})),
            "options": {
                "osname": "test", "remote": "remote", "mounts": ["/boot"],
                "rootfs": {"label": "root"}, "kernel_opts": ["quiet"],
            },
        },
        {
            "type": "org.osbuild.ostree.config",
            "options": {"repo": "/ostree/repo", "config": {"sysroot": {"readonly": true, "bootloader": "none"}}},
        },
        {"type": "org.osbuild.ostree.aleph", "options": {"coreos_compat": true, "deployment": deployment}},
        {
            "type": "org.osbuild.hostname", "options": {"hostname": "deployed"},
            "mounts": [{
                "name": "root", "type": "org.osbuild.ostree.deployment",
                "options": {"source": "tree", "deployment": deployment},
            }],
        },
    ]));
    let url = format!("file://{}", env.path("remote").display());
    manifest["sources"] = json!({SOURCE: {"items": {&commit: {"remote": {"url": url}}}}});
    env.build(&manifest, &["--export", "tree"]).expect(0);
    let root = env.out().join("tree");
    let deployed = root.join(format!("ostree/deploy/test/deploy/{commit}.0"));
    assert_eq!(
        fs::read_to_string(deployed.join("etc/passwd")).unwrap(),
        "root:x:0:0:own:/root:/bin/sh\n"
    );
    // through the mount the deployment was the tree
    let name = fs::read_to_string(deployed.join("etc/hostname")).unwrap();
    assert_eq!((name.as_str(), root.join("etc").exists()), ("deployed\n", false));
    let entries = root.join("boot/loader/entries");
    let entry = fs::read_dir(entries).unwrap().next().unwrap().unwrap().path();
    let entry = fs::read_to_string(entry).unwrap();
    assert!(entry.contains("quiet root=LABEL=root"), "{entry}");
    let aleph: Value = serde_json::from_slice(&fs::read(root.join(".aleph-version.json")).unwrap()).unwrap();
    assert_eq!(
        (&aleph["version"], &aleph["ostree-commit"]),
        (&json!("1.2"), &json!(commit))
    );
    tool(&env, "ostree", &["fsck", "--repo=out/tree/ostree/repo"]);
}

#[test]
fn a_checkout_gives_its_users_to_the_tree() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let commit = repository(&env);
    let mut manifest = tree_of(json!([{
        "type": "org.osbuild.ostree.passwd",
        "inputs": commits("org.osbuild.ostree.checkout", &commit, json!({})),
    }]));
    let url = format!("file://{}", env.path("remote").display());
    manifest["sources"] = json!({SOURCE: {"items": {&commit: {"remote": {"url": url}}}}});
    env.build(&manifest, &["--export", "tree"]).expect(0);
    let passwd = fs::read_to_string(env.out().join("tree/etc/passwd")).unwrap();
    assert_eq!(passwd, "root:x:0:0:own:/root:/bin/sh\nbin:x:2:2::/:/\n");
}

#[test]
fn a_tree_is_committed_and_its_commit_is_an_input() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "system", "stages": [
            {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/usr/bin", "parents": true}]}},
        ]},
        {"name": "commit", "source-epoch": 1_700_000_000, "stages": [{
            "type": "org.osbuild.ostree.commit",
            "inputs": {"tree": {
                "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:system"],
            }},
            "options": {"ref": REF, "os_version": "7"},
        }]},
        {"name": "tree", "stages": [
            {"type": "org.osbuild.ostree.init"},
            {
                "type": "org.osbuild.ostree.pull",
                "inputs": {"commits": {
                    "type": SOURCE, "origin": "org.osbuild.pipeline",
                    "references": {"name:commit": {"ref": REF}},
                }},
                "options": {"repo": "/repo"},
            },
        ]},
    ]});
    let result = env
        .build(&manifest, &["--export", "tree", "--json"])
        .expect(0)
        .json();
    let compose = &result["metadata"]["commit"]["org.osbuild.ostree.commit"]["compose"];
    is_in(&env, "out/tree/repo", compose["ostree-commit"].as_str().unwrap());
}
