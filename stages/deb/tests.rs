//! Packages made with dpkg-deb, installed into trees: the oracle is dpkg itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use module::{Args, Exit, Result};
use serde_json::{Value, json};

use super::{MODULE, Options};

/// What a working system is made of here: these programs of the machine, and the libraries they need.
const PROGRAMS: &str = "dpkg dpkg-deb dpkg-query dpkg-split dpkg-trigger sh cat chmod cp diff env echo grep id ln ls mkdir \
    mv rm sed tar touch ldconfig";

/// A folder of packages and trees to install them into.
struct Lab {
    dir: tempfile::TempDir,
}

/// A test that needs root and dpkg-deb says so and passes where one is missing.
fn lab() -> Option<Lab> {
    let ready =
        rustix::process::geteuid().is_root() && Command::new("dpkg-deb").arg("--version").output().is_ok();
    if !ready {
        println!("skipped: needs root and dpkg-deb");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("debs")).unwrap();
    Some(Lab { dir })
}

impl Lab {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Builds `NAME.deb` from `files` (path → content; a script below `DEBIAN/` is made executable).
    fn deb(&self, name: &str, fields: &str, files: &[(&str, &str)]) {
        self.deb_with(name, fields, files, "none", |_| {});
    }

    fn deb_with(
        &self,
        name: &str,
        fields: &str,
        files: &[(&str, &str)],
        compression: &str,
        more: impl Fn(&Path),
    ) {
        let root = self.path(&format!("root-{name}"));
        let control = format!(
            "Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n\
             {fields}Description: test\n"
        );
        for (path, content) in files.iter().chain([&("DEBIAN/control", control.as_str())]) {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            let script = content.starts_with("#!");
            fs::set_permissions(
                &path,
                fs::Permissions::from_mode(if script { 0o755 } else { 0o644 }),
            )
            .unwrap();
        }
        more(&root);
        // as Debian's packages do; without them dpkg makes them
        let sums = r#"cd "$1"; find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0r md5sum >DEBIAN/md5sums"#;
        run(Command::new("sh").args(["-c", sums, "sh"]).arg(&root));
        run(Command::new("dpkg-deb")
            .arg(format!("-Z{compression}"))
            .args(["--root-owner-group", "--build"])
            .arg(&root)
            .arg(self.path(&format!("debs/{name}.deb"))));
        fs::remove_dir_all(root).unwrap();
    }

    /// A package that is a whole tiny system: dpkg, a shell and what they need.
    fn base(&self) {
        let marker = "#!/bin/sh\ntouch /var/started\n";
        let files = [
            ("usr/sbin/start-stop-daemon", marker),
            ("usr/share/doc/dpkg/changelog", "x"),
        ];
        self.deb_with("dpkg", "Essential: yes\n", &files, "none", |root| {
            fs::create_dir_all(root.join("usr/bin")).unwrap();
            fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
            for name in PROGRAMS.split_whitespace() {
                let folders = ["/usr/bin", "/usr/sbin"].map(Path::new);
                let program = folders.iter().map(|d| d.join(name)).find(|p| p.exists()).unwrap();
                fs::copy(&program, root.join("usr/bin").join(name)).unwrap();
                for library in libraries(&program) {
                    // /lib and /lib64 are links into /usr
                    let path = library.strip_prefix("/").unwrap();
                    let path = if path.starts_with("usr") {
                        path.to_owned()
                    } else {
                        Path::new("usr").join(path)
                    };
                    fs::create_dir_all(root.join(&path).parent().unwrap()).unwrap();
                    fs::copy(&library, root.join(path)).unwrap();
                }
            }
        });
        // what the top of the tree looks like depends on its architecture
        let native = Command::new("dpkg")
            .arg("--print-architecture")
            .output()
            .unwrap()
            .stdout;
        let native = format!(
            "Package: base-files\nArchitecture: {}",
            String::from_utf8(native).unwrap()
        );
        self.deb_with("base-files", "", &[], "none", |root| {
            let control = root.join("DEBIAN/control");
            let text = fs::read_to_string(&control).unwrap();
            let text = text
                .replace("Package: base-files\n", "")
                .replace("Architecture: all\n", &native);
            fs::write(control, text).unwrap();
        });
    }

    /// Runs the stage on `tree` with the packages `names`.
    fn install(&self, tree: &str, names: &[&str], options: Value) -> Result<()> {
        let tree = self.path(tree);
        fs::create_dir_all(&tree).unwrap();
        let files: serde_json::Map<_, _> = names.iter().map(|n| (format!("{n}.deb"), json!({}))).collect();
        let document = json!({
            "tree": tree, "options": options, "meta": {"source-epoch": 1_600_000_000},
            "inputs": {"packages": {"path": self.path("debs"), "data": {"files": files}}},
        });
        // a thread of its own takes the mounts with it: the folder can be removed afterwards
        std::thread::spawn(move || super::run(Args::<Options>::from_json(document)?))
            .join()
            .unwrap()
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Every path of a tree with mode, owner and content.
    fn snapshot(&self, tree: &str) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
        fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, (u32, u32, Vec<u8>)>) {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let (path, meta) = (entry.path(), entry.metadata().unwrap());
                let content = if meta.is_file() {
                    fs::read(&path).unwrap()
                } else {
                    Vec::new()
                };
                found.insert(path.clone(), (meta.mode(), meta.uid(), content));
                if meta.is_dir() {
                    walk(&path, found);
                }
            }
        }
        let (root, mut found) = (self.path(tree), BTreeMap::new());
        walk(&root, &mut found);
        found
            .into_iter()
            .map(|(path, what)| (path.strip_prefix(&root).unwrap().to_owned(), what))
            .collect()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap().stdout;
    let words = String::from_utf8(output).unwrap();
    words
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

const NOTE: &str =
    "#!/bin/sh\nset -e\necho $DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME $1 >>/var/order\n";

#[test]
fn an_empty_tree_becomes_a_system_and_grows() {
    let Some(lab) = lab() else { return };
    lab.base();
    let services = format!(
        "{NOTE}start-stop-daemon --start\n/usr/sbin/policy-rc.d && exit 9\necho $? $SOURCE_DATE_EPOCH >>/var/order\n\
         cat /etc/machine-id >>/var/order\nmkdir -p /etc/ssh\necho secret >/etc/ssh/ssh_host_rsa_key\n\
         test -e /run/osbuild-deb/app_1.0_all.deb\nif touch /run/osbuild-deb/0/x; then exit 8; fi\n"
    );
    let app = [
        ("DEBIAN/preinst", NOTE),
        ("DEBIAN/postinst", &services),
        ("DEBIAN/conffiles", "/etc/app.conf\n"),
        ("etc/app.conf", "from the package"),
        ("usr/share/doc/app/copyright", "free"),
        ("usr/share/doc/app/README", "long"),
    ];
    lab.deb("app", "Pre-Depends: tool\nDepends: dpkg\n", &app);
    lab.deb("tool", "", &[("DEBIAN/preinst", NOTE), ("DEBIAN/postinst", NOTE)]);
    let watched = [
        ("DEBIAN/postinst", NOTE),
        ("DEBIAN/triggers", "interest /usr/share/watched\n"),
    ];
    lab.deb("watcher", "Depends: app\n", &watched);
    lab.deb(
        "late",
        "",
        &[("usr/share/watched/file", "x"), ("DEBIAN/postinst", NOTE)],
    );

    let options = json!({"exclude": {"docs": true}});
    let names = ["dpkg", "base-files", "tool", "app", "watcher"];
    fs::create_dir_all(lab.path("one/etc")).unwrap();
    fs::write(lab.path("one/etc/app.conf"), "from an earlier stage").unwrap();
    lab.install("one", &names, options.clone()).unwrap();
    assert_eq!(
        lab.text("one/var/order"),
        "tool preinst install\ntool postinst configure\napp preinst install\napp postinst configure\n\
         101 1600000000\nffffffffffffffffffffffffffffffff\nwatcher postinst configure\n"
    );
    assert_eq!(lab.text("one/etc/app.conf"), "from an earlier stage");
    for gone in [
        "var/started",
        "usr/sbin/policy-rc.d",
        "etc/machine-id",
        "etc/ssh/ssh_host_rsa_key",
        "run/osbuild-deb",
    ] {
        assert!(!lab.path("one").join(gone).exists(), "{gone}");
    }
    for gone in [
        "usr/share/doc/app/README",
        "usr/share/doc/dpkg/changelog",
        "var/log/dpkg.log",
    ] {
        assert!(!lab.path("one").join(gone).exists(), "{gone}");
    }
    assert_eq!(lab.text("one/usr/share/doc/app/copyright"), "free");
    assert!(
        lab.path("one/etc/systemd/system/ssh.service.wants/osbuild-ssh-host-keys.service")
            .is_symlink()
    );
    assert_eq!(
        lab.text("one/var/lib/dpkg/status")
            .matches("install ok installed")
            .count(),
        5
    );
    assert_eq!(fs::read_link(lab.path("one/lib")).unwrap(), Path::new("usr/lib"));

    // the same packages in another order are the same tree
    fs::create_dir_all(lab.path("two/etc")).unwrap();
    fs::write(lab.path("two/etc/app.conf"), "from an earlier stage").unwrap();
    let reversed: Vec<_> = names.iter().rev().copied().collect();
    lab.install("two", &reversed, options).unwrap();
    assert!(lab.snapshot("one") == lab.snapshot("two"));

    // one more package, in a stage of its own; its trigger runs
    fs::write(
        lab.path("one/etc/machine-id"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    fs::remove_file(lab.path("one/var/order")).unwrap();
    lab.install("one", &["late"], json!({})).unwrap();
    assert_eq!(
        lab.text("one/var/order"),
        "late postinst configure\nwatcher postinst triggered\n"
    );
    assert_eq!(
        lab.text("one/etc/machine-id"),
        "0123456789abcdef0123456789abcdef\n"
    );
}

/// What dpkg writes when it unpacks is the oracle for what is written without it.
#[test]
fn unpacking_all_at_once_makes_what_dpkg_makes() {
    let Some(lab) = lab() else { return };
    lab.base();
    let app = [
        (
            "DEBIAN/preinst",
            "#!/bin/sh\nset -e\nenv | grep ^DPKG_MAINTSCRIPT | grep -v DEBUG >>/var/scripts\ncat ${0%/*}/conffiles >>/var/scripts\n",
        ),
        (
            "DEBIAN/postinst",
            "#!/bin/sh\ngrep -c . /etc/app.conf /etc/app.conf.d/x >>/var/scripts\n",
        ),
        ("DEBIAN/conffiles", "/etc/app.conf\n/etc/app.conf.d/x\n"),
        (
            "DEBIAN/md5sums",
            "9dd4e461268c8034f5c8564e155c67a6  usr/bin/app\n",
        ),
        ("etc/app.conf", "from the package\n"),
        ("etc/app.conf.d/x", "too\n"),
        ("usr/bin/app", "x"),
        ("usr/share/doc/app/README", "long"),
        ("usr/share/doc/app/copyright", "free"),
    ];
    lab.deb("app", "Section: misc\nX-Other: kept\n", &app);
    let watcher = [
        ("DEBIAN/postinst", "#!/bin/sh\n"),
        (
            "DEBIAN/triggers",
            "# what it waits for\ninterest /usr/share/watched\ninterest-noawait by-name\nactivate other\n",
        ),
    ];
    lab.deb("watcher", "Depends: app\n", &watcher);
    let (options, base) = (json!({"exclude": {"docs": true}}), ["dpkg", "base-files"]);
    lab.install(
        "at-once",
        &["dpkg", "base-files", "app", "watcher"],
        options.clone(),
    )
    .unwrap();
    lab.install("by-dpkg", &base, options.clone()).unwrap();
    lab.install("by-dpkg", &["app", "watcher"], options).unwrap();
    let (ours, theirs) = (lab.snapshot("at-once"), lab.snapshot("by-dpkg"));
    for path in ours.keys().chain(theirs.keys()) {
        let [ours, theirs] = [&ours, &theirs].map(|snapshot| {
            let (mode, uid, content) = snapshot.get(path)?;
            Some((mode, uid, String::from_utf8_lossy(content)))
        });
        assert_eq!(ours, theirs, "{}", path.display());
    }
}

#[test]
fn what_a_preinst_diverts_is_unpacked_where_it_belongs() {
    let Some(lab) = lab() else { return };
    lab.base();
    let diverts = "#!/bin/sh\nset -e\n\
        printf '/usr/share/thing\\n/usr/share/thing.real\\nb-diverter\\n' >/var/lib/dpkg/diversions\n";
    lab.deb("a-first", "", &[("usr/share/first", "first")]);
    lab.deb(
        "b-diverter",
        "",
        &[("DEBIAN/preinst", diverts), ("usr/share/x", "x")],
    );
    lab.deb("c-victim", "", &[("usr/share/thing", "its own")]);
    let names = ["dpkg", "base-files", "a-first", "b-diverter", "c-victim"];
    lab.install("tree", &names, json!({})).unwrap();
    assert_eq!(lab.text("tree/usr/share/thing.real"), "its own");
    for name in ["first", "x"] {
        assert!(lab.path("tree/usr/share").join(name).exists(), "{name}");
    }
    let installed = lab.text("tree/var/lib/dpkg/status");
    assert_eq!(installed.matches("install ok installed").count(), 5);
}

#[test]
fn packages_with_a_file_in_common_are_unpacked_by_dpkg() {
    let Some(lab) = lab() else { return };
    lab.base();
    lab.deb("new", "Replaces: old\n", &[("usr/share/thing", "new")]);
    lab.deb(
        "old",
        "",
        &[("usr/share/thing", "old"), ("usr/share/rest", "old")],
    );
    lab.install("tree", &["dpkg", "base-files", "old", "new"], json!({}))
        .unwrap();
    assert_eq!(lab.text("tree/usr/share/thing"), "new");
    assert!(!lab.text("tree/var/lib/dpkg/info/old.list").contains("thing"));

    lab.deb("foe", "", &[("usr/share/thing", "foe")]);
    let error = lab.install("broken", &["dpkg", "base-files", "old", "foe"], json!({}));
    assert_eq!(error.unwrap_err().downcast_ref::<Exit>().unwrap().0, 1);
}

#[test]
fn a_script_that_fails_fails_the_stage_with_the_exit_code_of_dpkg() {
    let Some(lab) = lab() else { return };
    lab.base();
    lab.deb(
        "bad",
        "",
        &[("DEBIAN/postinst", "#!/bin/sh\necho oh no\nexit 3\n")],
    );
    let error = lab
        .install("tree", &["dpkg", "base-files", "bad"], json!({}))
        .unwrap_err();
    assert_eq!(error.downcast_ref::<Exit>().unwrap().0, 1);
}

#[test]
fn unpack_only_extracts_and_records() {
    let Some(lab) = lab() else { return };
    for (name, compression) in [("plain", "none"), ("gz", "gzip"), ("xz", "xz"), ("zst", "zstd")] {
        let files = [
            ("usr/bin/tool", "#!/bin/sh\n"),
            ("usr/share/man/man1/tool.1", "x"),
            ("DEBIAN/postinst", "#!/bin/sh\n"),
        ];
        let files = files.map(|(path, content)| (path.replace("tool", name), content));
        let files: Vec<_> = files
            .iter()
            .map(|(path, content)| (path.as_str(), *content))
            .collect();
        lab.deb_with(name, "", &files, compression, |root| {
            let bin = root.join("usr/bin");
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o4751)).unwrap();
            fs::hard_link(bin.join(name), bin.join(format!("{name}2"))).unwrap();
            std::os::unix::fs::symlink(name, bin.join(format!("{name}3"))).unwrap();
        });
    }
    let names = ["plain", "gz", "xz", "zst"];
    lab.install(
        "tree",
        &names,
        json!({"unpack_only": true, "exclude": {"docs": true}}),
    )
    .unwrap();
    for name in names {
        let file = lab.path("tree/bin").join(name);
        let meta = fs::metadata(&file).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.uid(), meta.nlink()),
            (0o4751, 0, 2),
            "{name}"
        );
        assert_eq!(
            fs::read_link(lab.path(&format!("tree/usr/bin/{name}3"))).unwrap(),
            Path::new(name)
        );
        assert!(!lab.path(&format!("tree/usr/share/man/man1/{name}.1")).exists());
    }
    let query = Command::new("dpkg-query")
        .arg(format!("--admindir={}", lab.path("tree/var/lib/dpkg").display()))
        .args(["-W", "-f", "${Package} ${Status}\n"])
        .output()
        .unwrap();
    let listed = String::from_utf8(query.stdout).unwrap();
    assert_eq!(listed.matches("install ok unpacked").count(), 4, "{listed}");
}

/// A .deb with a data archive made by hand.
fn crafted(path: &Path, entries: &[(&str, Option<&str>)]) {
    let tar_of = |entries: &[(&str, Option<&str>)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, link) in entries {
            let mut header = tar::Header::new_gnu();
            // the library refuses such names, a hostile archive does not
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            let content: &[u8] = if *name == "control" {
                b"Package: evil\nVersion: 1\nArchitecture: all\n"
            } else {
                b"evil"
            };
            match link {
                Some(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_link_name(target).unwrap();
                    header.set_size(0);
                    header.set_cksum();
                    builder.append(&header, &b""[..]).unwrap();
                }
                None => {
                    header.set_size(content.len() as u64);
                    header.set_cksum();
                    builder.append(&header, content).unwrap();
                }
            }
        }
        builder.into_inner().unwrap()
    };
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar_of(&[("control", None)])),
        ("data.tar", tar_of(entries)),
    ] {
        let size = content.len();
        archive.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, "100644").bytes());
        archive.extend(content);
    }
    fs::write(path, archive).unwrap();
}

#[test]
fn a_hostile_package_stays_in_the_tree() {
    let Some(lab) = lab() else { return };
    let outside = lab.path("outside");
    fs::create_dir(&outside).unwrap();
    let deb = lab.path("debs/evil.deb");

    crafted(&deb, &[("../../outside/x", None)]);
    let error = lab
        .install("tree", &["evil"], json!({"unpack_only": true}))
        .unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("evil_1_all") && error.contains("leads out of the tree"),
        "{error}"
    );

    let link = outside.to_str().unwrap();
    crafted(
        &deb,
        &[
            ("./door", Some(link)),
            ("./door/x", None),
            ("./up", Some("../../outside")),
            ("./up/y", None),
        ],
    );
    // an absolute link leads to the tree's own files, where nothing is: the entry below it cannot be written
    assert!(
        lab.install("tree", &["evil"], json!({"unpack_only": true}))
            .is_err()
    );
    fs::create_dir_all(lab.path("tree").join(outside.strip_prefix("/").unwrap())).unwrap();
    fs::create_dir_all(lab.path("tree/outside")).unwrap();
    lab.install("tree", &["evil"], json!({"unpack_only": true}))
        .unwrap();
    assert_eq!(lab.text("tree/outside/y"), "evil");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn every_helper_file_is_part_of_the_digest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deb");
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
