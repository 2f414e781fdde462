//! What lies in `samples/` works as it is.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::manifests::sha256;
use tests::{Run, TestEnv, need, oracle, repository};

fn samples(extension: &str) -> Vec<PathBuf> {
    let dir = repository().join("samples");
    let entries = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|ext| ext == extension))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "there are no samples/*.{extension}");
    found
}

fn build(env: &TestEnv, sample: &str) -> Run {
    let (store, out) = (env.store(), env.out());
    let path = repository().join("samples").join(sample);
    env.osbuild([
        "--store".as_ref(),
        store.as_os_str(),
        "--output".as_ref(),
        out.as_os_str(),
        path.as_os_str(),
    ])
}

#[test]
fn every_pipeline_loads_and_those_that_are_not_pinned_say_how() {
    let env = TestEnv::new();
    for path in samples("json") {
        let text = std::fs::read_to_string(&path).unwrap();
        let sample: Value = serde_json::from_str(&text).unwrap();
        // loading is all that happens here: the sources have nowhere to go
        let run = env.osbuild(["--store".as_ref(), "/dev/null".as_ref(), path.as_os_str()]);
        let unpinned: Vec<&str> = ["org.osbuild.apt", "org.osbuild.dnf"]
            .into_iter()
            .filter(|stage| text.contains(&format!("\"{stage}\"")))
            .collect();
        let count = unpinned
            .iter()
            .map(|stage| text.matches(&format!("\"{stage}\"")).count())
            .sum::<usize>();
        if unpinned.is_empty() {
            run.expect(1).says(&["/dev/null"]);
            continue;
        }
        let run = run.expect(2).says(&["hint: `image-builder resolve"]);
        // nothing else is wrong with it
        assert_eq!(
            run.stderr
                .matches("names packages that are not pinned yet")
                .count(),
            count,
            "{run}"
        );
        let problems = if count == 1 {
            "1 problem ".to_owned()
        } else {
            format!("{count} problems ")
        };
        assert!(run.stderr.starts_with(&format!("error: {problems}in ")), "{run}");
        assert!(sample.is_object());
    }
}

#[test]
fn noop_and_files_are_built() {
    if !need::root("samples that are built") {
        return;
    }
    let env = TestEnv::new();
    build(&env, "noop.json").expect(0);
    assert_eq!(std::fs::read_dir(env.out()).unwrap().count(), 0);
    build(&env, "files.json").expect(0);
    let archive = env.out().join("files.tar.gz");
    let list = oracle::tool(std::process::Command::new("tar").args(["-tvf"]).arg(&archive)).unwrap();
    let line = |name: &str| {
        list.lines()
            .find(|line| line.ends_with(name))
            .map(|line| &line[..10])
    };
    assert_eq!(line(" ./usr/local/bin/hello"), Some("-rwxr-xr-x"));
    assert_eq!(line(" ./usr/share/doc/files/README"), Some("-rw-r--r--"));
    assert_eq!(line(" ./var/lib/files/"), Some("drwx------"));
    let restored = env.path("restored");
    std::fs::create_dir(&restored).unwrap();
    oracle::tool(
        std::process::Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&restored),
    )
    .unwrap();
    let said = oracle::tool(&mut env.command(restored.join("usr/local/bin/hello"))).unwrap();
    assert!(said.starts_with("hello from "), "{said}");
    // the same again, elsewhere
    let other = TestEnv::new();
    build(&other, "files.json").expect(0);
    let bytes = |env: &TestEnv| std::fs::read(env.out().join("files.tar.gz")).unwrap();
    assert_eq!(sha256(bytes(&env)), sha256(bytes(&other)));
}

#[test]
fn a_disk_of_two_trees_is_built() {
    let what = "a sample that makes a disk";
    if !need::root(what)
        || !need::tools(
            &["zstd", "sgdisk", "sfdisk", "unsquashfs", "e2fsck", "debugfs"],
            what,
        )
    {
        return;
    }
    let made = [(), ()].map(|()| {
        let env = TestEnv::new();
        build(&env, "disk.json").expect(0);
        env
    });
    let [packed, again] = made.each_ref().map(|env| env.out().join("disk.raw.zst"));
    assert_eq!(
        sha256(std::fs::read(&packed).unwrap()),
        sha256(std::fs::read(again).unwrap())
    );
    let disk = made[0].path("disk.raw");
    oracle::tool(Command::new("zstd").arg("-qd").arg(&packed).arg("-o").arg(&disk)).unwrap();
    let verdict = oracle::tool(Command::new("sgdisk").arg("-v").arg(&disk)).unwrap();
    assert!(verdict.contains("No problems found"), "{verdict}");
    let table = oracle::tool(Command::new("sfdisk").arg("-J").arg(&disk)).unwrap();
    let table: Value = serde_json::from_str(&table).unwrap();
    let part = |name: &str| {
        let all = table["partitiontable"]["partitions"].as_array().unwrap();
        let part = all.iter().find(|part| part["name"] == name).unwrap();
        let [start, size] = ["start", "size"].map(|key| part[key].as_u64().unwrap() as usize * 512);
        let file = made[0].path(name);
        std::fs::write(&file, &std::fs::read(&disk).unwrap()[start..start + size]).unwrap();
        file
    };
    let list = oracle::tool(Command::new("unsquashfs").arg("-l").arg(part("system"))).unwrap();
    assert!(list.contains("/usr/local/bin/hello\n"), "{list}");
    assert!(list.contains("/var\n") && !list.contains("/var/lib"), "{list}");
    for (name, there) in [("var", "/lib/files"), ("data", "/shared")] {
        let system = part(name);
        oracle::tool(Command::new("e2fsck").arg("-fn").arg(&system)).unwrap();
        let stat = oracle::tool(
            Command::new("debugfs")
                .args(["-R", &format!("stat {there}")])
                .arg(&system),
        )
        .unwrap();
        assert!(stat.contains("Type: directory"), "{stat}");
    }
}

#[test]
fn every_blueprint_yields_a_manifest() {
    let what = "manifests of the sample blueprints";
    if !need::tools(&["apt-get"], what) {
        return;
    }
    let env = TestEnv::new();
    for path in samples("toml") {
        let run = env.image_builder([
            "manifest".as_ref(),
            "--type".as_ref(),
            "qcow2".as_ref(),
            "--cache".as_ref(),
            env.path("cache").as_os_str(),
            "--blueprint".as_ref(),
            path.as_os_str(),
        ]);
        if run.code != 0 && offline(&env) {
            eprintln!("skipped, as no repository can be reached: {what}");
            return;
        }
        let manifest = run.expect(0).json();
        assert_eq!(manifest["version"], "2");
        let pipelines = manifest["pipelines"].as_array().unwrap();
        assert!(pipelines.len() >= 2, "{} pipelines", pipelines.len());
        let text = manifest.to_string();
        // every package is pinned, and no mirror's address is in it
        assert!(text.contains("org.osbuild.deb") && !text.contains("org.osbuild.apt"));
        let packages = manifest["sources"]["org.osbuild.librepo"]["items"]
            .as_object()
            .unwrap();
        assert!(packages.len() > 50, "{} packages", packages.len());
        assert!(packages.keys().all(|item| item.starts_with("sha256:")));
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "an address is in the manifest"
        );
        if need::root("loading the manifests") {
            // it is one that osbuild takes
            let args = ["--store", "/dev/null", "-"];
            let run = env.osbuild_on(args, text.as_bytes()).expect(1);
            assert!(run.stderr.contains("/dev/null"), "{run}");
        }
    }
}

/// Whether apt cannot reach its repositories either.
fn offline(env: &TestEnv) -> bool {
    let mut apt = env.command("apt-get");
    apt.args([
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Acquire::Retries=0",
        "download",
        "hostname",
    ]);
    oracle::tool(&mut apt).is_err()
}
