//! Sources: from the network and from the manifest; never a partial file in the store.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::{copy_of, fetching, sha256, tree_of};
use tests::{Httpd, Reply, Run, TestEnv, need, oracle, run};

const CURL: &str = "org.osbuild.curl";

/// The store's files of sources, by name. What is not whole is kept apart, hidden.
fn stored(env: &TestEnv) -> BTreeMap<String, Vec<u8>> {
    let dir = env.store().join("sources/org.osbuild.files");
    let entries = fs::read_dir(dir).into_iter().flatten();
    let entries = entries.map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.file_name() != ".partial")
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// What the stage that copies everything has put into the result.
fn copied(env: &TestEnv, number: usize) -> Vec<u8> {
    let path = env.out().join(number.to_string());
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn serve(files: &[(&str, &[u8])]) -> Httpd {
    Httpd::serve(
        files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), Reply::Content(content.to_vec()))),
    )
}

/// Builds with a changed environment.
fn build_with(env: &TestEnv, manifest: &Value, change: impl FnOnce(&mut Command)) -> Run {
    let mut command = env.build_command();
    change(&mut command);
    run(
        &mut command,
        manifest.to_string().as_bytes(),
        Duration::from_secs(120),
    )
}

#[test]
fn files_come_by_both_names_in_both_formats() {
    if !need::root("sources") {
        return;
    }
    let server = serve(&[("/a b%", b"first"), ("/b", b"second")]);
    let local = |env: &TestEnv| format!("file://{}", env.write("local/file", "third").display());
    for name in [CURL, "org.osbuild.files"] {
        let env = TestEnv::new();
        let items = vec![
            (
                sha256("first"),
                json!({"url": server.url("/a b%").replace("a b%", "a%20b%25")}),
            ),
            (sha256("second"), json!(server.url("/b"))),
            (sha256("third"), json!({"url": local(&env)})),
        ];
        // a path in a URL is written with escapes, and asked for as it is written
        server.set("/a%20b%25", Reply::Content(b"first".to_vec()));
        env.build(&fetching(name, items), &[]).expect(0);
        assert_eq!(
            [0, 1, 2].map(|n| copied(&env, n)),
            [b"first".to_vec(), b"second".to_vec(), b"third".to_vec()]
        );
        assert_eq!(stored(&env).len(), 3);
    }
    // format 1 calls them urls, and its stages have no inputs: they are fetched all the same
    let env = TestEnv::new();
    let mut urls = BTreeMap::new();
    urls.insert(sha256("second"), server.url("/b"));
    let manifest = json!({
        "sources": {"org.osbuild.files": {"urls": urls}},
        "pipeline": {"stages": [{"name": "org.osbuild.noop"}]},
    });
    env.build(&manifest, &[]).expect(0);
    assert_eq!(
        stored(&env),
        BTreeMap::from([(sha256("second"), b"second".to_vec())])
    );
}

#[test]
fn checksums_of_every_kind_are_checked() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let server = serve(&[("/f", b"abc")]);
    let sums = ["md5sum", "sha1sum", "sha256sum", "sha384sum", "sha512sum"];
    let items = sums.map(|tool| {
        let file = env.write("abc", "abc");
        let said = oracle::tool(Command::new(tool).arg(file)).unwrap();
        let algorithm = tool.trim_end_matches("sum");
        (
            format!("{algorithm}:{}", said.split(' ').next().unwrap()),
            json!({"url": server.url("/f")}),
        )
    });
    env.build(&fetching(CURL, items.to_vec()), &[]).expect(0);
    let stored = stored(&env);
    assert_eq!(
        stored.keys().collect::<Vec<_>>(),
        items
            .iter()
            .map(|(sum, _)| sum)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert!(stored.values().all(|content| content == b"abc"));
}

#[test]
fn inline_files_are_in_the_manifest() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    // every byte, in base64 as a tool writes it
    let bytes: Vec<u8> = (0..=255).collect();
    let file = env.write("bytes", &bytes);
    let data = oracle::tool(Command::new("base64").arg("--wrap=0").arg(file)).unwrap();
    let items = vec![
        (sha256(&bytes), json!({"encoding": "base64", "data": data})),
        (sha256(""), json!({"encoding": "base64", "data": ""})),
    ];
    env.build(&fetching("org.osbuild.inline", items), &[]).expect(0);
    assert_eq!((copied(&env, 0), copied(&env, 1)), (bytes, Vec::new()));
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let content: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    let server = Httpd::serve([("/big".to_owned(), Reply::CutOnce(content.clone(), 3_000_000))]);
    let other = serve(&[("/big", &content)]);
    let checksum = sha256(&content);
    let manifest = fetching(CURL, vec![(checksum.clone(), json!({"url": server.url("/big")}))]);
    env.build(&manifest, &[]).expect(0);
    assert!(copied(&env, 0) == content);
    assert_eq!(server.ranges(), [None, Some(3_000_000)]);
    assert_eq!(stored(&env).keys().collect::<Vec<_>>(), [&checksum]);

    // at a mirror too; and the next run takes up what an earlier one has left
    let env = TestEnv::new();
    let server = Httpd::serve([("/big".to_owned(), Reply::Cut(content.clone(), 3_000_000))]);
    let item = |mirrors: Value| {
        vec![(
            checksum.clone(),
            json!({"url": server.url("/big"), "mirrors": mirrors}),
        )]
    };
    env.build(&fetching(CURL, item(json!([]))), &[]).expect(1);
    assert!(stored(&env).is_empty(), "a partial file is where whole ones are");
    env.build(&fetching(CURL, item(json!([other.url("/big")]))), &[])
        .expect(0);
    assert!(copied(&env, 0) == content);
    assert_eq!(other.ranges(), [Some(3_000_000)]);
}

#[test]
fn many_files_come_at_the_same_time_and_once() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let files: Vec<(String, Vec<u8>)> = (0..300)
        .map(|n| (format!("/{n}"), format!("{n}\n").repeat(n * 10 + 1).into_bytes()))
        .collect();
    let server = Httpd::serve(
        files
            .iter()
            .map(|(path, content)| (path.clone(), Reply::Content(content.clone()))),
    );
    let items = || {
        files
            .iter()
            .map(|(path, content)| (sha256(content), json!({"url": server.url(path)})))
            .collect()
    };
    let run = env.build(&fetching(CURL, items()), &["--json"]).expect(0);
    for (number, (_, content)) in files.iter().enumerate() {
        assert!(copied(&env, number) == *content, "{number}");
    }
    assert_eq!(server.requests().len(), 300);
    assert!(run.time < Duration::from_secs(30), "{:?}", run.time);
    let result = run.json();
    let listed = result["sources"][CURL].as_array().unwrap();
    assert_eq!(listed.len(), 300);
    assert!(listed.iter().all(|item| item["cached"] == false));
    // nothing is asked again
    let again = env.build(&fetching(CURL, items()), &["--json"]).expect(0).json();
    assert_eq!(server.requests().len(), 300);
    assert!(
        again["sources"][CURL]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["cached"] == true)
    );
}

#[test]
fn what_is_fetched_has_the_same_time_in_a_tree_whenever_it_came() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let item = json!({"encoding": "base64", "data": "aGVsbG8K"});
    let mut manifest = fetching("org.osbuild.inline", vec![(sha256("hello\n"), item)]);
    manifest["pipelines"][0]["source-epoch"] = 1_735_689_600.into();
    let text = manifest.to_string();
    let fetch = ["--store", "store", "--output-directory", "out", "-"];
    env.osbuild_on(fetch, text.as_bytes()).expect(0);
    let file = env
        .store()
        .join("sources/org.osbuild.files")
        .join(sha256("hello\n"));
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(file).unwrap().set_modified(long_ago).unwrap();
    env.build(&manifest, &[]).expect(0);
    let modified = fs::metadata(env.out().join("0")).unwrap().modified().unwrap();
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds, 1_735_689_600);
}

#[test]
fn proxies_come_from_the_environment() {
    if !need::root("sources") {
        return;
    }
    let url = "http://files.example/path/file";
    let item = || vec![(sha256("by proxy"), json!({"url": url}))];
    for variable in ["http_proxy", "all_proxy", "OSBUILD_SOURCES_CURL_PROXY"] {
        let env = TestEnv::new();
        // a proxy is asked for whole addresses
        let proxy = serve(&[(url, b"by proxy")]);
        let address = proxy.url("");
        let run = build_with(&env, &fetching(CURL, item()), |command| {
            command.env(variable, address);
        });
        run.expect(0);
        assert_eq!(proxy.requests(), [url], "{variable}");
    }
    // but not for those that no_proxy names
    let env = TestEnv::new();
    let (proxy, server) = (serve(&[]), serve(&[("/f", b"direct")]));
    let manifest = fetching(CURL, vec![(sha256("direct"), json!({"url": server.url("/f")}))]);
    let run = build_with(&env, &manifest, |command| {
        command
            .env("http_proxy", proxy.url(""))
            .env("no_proxy", "127.0.0.1");
    });
    run.expect(0);
    assert!(proxy.requests().is_empty());
}

#[test]
fn an_output_directory_alone_only_fetches() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let server = serve(&[("/f", b"content")]);
    env.stage("org.example.stage", "echo ran");
    let mut manifest = fetching(CURL, vec![(sha256("content"), json!({"url": server.url("/f")}))]);
    let stages = manifest["pipelines"][0]["stages"].as_array_mut().unwrap();
    stages.push(json!({"type": "org.example.stage"}));
    let text = manifest.to_string();
    for option in ["--output-directory", "--out"] {
        let args = [
            "--store",
            "store",
            "-l",
            "lib",
            option,
            "elsewhere",
            "--json",
            "-",
        ];
        let result = env.osbuild_on(args, text.as_bytes()).expect(0).json();
        assert_eq!(result["log"], json!({}), "{option}: a stage ran");
        assert_eq!(stored(&env).len(), 1);
        let entries = fs::read_dir(env.path("elsewhere")).into_iter().flatten();
        assert_eq!(entries.count(), 0, "{option}");
    }
    assert_eq!(server.requests(), ["/f"]);
}

#[test]
fn an_item_of_two_sources_and_unused_sources_are_fetched_once() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let server = serve(&[("/f", b"content"), ("/unused", b"unused")]);
    let mut manifest = tree_of(json!([copy_of(&[(&sha256("content"), "f")])]));
    manifest["sources"] = json!({
        CURL: {"items": {sha256("content"): server.url("/f"), sha256("unused"): server.url("/unused")}},
        "org.osbuild.inline": {"items": {
            sha256("content"): {"encoding": "base64", "data": "Y29udGVudA=="},
        }},
    });
    env.build(&manifest, &[]).expect(0);
    assert_eq!(fs::read(env.out().join("f")).unwrap(), b"content");
    assert_eq!(stored(&env).len(), 2);
}
