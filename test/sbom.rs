//! `--sbom` and `--provenance`: what is in an image and where it comes from, told by documents that others can read.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::manifests::{copy_of, sha256, tree_of};
use tests::{TestEnv, need};

/// Puts a system with packages of three kinds into the tree.
const SYSTEM: &str = r#"cd /run/osbuild/tree
mkdir -p usr/bin etc var/lib/dpkg/info lib/apk/db var/lib/pacman/local/yay-1-1
ln -s usr/bin bin
printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n' > etc/os-release
printf hello > usr/bin/hello
printf mine > usr/bin/mine
cat > var/lib/dpkg/status <<END
Package: hello
Status: install ok installed
Maintainer: Someone <someone@example.org>
Architecture: amd64
Version: 1:2.10-3+b1
Homepage: https://example.org/hello
Description: greets

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1
END
printf '/.\n/bin\n/bin/hello\n' > var/lib/dpkg/info/hello.list
printf 'P:musl\nV:1.2-r0\nA:x86_64\nL:MIT\n\n' > lib/apk/db/installed
printf '%%NAME%%\nyay\n\n%%VERSION%%\n1-1\n\n%%ARCH%%\nany\n\n' > var/lib/pacman/local/yay-1-1/desc
"#;

/// A manifest whose archive is made of such a system.
fn archive(env: &TestEnv) -> Value {
    env.stage("org.test.system", SYSTEM);
    let input = json!({"tree": {
        "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:os"],
    }});
    json!({
        "version": "2",
        "pipelines": [
            {"name": "os", "source-epoch": 1_735_689_600, "stages": [{"type": "org.test.system"}]},
            {"name": "archive", "source-epoch": 1_735_689_600, "stages": [
                {"type": "org.osbuild.tar", "inputs": input, "options": {"filename": "os.tar"}},
            ]},
        ],
    })
}

fn read(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// Builds the archive with both documents in a directory.
fn build(env: &TestEnv, dir: &str) {
    let manifest = archive(env);
    env.build(&manifest, &["-l", "lib", "--sbom", dir, "--provenance", dir])
        .expect(0);
}

/// The package URLs of a document, sorted.
fn purls(document: &Value) -> Vec<&str> {
    let packages = document["packages"].as_array().unwrap();
    let urls = packages.iter();
    let mut urls: Vec<&str> = urls
        .filter_map(|package| package["externalRefs"][0]["referenceLocator"].as_str())
        .collect();
    urls.sort_unstable();
    urls
}

#[test]
fn the_bill_names_packages_and_files_of_the_system_below_the_image() {
    if !need::root("a bill of materials") {
        return;
    }
    let env = TestEnv::new();
    build(&env, "docs/");
    let document = read(&env.path("docs/archive.spdx.json"));
    assert_eq!(
        purls(&document),
        [
            "pkg:alpm/debian/yay@1-1?arch=any&distro=debian-12",
            "pkg:apk/debian/musl@1.2-r0?arch=x86_64&distro=debian-12",
            "pkg:deb/debian/hello@1:2.10-3%2Bb1?arch=amd64&distro=debian-12",
        ]
    );
    assert_eq!(document["creationInfo"]["created"], "2025-01-01T00:00:00Z");
    let files = document["files"].as_array().unwrap();
    let hello = files.iter().find(|file| file["fileName"] == "./usr/bin/hello");
    let hello = hello.expect("the file is there");
    let digests = json!([
        {"algorithm": "SHA1", "checksumValue": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"},
        {"algorithm": "SHA256", "checksumValue": sha256("hello").trim_start_matches("sha256:")},
    ]);
    assert_eq!(hello["checksums"], digests);
    // the database calls it /bin/hello, which is a link's way to it
    let owner = |file: &Value| {
        let relations = document["relationships"].as_array().unwrap().iter();
        let mut relations = relations.filter(|relation| relation["relatedSpdxElement"] == file["SPDXID"]);
        let owner = relations.next().unwrap()["spdxElementId"].clone();
        assert!(relations.next().is_none());
        owner
    };
    assert_eq!(owner(hello), "SPDXRef-deb-hello-1-2.10-3-b1-amd64");
    let mine = files.iter().find(|file| file["fileName"] == "./usr/bin/mine");
    assert_eq!(owner(mine.expect("the file is there")), "SPDXRef-Image");
    is_valid_spdx(&env.path("docs/archive.spdx.json"));
}

/// Where the SPDX tools for Python are, they must have nothing to say.
fn is_valid_spdx(path: &Path) {
    match Command::new("pyspdxtools").arg("-i").arg(path).output() {
        Err(_) => eprintln!("skipped, as there is no pyspdxtools: the document is valid"),
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

#[test]
fn an_rpm_database_is_read_as_rpm_reads_it() {
    let what = "a bill of materials of an rpm database";
    if !need::root(what) || !need::tools(&["rpm", "rpmbuild"], what) {
        return;
    }
    let env = TestEnv::new();
    // so many files that a header overflows to pages of its own
    let spec = "%global _build_id_links none\nName: many\nEpoch: 3\nVersion: 1.0\nRelease: 2\nSummary: Has many files\n\
                License: MIT\nURL: https://example.org/\nVendor: Nobody\nBuildArch: noarch\n%description\nx\n\
                %install\nmkdir -p %{buildroot}/opt/many\n\
                for n in $(seq 2000); do echo $n > %{buildroot}/opt/many/a-rather-long-name-$n; done\n%files\n/opt/many\n";
    env.write("many.spec", spec);
    let top = format!("_topdir {}", env.path("rpm").display());
    let run = |program: &str, args: &[&str]| {
        let output = env.command(program).args(args).output().unwrap();
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    run(
        "rpmbuild",
        &["-bb", "--quiet", "--define", &top, "--nodeps", "many.spec"],
    );
    let package = env.path("rpm/RPMS/noarch/many-1.0-2.noarch.rpm");
    let root = env.path("root");
    let (root, package) = (root.to_str().unwrap(), package.to_str().unwrap());
    let database = [
        "--root",
        root,
        "--dbpath",
        "/var/lib/rpm",
        "--define",
        "_db_backend sqlite",
    ];
    let call = |more: &[&str]| run("rpm", &[&database[..], more].concat());
    fs::create_dir(root).unwrap();
    call(&["--initdb"]);
    call(&["-i", "--nodeps", "--noscripts", package]);
    let listed = call(&["-qal"]);
    assert_eq!(listed.lines().count(), 2001);
    let release = "cd /run/osbuild/tree\nmkdir -p etc opt/many var/lib/rpm\necho ID=fedora > etc/os-release\n\
                   for n in $(seq 2000); do echo $n > opt/many/a-rather-long-name-$n; done";
    env.stage("org.test.release", release);
    // the log has what the file may lack
    let database =
        ["rpmdb.sqlite", "rpmdb.sqlite-wal"].map(|name| Path::new(root).join("var/lib/rpm").join(name));
    let mut items = serde_json::Map::new();
    let mut files = Vec::new();
    for path in database.iter().filter(|path| path.exists()) {
        let checksum = sha256(fs::read(path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        items.insert(checksum.clone(), format!("file://{}", path.display()).into());
        files.push((checksum, format!("var/lib/rpm/{name}")));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(sum, to)| (sum.as_str(), to.as_str()))
        .collect();
    let mut manifest = tree_of(json!([{"type": "org.test.release"}, copy_of(&files)]));
    manifest["sources"] = json!({"org.osbuild.curl": {"items": items}});
    env.build(&manifest, &["-l", "lib", "--sbom", "bill.json"])
        .expect(0);
    let document = read(&env.path("bill.json"));
    assert_eq!(
        purls(&document),
        ["pkg:rpm/fedora/many@1.0-2?arch=noarch&distro=fedora&epoch=3"]
    );
    let id = &document["packages"][1]["SPDXID"];
    assert_eq!(document["packages"][1]["versionInfo"], "3:1.0-2");
    let owned = document["relationships"].as_array().unwrap().iter();
    assert_eq!(
        owned.filter(|relation| relation["spdxElementId"] == *id).count(),
        2000
    );
}

#[test]
fn the_provenance_names_manifest_sources_modules_and_result() {
    if !need::root("a statement of provenance") {
        return;
    }
    let env = TestEnv::new();
    let manifest = archive(&env);
    env.build(&manifest, &["-l", "lib", "--provenance", "p.json"])
        .expect(0);
    let statement = read(&env.path("p.json"));
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let archive = fs::read(env.out().join("os.tar")).unwrap();
    let subject = json!([{"name": "os.tar", "digest": {"sha256": digest(&archive)}}]);
    assert_eq!(statement["subject"], subject);
    let definition = &statement["predicate"]["buildDefinition"];
    let of_manifest = digest(manifest.to_string().as_bytes());
    assert_eq!(
        definition["externalParameters"]["manifest"]["digest"]["sha256"],
        of_manifest
    );
    let dependencies = definition["resolvedDependencies"].as_array().unwrap();
    let find = |name: &str| {
        dependencies
            .iter()
            .find(|entry| entry["name"] == name)
            .expect(name)
    };
    assert_eq!(
        find("org.test.system")["digest"]["osbuildModule"]
            .as_str()
            .unwrap()
            .len(),
        64
    );
    assert_eq!(find("org.osbuild.tar")["annotations"]["kind"], "stage");
    assert!(statement["predicate"]["runDetails"]["builder"]["id"].is_string());
}

/// The store knows large files by the digests of their pieces; documents name those that others can check.
#[test]
fn a_large_file_is_named_by_the_digest_of_its_content() {
    if !need::root("the provenance of a large file") {
        return;
    }
    let env = TestEnv::new();
    let input = json!({"tree": {
        "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:os"],
    }});
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "os", "stages": [
            {"type": "org.osbuild.truncate", "options": {"filename": "large", "size": "65M"}},
        ]},
        {"name": "image", "stages": [{"type": "org.osbuild.copy", "inputs": input, "options": {
            "paths": [{"from": "input://tree/large", "to": "tree:///disk.img"}],
        }}]},
    ]});
    env.build(
        &manifest,
        &["--export", "image", "--provenance", "p.json", "--sbom", "s.json"],
    )
    .expect(0);
    let sha256 = hex::encode(Sha256::digest(vec![0; 65 << 20]));
    let subject = json!([{"name": "disk.img", "digest": {"sha256": sha256}}]);
    let bill = read(&env.path("s.json"));
    assert_eq!(
        bill["files"][0]["checksums"][1]["checksumValue"], sha256,
        "{bill}"
    );
    assert_eq!(read(&env.path("p.json"))["subject"], subject);
}

#[test]
fn the_same_build_elsewhere_gives_the_same_documents() {
    if !need::root("two bills of materials") {
        return;
    }
    let documents = || {
        let env = TestEnv::new();
        build(&env, "docs/");
        let read = |name| fs::read_to_string(env.path("docs").join(name)).unwrap();
        (read("archive.spdx.json"), read("archive.intoto.json"))
    };
    let first = documents();
    assert_eq!(first, documents());
    // and from the store
    let env = TestEnv::new();
    build(&env, "once/");
    build(&env, "twice/");
    assert_eq!(
        read(&env.path("once/archive.spdx.json")),
        read(&env.path("twice/archive.spdx.json"))
    );
}

#[test]
fn each_export_has_documents_of_its_own() {
    if !need::root("documents of several exports") {
        return;
    }
    let env = TestEnv::new();
    let manifest = archive(&env).to_string();
    env.write("m.json", manifest);
    let exports = [
        "m.json",
        "-l",
        "lib",
        "--store",
        "store",
        "--output-directory",
        "out",
        "--export",
        "os",
    ];
    let call = |more: &[&str]| env.osbuild([&exports[..], more].concat());
    let both = ["--export", "archive", "--sbom"];
    call(&[&both[..], &["one.json"]].concat())
        .expect(2)
        .says(&["--sbom one.json is one file for 2 exports"]);
    call(&[&both[..], &["out/"]].concat()).expect(0);
    let (os, archive) = (
        read(&env.path("out/os.spdx.json")),
        read(&env.path("out/archive.spdx.json")),
    );
    assert_eq!(os["files"], archive["files"]);
    // of a system's tree the subject is the tree
    call(&["--provenance", "os.json"]).expect(0);
    let subject = &read(&env.path("os.json"))["subject"];
    assert_eq!(subject[0]["name"], "os");
    assert_eq!(subject[0]["digest"]["osbuildTree"].as_str().unwrap().len(), 64);
    env.osbuild(["m.json", "-l", "lib", "--store", "store", "--sbom", "x"])
        .expect(2)
        .says(&["--sbom needs something to describe"]);
}

#[test]
fn a_database_that_cannot_be_read_is_no_empty_bill() {
    if !need::root("a damaged database") {
        return;
    }
    let env = TestEnv::new();
    env.stage(
        "org.test.damaged",
        "mkdir -p /run/osbuild/tree/var/lib/rpm; echo no > /run/osbuild/tree/var/lib/rpm/rpmdb.sqlite",
    );
    let manifest = tree_of(json!([{"type": "org.test.damaged"}]));
    env.build(&manifest, &["-l", "lib", "--sbom", "bill.json"])
        .expect(1)
        .says(&["the package database /var/lib/rpm/rpmdb.sqlite: it is no SQLite database"]);
    assert!(!env.path("bill.json").exists());
}
