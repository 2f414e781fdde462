use super::*;
use serde_json::{Value, json};
use std::process::Command;

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n";

fn run(dir: &std::path::Path, options: Value) -> Result<()> {
    (MODULE.run)(json!({"tree": dir, "options": options}))
}

fn all() -> Value {
    json!({
        "replace": true,
        "sources": [
            {"name": "debian", "uris": ["https://a.example/debian"], "suites": ["trixie", "trixie-updates"],
             "components": ["main", "contrib"], "signed-by": "/usr/share/keyrings/debian-archive-keyring.gpg"},
            {"name": "debian", "types": ["deb", "deb-src"], "uris": ["https://a.example/security"],
             "suites": ["trixie-security"], "components": ["main"], "architectures": ["amd64"]},
            {"name": "flat", "uris": ["file:/srv/repo"], "suites": ["./"], "trusted": true, "signed-by": KEY},
            {"name": "off", "enabled": false, "uris": ["http://b.example/"], "suites": ["x"], "components": ["y"]},
        ],
        "keyrings": {"own.asc": KEY},
        "preferences": {"backports": [
            {"packages": ["linux-image-*", "git"], "pin": "release n=trixie-backports", "priority": 500,
             "explanation": "newer kernel"},
            {"packages": ["*"], "pin": "origin \"b.example\"", "priority": -1},
        ]},
        "config": {"90image": {"APT::Install-Recommends": false, "Acquire::Retries": 3,
                               "DPkg::Options": ["--force-confold"]}},
    })
}

#[test]
fn every_file_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all(SOURCES).unwrap();
    tree.write("etc/apt/sources.list", "deb old\n").unwrap();
    tree.write("etc/apt/sources.list.d/old.list", "deb old\n")
        .unwrap();
    run(dir.path(), all()).unwrap();
    let read = |path: &str| tree.read_text(format!("etc/apt/{path}")).unwrap();
    assert!(!tree.exists("etc/apt/sources.list"));
    assert_eq!(
        tree.list(SOURCES).unwrap(),
        ["debian.sources", "flat.sources", "off.sources"]
    );
    assert_eq!(
        read("sources.list.d/debian.sources"),
        "Types: deb\nURIs: https://a.example/debian\nSuites: trixie trixie-updates\nComponents: main contrib\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
         Types: deb deb-src\nURIs: https://a.example/security\nSuites: trixie-security\nComponents: main\n\
         Architectures: amd64\n"
    );
    assert!(read("sources.list.d/flat.sources").ends_with(
        "Trusted: yes\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n \
         -----END PGP PUBLIC KEY BLOCK-----\n"
    ));
    assert_eq!(read("keyrings/own.asc"), KEY);
    assert_eq!(
        read("preferences.d/backports"),
        "Explanation: newer kernel\nPackage: linux-image-* git\nPin: release n=trixie-backports\nPin-Priority: 500\n\n\
         Package: *\nPin: origin \"b.example\"\nPin-Priority: -1\n"
    );
    assert_eq!(
        read("apt.conf.d/90image"),
        "APT::Install-Recommends \"false\";\nAcquire::Retries \"3\";\nDPkg::Options:: \"--force-confold\";\n"
    );
}

/// apt's own view of the tree, with none of this machine's configuration; `None` where there is no apt.
fn apt(tree: &std::path::Path, program: &str, words: &[&str]) -> Option<String> {
    let etc = tree.join("etc/apt");
    let output = Command::new(program)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("APT_CONFIG", "/dev/null")
        .arg("-o")
        .arg(format!("Dir={}", tree.display()))
        .arg("-o")
        .arg(format!("Dir::Etc={}", etc.display()))
        .args([
            "-o",
            "APT::Architecture=amd64",
            "-o",
            "Dir::State::status=/dev/null",
        ])
        .args(words)
        .output()
        .ok()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn apt_reads_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), all()).unwrap();
    let Some(targets) = apt(dir.path(), "apt-get", &["update", "--print-uris"]) else {
        println!("skipped: there is no apt here");
        return;
    };
    for path in [
        "https://a.example/debian/dists/trixie/main/binary-amd64/Packages",
        "https://a.example/debian/dists/trixie-updates/contrib/binary-amd64/Packages",
        "https://a.example/security/dists/trixie-security/main/source/Sources",
        "file:/srv/repo/./Packages",
    ] {
        assert!(targets.contains(&format!("'{path}")), "{path}\n{targets}");
    }
    assert!(!targets.contains("b.example"), "{targets}");
    // a pin that apt does not understand is an error
    apt(dir.path(), "apt-cache", &["policy", "git"]).unwrap();
    let file = dir.path().join("etc/apt/apt.conf.d/90image");
    let settings = apt(dir.path(), "apt-config", &["-c", file.to_str().unwrap(), "dump"]).unwrap();
    for line in [
        "APT::Install-Recommends \"false\";",
        "Acquire::Retries \"3\";",
        "DPkg::Options:: \"--force-confold\";",
    ] {
        assert!(
            settings.lines().any(|setting| setting == line),
            "{line}\n{settings}"
        );
    }
}

#[test]
fn what_apt_would_refuse_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = |extra: Value| {
        let mut source = json!({"name": "x", "uris": ["http://a"], "suites": ["s"], "components": ["c"]});
        source
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        json!({"sources": [source]})
    };
    run(dir.path(), source(json!({}))).unwrap();
    for options in [
        source(json!({"components": []})),
        source(json!({"suites": ["./"]})),
        source(json!({"uris": ["http://a\nTrusted: yes"]})),
        source(json!({"signed-by": "two\nlines"})),
        json!({"keyrings": {"x.asc": "no key"}}),
        json!({"preferences": {"x": [{"packages": ["a"], "pin": "release a=b\nPin: x", "priority": 1}]}}),
        json!({"config": {"x": {"APT::X": "a\"; b"}}}),
        json!({"config": {"x": {"APT::X {": "a"}}}),
    ] {
        assert!(run(dir.path(), options.clone()).is_err(), "{options}");
    }
}
