//! `org.osbuild.systemd` against `systemctl --root` of systemd 252.

mod tree_spec;

use std::process::Command;

use serde_json::{Value, json};

const UNITS: &[(&str, &str)] = &[
    ("multi-user.target", "[Unit]\n"),
    ("graphical.target", "[Unit]\n"),
    (
        "plain.service",
        "[Service]\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "alias.service",
        "[Install]\nAlias=other.service third.service\nWantedBy=multi-user.target\n",
    ),
    (
        "also.service",
        "[Install]\nWantedBy=multi-user.target\nAlso=also.socket gone.socket plain.service\n",
    ),
    ("also.socket", "[Install]\nWantedBy=sockets.target\n"),
    ("only-also.service", "[Install]\nAlso=also.socket\n"),
    ("static.service", "[Service]\n"),
    ("empty.service", ""),
    (
        "required.service",
        "[Install]\nRequiredBy=plain.service gone.target\n",
    ),
    (
        "tmpl@.service",
        "[Install]\nWantedBy=multi-user.target\nDefaultInstance=d1\nAlias=tmpl-alias@.service\n",
    ),
    ("bare@.service", "[Install]\nWantedBy=multi-user.target\n"),
    ("intmpl@.service", "[Install]\nWantedBy=holder@.target\n"),
    ("holder@.target", "[Unit]\n"),
    (
        "spec@.service",
        "[Install]\nWantedBy=%i.target %p.target\nAlias=%p-%i.service\n",
    ),
    (
        "spec.service",
        "[Install]\nWantedBy=%N.target\nAlias=%p-x.service\n",
    ),
    ("badalias.service", "[Install]\nAlias=bad.socket\n"),
    ("badwant.service", "[Install]\nWantedBy=nonsense\n"),
    (
        "dirs.service",
        "[Install]\nAlias=multi-user.target.wants/dirs.service\n",
    ),
    ("dropped.service", "[Install]\nWantedBy=multi-user.target\n"),
    (
        "dropped.service.d/10.conf",
        "[Install]\nWantedBy=\nWantedBy=graphical.target\n",
    ),
    ("tick.timer", "[Install]\nWantedBy=timers.target\n"),
    (
        "mnt-x.mount",
        "[Install]\nWantedBy=multi-user.target\nAlias=mnt-y.mount\n",
    ),
    (
        "quoted.service",
        "[Install]\nWantedBy=\"multi-user.target\" graphical.target\nRequiredBy=\\\n  plain.service\n",
    ),
];
/// Links of the vendor and of the administrator.
const LINKS: &[(&str, &str)] = &[
    ("/usr/lib/systemd/system/vendor-alias.service", "plain.service"),
    ("/usr/lib/systemd/system/default.target", "graphical.target"),
    ("/usr/lib/systemd/system/runlevel5.target", "graphical.target"),
    ("/usr/lib/systemd/system/vendor-masked.service", "/dev/null"),
    ("/usr/lib/systemd/system/spec@inst.service", "spec@.service"),
    (
        "/etc/systemd/system/config-alias.service",
        "/usr/lib/systemd/system/plain.service",
    ),
    ("/etc/systemd/system/masked.service", "/dev/null"),
    (
        "/etc/systemd/system/third.service",
        "/usr/lib/systemd/system/static.service",
    ),
    (
        "/etc/systemd/system/x.target.wants/on.service",
        "/usr/lib/systemd/system/on.service",
    ),
    (
        "/etc/systemd/system/y.target.wants/on.service",
        "../../../../usr/lib/systemd/system/on.service",
    ),
    (
        "/etc/systemd/system/on-alias.service",
        "/usr/lib/systemd/system/on.service",
    ),
    (
        "/etc/systemd/system/x.target.wants/on-alias.service",
        "/etc/systemd/system/on-alias.service",
    ),
    (
        "/etc/systemd/system/x.target.wants/tmpl@a.service",
        "/usr/lib/systemd/system/tmpl@.service",
    ),
    (
        "/etc/systemd/system/x.target.wants/tmpl@b.service",
        "/usr/lib/systemd/system/tmpl@.service",
    ),
    (
        "/etc/systemd/system/x.target.wants/gone.service",
        "/usr/lib/systemd/system/gone.service",
    ),
    (
        "/etc/systemd/system/multi-user.target.wants/plain.service",
        "../../../../usr/lib/systemd/system/plain.service",
    ),
];

fn has_systemctl() -> bool {
    let output = Command::new("systemctl").arg("--version").output();
    let good = output.is_ok_and(|output| output.stdout.starts_with(b"systemd 252"));
    if !good {
        eprintln!("skipped: wants systemctl of systemd 252");
    }
    good
}

fn plant() -> tempfile::TempDir {
    let mut spec = tree_spec::Spec::new();
    let file = |text: &str| json!({"type": "file", "mode": "0644", "content": text});
    spec.insert(
        "/etc/systemd/system/mine.service".into(),
        file("[Install]\nWantedBy=multi-user.target\n"),
    );
    spec.insert("/usr/lib/systemd/system/on.service".into(), file("[Service]\n"));
    for (name, text) in UNITS {
        spec.insert(format!("/usr/lib/systemd/system/{name}"), file(text));
    }
    for (path, target) in LINKS {
        spec.insert((*path).to_owned(), json!({"type": "symlink", "target": target}));
    }
    let dir = tempfile::tempdir().unwrap();
    tree_spec::build(dir.path(), &spec);
    dir
}

/// What systemctl does with `names` in turn and what the stage does; the differences.
fn compare(verb: &str, option: &str, names: &[&str]) -> Vec<String> {
    let (ours, theirs) = (plant(), plant());
    let value = if verb == "set-default" {
        json!(names[0])
    } else {
        json!(names)
    };
    let options: Value = json!({option: value});
    let module = stages::MODULES
        .iter()
        .find(|module| module.name == "org.osbuild.systemd")
        .unwrap();
    let result = (module.run)(json!({"tree": ours.path(), "options": options}));
    let mut good = true;
    for name in names {
        let mut systemctl = Command::new("systemctl");
        systemctl
            .arg("--root")
            .arg(theirs.path())
            .args([verb, "--", name]);
        good &= systemctl.output().unwrap().status.success();
    }
    let mut differences = Vec::new();
    if result.is_ok() != good {
        differences.push(format!("success of systemctl: {good}, ours: {result:?}"));
    }
    if good {
        let (ours, theirs) = (tree_spec::read(ours.path()), tree_spec::read(theirs.path()));
        differences.extend(tree_spec::differences(&theirs, &ours, &|_| false));
    }
    if !differences.is_empty() {
        differences.insert(0, format!("{verb} {names:?}"));
    }
    differences
}

fn check(verb: &str, option: &str, cases: &[&[&str]]) {
    if !has_systemctl() {
        return;
    }
    let differences: Vec<_> = cases
        .iter()
        .flat_map(|names| compare(verb, option, names))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn enable() {
    check(
        "enable",
        "enabled_services",
        &[
            &["plain"],
            &["plain.service", "tick.timer"],
            &["alias"],
            &["also"],
            &["also.socket"],
            &["only-also"],
            &["static"],
            &["empty"],
            &["required"],
            &["tmpl@.service"],
            &["tmpl@x.service"],
            &["bare@.service"],
            &["bare@x"],
            &["intmpl@"],
            &["spec@one.service"],
            &["spec"],
            &["badalias"],
            &["badwant"],
            &["dirs"],
            &["dropped"],
            &["mnt-x.mount"],
            &["quoted"],
            &["gone"],
            &["masked"],
            &["vendor-masked"],
            &["mine"],
            &["vendor-alias"],
            &["spec@inst"],
            &["on"],
            &["a.b"],
            &["holder@x.target"],
        ],
    );
}

/// systemctl refuses a name that is an alias made by enabling (Debian's `sshd`); it can only mean one thing.
#[test]
fn an_alias_stands_for_its_unit() {
    let dir = plant();
    let link = dir
        .path()
        .join("etc/systemd/system/multi-user.target.wants/plain.service");
    std::fs::remove_file(&link).unwrap();
    let module = stages::MODULES
        .iter()
        .find(|module| module.name == "org.osbuild.systemd")
        .unwrap();
    let options = json!({"enabled_services": ["config-alias"]});
    (module.run)(json!({"tree": dir.path(), "options": options})).unwrap();
    assert_eq!(
        link.read_link().unwrap().to_str(),
        Some("/usr/lib/systemd/system/plain.service")
    );
}

#[test]
fn disable() {
    check(
        "disable",
        "disabled_services",
        &[
            &["plain"],
            &["on"],
            &["on-alias"],
            &["tmpl@"],
            &["tmpl@a"],
            &["gone"],
            &["masked"],
            &["also"],
            &["third"],
            &["static"],
            &["config-alias"],
            &["vendor-alias"],
            &["nothing"],
            &["mine"],
            &["alias"],
        ],
    );
}

#[test]
fn mask() {
    check(
        "mask",
        "masked_services",
        &[
            &["plain"],
            &["gone"],
            &["masked"],
            &["mine"],
            &["third"],
            &["tmpl@"],
            &["tmpl@x"],
            &["tick.timer"],
        ],
    );
}

#[test]
fn set_default() {
    check(
        "set-default",
        "default_target",
        &[
            &["multi-user.target"],
            &["graphical"],
            &["runlevel5.target"],
            &["gone.target"],
            &["plain.service"],
            &["default.target"],
        ],
    );
}
