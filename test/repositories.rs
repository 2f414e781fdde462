//! Packages are named by their path under a repository, which is where the caller, the manifest or the machine says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tests::manifests::{fetching, sha256};
use tests::{Httpd, Reply, TestEnv, need, oracle};

const LIBREPO: &str = "org.osbuild.librepo";

/// The first file that the stage has copied.
fn copied(env: &TestEnv) -> Vec<u8> {
    let path = env.out().join("0");
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn package(path: &str, mirror: &str, content: &str) -> (String, Value) {
    (sha256(content), json!({"path": path, "mirror": mirror}))
}

#[test]
fn packages_are_named_by_path_under_a_repository() {
    if !need::root("sources") {
        return;
    }
    let package_at = |path: &str| (path.to_owned(), Reply::Content(b"package".to_vec()));
    let server = Httpd::serve(["/repo/pool/p.deb", "/other/pool/p.deb"].map(package_at));
    let items = || vec![package("pool/p.deb", "sample", "package")];
    // without an address it is known what to do
    let env = TestEnv::new();
    env.build(&fetching(LIBREPO, items()), &[])
        .expect(1)
        .says(&["repository `sample`", "--repo sample=URL"]);
    // from the command line
    let repo = format!("sample={}", server.url("/repo"));
    env.build(&fetching(LIBREPO, items()), &["--repo", &repo])
        .expect(0);
    assert_eq!(copied(&env), b"package");
    // from the manifest: a base address, a list of them
    server.set(
        "/list",
        Reply::Content(format!("# a list\n{}\n", server.url("/other")).into_bytes()),
    );
    for (kind, url, asked) in [
        ("baseurl", server.url("/repo"), "/repo/pool/p.deb"),
        ("mirrorlist", server.url("/list"), "/other/pool/p.deb"),
    ] {
        let env = TestEnv::new();
        let mut manifest = fetching(LIBREPO, items());
        manifest["sources"][LIBREPO]["options"] = json!({"mirrors": {"sample": {"url": url, "type": kind}}});
        env.build(&manifest, &[]).expect(0);
        assert_eq!(server.requests().last().unwrap(), asked);
    }
    // the command line comes first
    let env = TestEnv::new();
    let mut manifest = fetching(LIBREPO, items());
    manifest["sources"][LIBREPO]["options"] =
        json!({"mirrors": {"sample": {"url": server.url("/nowhere"), "type": "baseurl"}}});
    env.build(&manifest, &["--repo", &repo]).expect(0);
    assert!(server.requests().iter().all(|path| !path.starts_with("/nowhere")));
}

#[test]
fn a_package_of_the_machines_own_distribution_needs_no_address() {
    let what = "packages from the machine's own repositories";
    if !need::root(what) || !need::tools(&["apt-cache", "apt-get"], what) {
        return;
    }
    let id = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let id = id
        .lines()
        .find_map(|line| line.strip_prefix("ID="))
        .unwrap_or_default()
        .to_owned();
    if id != "debian" && id != "ubuntu" {
        eprintln!("skipped, as this is {id}: {what}");
        return;
    }
    let env = TestEnv::new();
    let shown = Command::new("apt-cache")
        .args(["show", "hostname"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let field = |name: &str| {
        shown
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let (Some(path), Some(digest)) = (field("Filename:"), field("SHA256:")) else {
        eprintln!("skipped, as apt knows no packages: {what}");
        return;
    };
    // apt itself is the oracle; without a network neither can do it
    let mut download = env.command("apt-get");
    download.args(["-o", "APT::Sandbox::User=root", "download", "hostname"]);
    if let Err(error) = oracle::tool(&mut download) {
        eprintln!("skipped, as apt cannot download: {what}\n{error:#}");
        return;
    }
    let item = (format!("sha256:{digest}"), json!({"path": path, "mirror": id}));
    env.build(&fetching(LIBREPO, vec![item]), &[]).expect(0);
    let is_package = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "deb");
    let deb = fs::read_dir(env.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let deb: Vec<PathBuf> = deb.filter(is_package).collect();
    assert!(copied(&env) == fs::read(&deb[0]).unwrap());
}
