//! `org.osbuild.users` and `org.osbuild.groups` against the tools they stand for: shadow 4.13 of Debian 12.

mod tree_spec;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const EPOCH: i64 = 20778 * 86400;
const LOGIN_DEFS: &str = "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nCREATE_HOME yes\n\
                          USERGROUPS_ENAB yes\nUMASK 077\nHOME_MODE 0700\n";

/// The tools are there, and are those whose behaviour was taken.
fn has_tools() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let good = rustix::process::geteuid().is_root()
        && release.contains("VERSION_CODENAME=bookworm")
        && Path::new("/usr/sbin/useradd").exists();
    if !good {
        eprintln!("skipped: wants root and the passwd package of Debian 12");
    }
    good
}

/// A small tree, with `extra` files (`null`: without that file).
fn plant(root: &Path, extra: &Value) {
    let file = |mode: &str, content: &str| json!({"type": "file", "mode": mode, "content": content});
    let dir = || json!({"type": "dir", "mode": "0755"});
    let mut spec = json!({
        "/etc": dir(), "/etc/skel": dir(), "/home": dir(), "/root": dir(), "/var": dir(), "/var/mail": dir(),
        "/etc/skel/.bashrc": file("0640", "# rc\n"),
        "/etc/skel/link": {"type": "symlink", "target": "/etc/skel/.bashrc"},
        "/etc/login.defs": file("0644", LOGIN_DEFS),
        "/etc/passwd": file("0644", "root:x:0:0:root:/root:/bin/bash\nold:x:1500:1500:Old:/home/old:/bin/sh\n"),
        "/etc/shadow": file("0640", "root:*:19000:0:99999:7:::\nold:!:19000:0:99999:7:::\n"),
        "/etc/group": file("0644", "root:x:0:\nmail:x:8:\nwheel:x:10:root,old\nold:x:1500:\n"),
        "/etc/gshadow": file("0640", "root:::\nmail:::\nwheel:::root,old\nold:!::\n"),
        "/home/old": {"type": "dir", "mode": "0755", "uid": 1500, "gid": 1500},
        "/home/old/f": {"type": "file", "mode": "0644", "uid": 0, "gid": 1500, "content": ""},
    });
    let spec = spec.as_object_mut().unwrap();
    for (path, content) in extra.as_object().unwrap() {
        match content.as_str() {
            Some(text) => spec.insert(path.clone(), file("0644", text)),
            None => spec.remove(path),
        };
    }
    tree_spec::build(root, spec);
}

/// Runs the stage on one tree and the tools on another like it; both must agree on the outcome and on every file.
fn check(extra: Value, stage: &str, options: Value, tools: &[&[&str]]) {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    plant(ours.path(), &extra);
    plant(theirs.path(), &extra);
    let module = stages::MODULES
        .iter()
        .find(|module| module.name == stage)
        .unwrap();
    let document = json!({"tree": ours.path(), "options": options, "meta": {"source-epoch": EPOCH}});
    let result = (module.run)(document);
    let mut good = true;
    for tool in tools {
        let output = Command::new(tool[0])
            .args(["--root".as_ref(), theirs.path().as_os_str()])
            .args(&tool[1..])
            .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
            .output()
            .unwrap();
        good &= output.status.success();
        if !good {
            break;
        }
    }
    assert_eq!(result.is_ok(), good, "{tools:?}: {result:?}");
    let (ours, theirs) = (tree_spec::read(ours.path()), tree_spec::read(theirs.path()));
    let differences = tree_spec::differences(&theirs, &ours, &|_| false);
    assert!(differences.is_empty(), "{tools:?}\n{}", differences.join("\n"));
}

fn user(extra: Value, options: Value, tools: &[&[&str]]) {
    check(
        extra,
        "org.osbuild.users",
        json!({"users": {"u": options}}),
        tools,
    );
}

#[test]
fn a_new_user_is_as_useradd_makes_it() {
    if !has_tools() {
        return;
    }
    let subids = json!({"/etc/subuid": "z:300000:5\ny:100000:65536\n", "/etc/subgid": ""});
    let strange = json!({
        "/etc/default/useradd": "SHELL=/bin/sh\nHOME=/users\nINACTIVE=5\nEXPIRE=2030-01-02\nCREATE_MAIL_SPOOL=yes\n",
        "/etc/login.defs": format!("{LOGIN_DEFS}PASS_MAX_DAYS\t99\nPASS_MIN_DAYS\t1\nPASS_WARN_AGE\t7\n# end\n"),
    });
    let bare = json!({"/etc/login.defs": "CREATE_HOME yes\n", "/etc/shadow": null, "/etc/gshadow": null});
    let full = json!({"/etc/passwd": "z:x:60000:0::/:/bin/sh\n", "/etc/group": "z:x:60000:\nwheel:x:10:\n"});
    let broken = json!({"/etc/passwd": "#c\n\nroot:x:0:0::/:/bin/sh\n+::::::\nz:x:5:5::/:/bin/sh", "/etc/group": "a:x:1:"});
    for tree in [&json!({}), &subids, &strange, &bare, &full, &broken] {
        user(tree.clone(), json!({}), &[&["useradd", "u"]]);
        user(
            tree.clone(),
            json!({"uid": 500}),
            &[&["useradd", "--uid", "500", "-o", "u"]],
        );
        user(
            tree.clone(),
            json!({"uid": 5000}),
            &[&["useradd", "--uid", "5000", "-o", "u"]],
        );
        user(
            tree.clone(),
            json!({"password": "secret"}),
            &[&["useradd", "--password", "secret", "u"]],
        );
    }
    user(
        subids,
        json!({"uid": 2000, "gid": 10, "groups": ["wheel", "old"], "description": "A, B", "home": "/h/x/u",
               "shell": "/bin/zsh", "password": "$6$x", "expiredate": 20000}),
        &[&[
            "useradd",
            "--uid",
            "2000",
            "-o",
            "--gid",
            "10",
            "--groups",
            "wheel,old",
            "--comment",
            "A, B",
            "--home-dir",
            "/h/x/u",
            "--create-home",
            "--shell",
            "/bin/zsh",
            "--password",
            "$6$x",
            "--expiredate",
            "20000",
            "u",
        ]],
    );
    user(
        json!({}),
        json!({"home": ""}),
        &[&["useradd", "--no-create-home", "u"]],
    );
    let reset = json!({"expiredate": -1, "force_password_reset": true});
    user(
        json!({}),
        reset,
        &[
            &["useradd", "--expiredate", "-1", "u"],
            &["passwd", "--expire", "u"],
        ],
    );
}

#[test]
fn what_useradd_refuses_is_refused_and_leaves_the_same() {
    if !has_tools() {
        return;
    }
    user(json!({}), json!({"gid": 77}), &[&["useradd", "--gid", "77", "u"]]);
    user(
        json!({}),
        json!({"groups": ["nope"]}),
        &[&["useradd", "--groups", "nope", "u"]],
    );
    user(
        json!({}),
        json!({"shell": "nologin"}),
        &[&["useradd", "--shell", "nologin", "u"]],
    );
    user(
        json!({}),
        json!({"description": "a:b"}),
        &[&["useradd", "--comment", "a:b", "u"]],
    );
    user(
        json!({}),
        json!({"password": "a:b"}),
        &[&["useradd", "--password", "a:b", "u"]],
    );
    check(
        json!({}),
        "org.osbuild.users",
        json!({"users": {"wheel": {}}}),
        &[&["useradd", "wheel"]],
    );
}

#[test]
fn a_user_is_changed_as_usermod_does() {
    if !has_tools() {
        return;
    }
    let change = |options: Value, args: &[&str]| {
        let tool = [&["usermod"], args, &["old"]].concat();
        check(
            json!({}),
            "org.osbuild.users",
            json!({"users": {"old": options}}),
            &[&tool],
        );
    };
    change(json!({"uid": 1500}), &[]);
    change(json!({"gid": 10}), &["--gid", "10"]);
    change(json!({"gid": 77}), &["--gid", "77"]);
    change(json!({"groups": ["mail", "root"]}), &["--groups", "mail,root"]);
    change(json!({"groups": []}), &["--groups", ""]);
    change(json!({"groups": ["nope"]}), &["--groups", "nope"]);
    change(json!({"description": "New"}), &["--comment", "New"]);
    change(json!({"description": "Old"}), &["--comment", "Old"]);
    change(json!({"shell": "/bin/zsh"}), &["--shell", "/bin/zsh"]);
    change(json!({"home": "/root"}), &["--home", "/root"]);
    change(json!({"password": "$6$x"}), &["--password", "$6$x"]);
    change(json!({"expiredate": 30000}), &["--expiredate", "30000"]);
    change(
        json!({"password": "$6$x", "expiredate": 5, "gid": 8}),
        &["--password", "$6$x", "--expiredate", "5", "--gid", "8"],
    );
    let lost = json!({"/etc/shadow": "root:*:19000:0:99999:7:::\n"});
    let options = json!({"users": {"old": {"password": "$6$x"}}});
    check(
        lost,
        "org.osbuild.users",
        options,
        &[&["usermod", "--password", "$6$x", "old"]],
    );
}

#[test]
fn groups_are_as_groupadd_makes_them() {
    if !has_tools() {
        return;
    }
    let groups =
        |extra: Value, options: Value, tools: &[&[&str]]| check(extra, "org.osbuild.groups", options, tools);
    let two = json!({"groups": {"b": {"gid": 2000}, "a": {}}});
    groups(
        json!({}),
        two.clone(),
        &[&["groupadd", "--gid", "2000", "b"], &["groupadd", "a"]],
    );
    groups(
        json!({"/etc/gshadow": null}),
        two,
        &[&["groupadd", "--gid", "2000", "b"], &["groupadd", "a"]],
    );
    groups(
        json!({}),
        json!({"groups": {"x": {"gid": 10}}}),
        &[&["groupadd", "--gid", "10", "x"]],
    );
    let forced = json!({"groups": {"x": {"gid": 10}, "wheel": {}}, "force": true});
    groups(
        json!({}),
        forced,
        &[
            &["groupadd", "--force", "--gid", "10", "x"],
            &["groupadd", "--force", "wheel"],
        ],
    );
    let full = json!({"/etc/group": "z:x:60000:\ny:x:1000:\n"});
    groups(full, json!({"groups": {"x": {}}}), &[&["groupadd", "x"]]);
}
