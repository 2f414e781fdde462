//! Sources that fail: each with its message and exit code, and never a partial file in the store.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use tests::manifests::{fetching, sha256};
use tests::{Httpd, Reply, TestEnv, need};

#[test]
fn a_source_with_a_wrong_digest_names_both() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let server = Httpd::serve([("/file".to_owned(), Reply::Content(b"other".to_vec()))]);
    let wanted = sha256("wanted");
    let manifest = fetching(
        "org.osbuild.curl",
        vec![(wanted.clone(), json!({"url": server.url("/file")}))],
    );
    let (run, document) = env.fails(&manifest, &[], 1);
    run.says(&[
        "source org.osbuild.curl failed",
        &wanted,
        &sha256("other"),
        &server.url("/file"),
    ]);
    assert_eq!(document["error"]["type"], "org.osbuild.error.source");
    assert!(
        !env.store()
            .join("sources/org.osbuild.files")
            .join(&wanted)
            .exists()
    );
    // and one in the manifest itself
    let item = json!({"encoding": "base64", "data": "b3RoZXI="});
    let manifest = fetching("org.osbuild.inline", vec![(wanted.clone(), item)]);
    let (run, _) = env.fails(&manifest, &[], 1);
    run.says(&["source org.osbuild.inline failed", &wanted, &sha256("other")]);
}

#[test]
fn what_a_server_does_not_have_is_named_at_once() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let server = Httpd::serve([("/there".to_owned(), Reply::Content(b"there".to_vec()))]);
    let missing = ["a", "b"].map(|name| (sha256(name), json!({"url": server.url(&format!("/{name}"))})));
    let there = (sha256("there"), json!({"url": server.url("/there")}));
    let manifest = fetching("org.osbuild.curl", missing.into_iter().chain([there]).collect());
    let (run, document) = env.fails(&manifest, &[], 1);
    assert!(run.time < Duration::from_secs(10), "{:?}", run.time);
    run.says(&["(and 1 more)", "404", &server.url("/a")]);
    let items = document["sources"]["org.osbuild.curl"].as_array().unwrap();
    let errors: Vec<&str> = items.iter().filter_map(|item| item["error"].as_str()).collect();
    assert_eq!(errors.len(), 2, "{document}");
    assert!(errors[1].contains("404"), "{document}");
    // what was there is kept for the next time
    assert!(
        env.store()
            .join("sources/org.osbuild.files")
            .join(sha256("there"))
            .exists()
    );
}

#[test]
fn a_refused_connection_fails_soon_and_names_the_host() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let item = json!({"url": format!("http://{nobody}/file")});
    let manifest = fetching("org.osbuild.curl", vec![(sha256("x"), item)]);
    let run = env.build(&manifest, &[]).expect(1);
    assert!(run.time < Duration::from_secs(20), "{:?}", run.time);
    run.says(&["source org.osbuild.curl failed", &nobody.to_string(), "refused"]);
}

#[test]
fn mirrors_that_stop_half_way_are_told_apart() {
    if !need::root("sources") {
        return;
    }
    let env = TestEnv::new();
    let content = vec![b'm'; 300_000];
    let cut = || Reply::Cut(content.clone(), 100_000);
    let server = Httpd::serve([("/a".to_owned(), cut()), ("/b".to_owned(), cut())]);
    let item = json!({"url": server.url("/a"), "mirrors": [server.url("/b")]});
    let checksum = sha256(&content);
    let manifest = fetching("org.osbuild.curl", vec![(checksum.clone(), item)]);
    let run = env.build(&manifest, &[]).expect(1);
    assert!(run.time < Duration::from_secs(60), "{:?}", run.time);
    run.says(&[
        "source org.osbuild.curl failed",
        &server.url("/a"),
        &server.url("/b"),
    ]);
    assert!(
        !env.store()
            .join("sources/org.osbuild.files")
            .join(&checksum)
            .exists()
    );
    // once one of them has it all, the build goes on
    server.set("/b", Reply::Content(content.clone()));
    env.build(&manifest, &[]).expect(0);
    assert!(std::fs::read(env.out().join("0")).unwrap() == content);
}
