//! Packages made with rpmbuild, installed into trees and asked about with rpm.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use module::{Args, Result};
use serde_json::{Value, json};

use super::{MODULE, Options};

struct Lab {
    dir: tempfile::TempDir,
}

/// A test that needs root and rpmbuild says so and passes where one is missing.
fn lab() -> Option<Lab> {
    let ready = rustix::process::geteuid().is_root()
        && ["rpm", "rpmbuild"]
            .iter()
            .all(|name| Command::new(name).arg("--version").output().is_ok());
    if !ready {
        println!("skipped: needs root, rpm and rpmbuild");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("rpms")).unwrap();
    Some(Lab { dir })
}

impl Lab {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Builds `rpms/NAME.rpm` with the given header lines, install commands (into `$B`) and file list.
    fn rpm(&self, name: &str, header: &str, install: &str, files: &str) {
        let spec = self.path(&format!("{name}.spec"));
        let text = format!(
            "Name: {name}\nVersion: 1.5\nRelease: 2\nSummary: test\nLicense: none\nBuildArch: noarch\n{header}\n\
             %description\ntest\n%install\nB=%{{buildroot}}\n{install}\n%files\n{files}\n"
        );
        fs::write(&spec, text).unwrap();
        let top = self.path("build");
        let output = Command::new("rpmbuild")
            .args(["-bb", "--quiet", "--define"])
            .arg(format!("_topdir {}", top.display()))
            .args([
                "--define",
                "_build_id_links none",
                "--define",
                "_dbpath /nonexistent",
                "--define",
                "_binary_payload w1.gzdio",
            ])
            .arg(&spec)
            .env("SOURCE_DATE_EPOCH", "1500000000")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let built = top.join(format!("RPMS/noarch/{name}-1.5-2.noarch.rpm"));
        fs::rename(built, self.path(&format!("rpms/{name}.rpm"))).unwrap();
    }

    fn install(&self, tree: &str, names: &[&str], metadata: &Value, options: Value) -> Result<()> {
        let tree = self.path(tree);
        fs::create_dir_all(&tree).unwrap();
        let files: serde_json::Map<_, _> = names
            .iter()
            .map(|n| (format!("{n}.rpm"), metadata.clone()))
            .collect();
        let document = json!({
            "tree": tree, "options": options, "meta": {"source-epoch": 1_600_000_000},
            "inputs": {"packages": {"path": self.path("rpms"), "data": {"files": files}}},
        });
        // a thread of its own takes the mounts with it: the folder can be removed afterwards
        std::thread::spawn(move || super::run(Args::<Options>::from_json(document)?))
            .join()
            .unwrap()
    }

    /// What rpm says of the tree's database.
    fn query(&self, tree: &str, arguments: &[&str]) -> String {
        let output = Command::new("rpm")
            .args(["--dbpath", "/usr/lib/sysimage/rpm", "--root"])
            .arg(self.path(tree))
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn packages_are_installed_into_the_tree() {
    let Some(lab) = lab() else { return };
    let install = "mkdir -p $B/usr/bin $B/usr/share/doc/app\necho run >$B/usr/bin/app\necho long >$B/usr/share/doc/app/README";
    let files = "%attr(4755,root,daemon) /usr/bin/app\n%doc /usr/share/doc/app/README";
    // a script without an interpreter of the tree
    let script = "Requires: lib\n%post -p <lua>\nlocal f = io.open('/etc/machine-id'); local id = f:read('l'); f:close()\n\
        f = io.open('/var/seen', 'w'); f:write(id); f:close()\n";
    lab.rpm("lib", "", "mkdir -p $B/var", "/var");
    lab.rpm("app", script, install, files);

    let options =
        json!({"exclude": {"docs": true}, "disable_dracut": true, "install_langs": ["en"], "nodeps": true});
    for tree in ["one", "two"] {
        lab.install(tree, &["app", "lib"], &json!({}), options.clone())
            .unwrap();
    }
    // before rpm looks at it again: a query leaves files as well
    let database = |tree: &str| {
        let folder = lab.path(tree).join("usr/lib/sysimage/rpm");
        let names = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let files: BTreeMap<_, _> = names
            .map(|name| (name.clone(), fs::read(folder.join(name)).unwrap()))
            .collect();
        files
    };
    for (name, content) in database("one") {
        assert!(database("two").get(&name) == Some(&content), "{name:?} differs");
    }
    assert_eq!(database("one").len(), database("two").len());
    let listed = lab.query("one", &["-qa", "--qf", "%{NAME}-%{VERSION} %{INSTALLTIME}\n"]);
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    // rpm counts one second up for each package of a transaction
    assert_eq!(listed, ["app-1.5 1600000001", "lib-1.5 1600000000"]);
    assert_eq!(fs::read_to_string(lab.path("one/usr/bin/app")).unwrap(), "run\n");
    assert!(!lab.path("one/usr/share/doc/app/README").exists());
    assert_eq!(
        fs::read_to_string(lab.path("one/var/seen")).unwrap(),
        "f".repeat(32)
    );
    assert_eq!(fs::read_to_string(lab.path("one/etc/machine-id")).unwrap(), "");
    assert!(!lab.path("one/etc/kernel").exists());

    // a second stage finds the database
    lab.rpm("more", "Requires: app", "mkdir -p $B/opt", "/opt");
    lab.install("one", &["more"], &json!({}), json!({})).unwrap();
    assert_eq!(lab.query("one", &["-qa"]).lines().count(), 3);
}

#[test]
fn a_missing_dependency_or_signature_fails_the_stage() {
    let Some(lab) = lab() else { return };
    lab.rpm("app", "Requires: nowhere", "mkdir -p $B/opt", "/opt");
    assert!(lab.install("a", &["app"], &json!({}), json!({})).is_err());
    lab.install("b", &["app"], &json!({}), json!({"nodeps": true}))
        .unwrap();
    let checked = json!({"metadata": {"rpm.check_gpg": true}});
    let key = json!({"nodeps": true, "gpgkeys": ["not a key"]});
    let error = lab.install("c", &["app"], &checked, key).unwrap_err();
    assert!(format!("{error:#}").contains("key"), "{error:#}");
}

#[test]
fn a_signature_is_checked_with_the_keys_of_the_manifest() {
    let Some(lab) = lab() else { return };
    let gpg = |arguments: &[&str]| {
        let mut command = Command::new("gpg");
        command
            .arg("--homedir")
            .arg(lab.path("gnupg"))
            .args(["--batch", "--quiet"])
            .args(arguments);
        command.output()
    };
    fs::create_dir(lab.path("gnupg")).unwrap();
    let make = [
        "--passphrase",
        "",
        "--quick-generate-key",
        "test@localhost",
        "rsa2048",
        "sign",
        "never",
    ];
    if gpg(&make).map_or(true, |made| !made.status.success()) {
        println!("skipped: needs gpg");
        return;
    }
    let key = String::from_utf8(gpg(&["--armor", "--export"]).unwrap().stdout).unwrap();
    let options = json!({"gpgkeys": [key]});
    let checked = json!({"metadata": {"rpm.check_gpg": true}});
    lab.rpm("app", "", "mkdir -p $B/opt", "/opt");
    // warned of: rpmkeys itself takes it
    lab.install("unsigned", &["app"], &checked, options.clone())
        .unwrap();

    let signed = Command::new("rpmsign")
        .args(["--addsign", "--define", "_gpg_name test@localhost", "--define"])
        .arg(format!("_gpg_path {}", lab.path("gnupg").display()))
        .arg(lab.path("rpms/app.rpm"))
        .output();
    Command::new("gpgconf")
        .arg("--homedir")
        .arg(lab.path("gnupg"))
        .args(["--kill", "all"])
        .output()
        .unwrap();
    if signed.map_or(true, |signed| !signed.status.success()) {
        println!("skipped: needs rpmsign");
        return;
    }
    lab.install("signed", &["app"], &checked, options).unwrap();
    assert!(lab.install("no-key", &["app"], &checked, json!({})).is_err());
}

#[test]
fn both_schemas_are_the_field_s_own() {
    let meta = MODULE.describe();
    let names = |schema: &Value| {
        let mut names: Vec<_> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    };
    let v1 = &meta["schema"];
    assert_eq!(
        names(v1),
        [
            "dbpath",
            "disable_dracut",
            "exclude",
            "gpgkeys",
            "gpgkeys.fromtree",
            "nodeps",
            "ostree_booted",
            "packages"
        ]
    );
    let item = &v1["properties"]["packages"];
    assert!(
        item.to_string().contains("oneOf") && !item.to_string().contains("anyOf"),
        "{item}"
    );
    let v2 = &meta["schema_2"]["options"];
    assert_eq!(
        names(v2),
        [
            "dbpath",
            "disable_dracut",
            "exclude",
            "generic_env",
            "gpgkeys",
            "gpgkeys.fromtree",
            "ignorearch",
            "install_langs",
            "kernel_install_env",
            "nodeps",
            "ostree_booted",
            "rpmkeys"
        ]
    );
    for schema in [v1, v2] {
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        assert!(schema.get("required").is_none(), "{schema}");
    }
}

#[test]
fn every_helper_file_is_part_of_the_digest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rpm");
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let text = fs::read_to_string(entry.path()).unwrap();
        let listed = MODULE.libraries.contains(&text.as_str());
        assert!(
            listed || entry.file_name() == "tests.rs",
            "{:?} is not among the libraries",
            entry.path()
        );
    }
}
