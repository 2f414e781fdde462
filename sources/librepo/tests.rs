use serde_json::{Value, json};

use super::fetch;
use crate::ItemResult;
use crate::testing::{Reply, Server, Store, checksum};

fn one(store: &Store, path: &str, mirror: &str) -> ItemResult {
    let items = [(checksum(b"ok"), json!({"path": path, "mirror": mirror}))];
    store.fetch(&items, fetch).results.remove(0)
}

/// Has a package below `/good`, lists of mirrors, and nothing else.
fn server() -> Server {
    Server::start(|asked| {
        let here = asked
            .head
            .split("host: ")
            .nth(1)
            .and_then(|h| h.lines().next())
            .unwrap_or("");
        match asked.target.as_str() {
            "/good/pool/a%5Eb_1+2~3.deb" => Reply::Content(b"ok".to_vec()),
            "/list" => {
                Reply::Content(format!("# mirrors\nhttp://{here}/bad\nhttp://{here}/good/\n").into_bytes())
            }
            "/metalink" => Reply::Content(
                format!(
                    "<metalink><url preference=\"1\">http://{here}/good/repodata/repomd.xml</url></metalink>"
                )
                .into_bytes(),
            ),
            "/empty" => Reply::Content(b"<html>".to_vec()),
            _ => Reply::Status(404),
        }
    })
}

const PATH: &str = "pool/a^b_1+2~3.deb";

#[test]
fn the_caller_goes_before_the_manifest_and_that_before_the_machine() {
    let server = server();
    let mut store = Store::new();
    let apt = format!("deb {} bookworm main\n", server.url("/machine"));
    let etc = store.machine.root.join("etc/apt");
    std::fs::create_dir_all(&etc).unwrap();
    std::fs::write(etc.join("sources.list"), apt).unwrap();
    std::fs::write(
        etc.join("../os-release"),
        "ID=debian\nVERSION_CODENAME=bookworm\n",
    )
    .unwrap();

    let last = |store: &Store| {
        let result = one(store, "x.deb", "debian");
        assert!(result.error.contains("404"), "{}", result.error);
        server.asked().last().unwrap().target.clone()
    };
    assert_eq!(last(&store), "/machine/x.deb");
    store.options = json!({"mirrors": {"debian": {"url": server.url("/manifest"), "type": "baseurl"}}});
    assert_eq!(last(&store), "/manifest/x.deb");
    store.repos.insert("debian".into(), server.url("/caller/"));
    assert_eq!(last(&store), "/caller/x.deb");
}

#[test]
fn lists_of_mirrors_are_fetched_and_tried_in_order() {
    let server = server();
    for kind in ["mirrorlist", "metalink"] {
        let mut store = Store::new();
        let path = if kind == "metalink" { "/metalink" } else { "/list" };
        let options = json!({"mirrors": {"m": {"url": server.url(path), "type": kind, "max-parallels": 3}}});
        store.options = options;
        let result = one(&store, PATH, "m");
        assert!(result.success, "{result:?}");
        let again = server.asked().len();
        assert!(one(&store, PATH, "m").cached);
        assert_eq!(server.asked().len(), again, "what is there needs no list");
    }
    let targets: Vec<_> = server.asked().into_iter().map(|a| a.target).collect();
    let encoded = "pool/a%5Eb_1+2~3.deb";
    assert_eq!(
        targets,
        [
            "/list",
            &format!("/bad/{encoded}"),
            &format!("/good/{encoded}"),
            "/metalink",
            &format!("/good/{encoded}")
        ]
    );
}

#[test]
fn apts_mirror_lists_and_local_directories_are_understood() {
    let server = server();
    let mut store = Store::new();
    store
        .repos
        .insert("m".into(), format!("mirror+{}", server.url("/list")));
    assert!(one(&store, PATH, "m").success);

    let mut store = Store::new();
    std::fs::write(store.path().join("p"), "ok").unwrap();
    store
        .repos
        .insert("m".into(), format!("file:{}", store.path().display()));
    let result = one(&store, "/p", "m");
    assert!(result.success, "{result:?}");
}

#[test]
fn what_cannot_be_found_says_what_to_do() {
    let server = server();
    let mut store = Store::new();
    let error = one(&store, "x", "fedora").error;
    assert!(
        error.ends_with("the repository `fedora` is; --repo fedora=URL does"),
        "{error}"
    );

    let list = |kind: &str, path: &str| json!({"mirrors": {"m": {"url": server.url(path), "type": kind}}});
    store.options = list("metalink", "/gone");
    let error = one(&store, "x", "m").error;
    assert_eq!(
        error,
        format!(
            "cannot fetch x: cannot fetch {}: the server answers 404 Not Found",
            server.url("/gone")
        )
    );
    store.options = list("mirrorlist", "/empty");
    assert!(one(&store, "x", "m").error.ends_with("/empty names no mirror"));
    store.options = list("torrent", "/x");
    assert!(one(&store, "x", "m").error.contains("torrent"));
    let items = [(checksum(b"ok"), Value::from("http://a/"))];
    assert!(!store.fetch(&items, fetch).success);
}
