use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fetch;
use crate::testing::{Reply, Server, Store, checksum, noise, refusing, silent};
use crate::{ItemResult, Outcome};

fn one(store: &Store, content: &[u8], description: impl Into<Value>) -> ItemResult {
    let items = [(checksum(content), description.into())];
    store.fetch(&items, fetch).results.remove(0)
}

#[test]
fn many_small_files_come_in_parallel_over_few_connections() {
    let server = Server::start(|asked| Reply::Content(asked.target.clone().into_bytes()));
    let store = Store::new();
    let items: Vec<_> = (0..300)
        .map(|i| format!("/file/{i}"))
        .map(|path| (checksum(path.as_bytes()), Value::from(server.url(&path))))
        .collect();
    let outcome = store.fetch(&items, fetch);
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(store.names(), store.sorted(&items));
    assert_eq!(store.content(&items[7].0), b"/file/7");
    let results: Vec<_> = outcome.results.iter().map(|r| r.item.as_str()).collect();
    assert!(
        results.iter().zip(&items).all(|(r, (item, _))| r == item),
        "in order"
    );
    assert!(*server.connections.lock().unwrap() <= 8);
    assert!(store.partials().is_empty());
    assert!(!store.path().join("sources/org.osbuild.files/.partial").exists());

    // what is there needs no network
    let asked = server.asked().len();
    let again = store.fetch(&items, fetch);
    assert!(again.success && again.results.iter().all(|r| r.cached));
    assert_eq!(server.asked().len(), asked);
}

#[test]
fn a_transfer_that_breaks_off_is_taken_up_where_it_stopped() {
    let content = noise(1_000_000);
    let served = content.clone();
    let server = Server::start(move |asked| match asked.before {
        0 => Reply::Until(300_000, served.clone()),
        1 => Reply::Until(700_000, served.clone()),
        _ => Reply::Content(served.clone()),
    });
    let store = Store::new();
    let result = one(&store, &content, server.url("/x"));
    assert!(result.success && !result.cached, "{result:?}");
    assert_eq!(store.content(&result.item), content);
    let starts: Vec<_> = server.asked().iter().map(|a| a.start).collect();
    assert_eq!(starts, [0, 300_000, 700_000]);
    assert_eq!(*store.bytes.lock().unwrap(), 1_000_000);
    assert_eq!(store.retries.lock().unwrap().len(), 2);
}

#[test]
fn a_server_that_always_stops_half_way_without_ranges_is_given_up() {
    let content = noise(100_000);
    let served = content.clone();
    let server = Server::start(move |_| Reply::Anew(50_000, served.clone()));
    let store = Store::new();
    let result = one(&store, &content, server.url("/x"));
    assert!(!result.success);
    assert!(
        result.error.contains("the transfer broke off"),
        "{}",
        result.error
    );
    assert!(store.names().is_empty());
}

#[test]
fn a_server_that_ignores_ranges_starts_anew() {
    let content = noise(500_000);
    let served = content.clone();
    let server = Server::start(move |asked| match asked.before {
        0 => Reply::Until(200_000, served.clone()),
        _ => Reply::Anew(500_000, served.clone()),
    });
    let store = Store::new();
    let result = one(&store, &content, server.url("/x"));
    assert!(result.success, "{result:?}");
    assert_eq!(server.asked()[1].start, 200_000);
    assert_eq!(store.content(&result.item), content);
}

#[test]
fn a_part_that_does_not_go_with_the_rest_is_thrown_away() {
    let content = noise(500_000);
    let (served, other) = (content.clone(), vec![0; 500_000]);
    let server = Server::start(move |asked| match asked.before {
        0 => Reply::Until(200_000, other.clone()),
        _ => Reply::Content(served.clone()),
    });
    let store = Store::new();
    let result = one(&store, &content, server.url("/x"));
    assert!(result.success, "{result:?}");
    let starts: Vec<_> = server.asked().iter().map(|a| a.start).collect();
    assert_eq!(starts, [0, 200_000, 0]);
}

#[test]
fn what_an_earlier_run_left_is_used() {
    let content = noise(500_000);
    let served = content.clone();
    let server = Server::start(move |_| Reply::HangAt(200_000, served.clone()));
    let mut store = Store::new();
    store.machine.limits.stall = Duration::from_secs(30);
    store.cancel_after = Some(200_000);
    let started = Instant::now();
    let result = one(&store, &content, server.url("/x"));
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(result.error, "interrupted");
    assert_eq!(
        (store.names(), store.partials()),
        (vec![], vec![checksum(&content)])
    );

    let served = content.clone();
    let server = Server::start(move |_| Reply::Content(served.clone()));
    store.cancelled = Default::default();
    store.cancel_after = None;
    let result = one(&store, &content, server.url("/x"));
    assert!(result.success, "{result:?}");
    assert_eq!(server.asked()[0].start, 200_000);
    assert_eq!(store.content(&result.item), content);
}

#[test]
fn a_busy_server_is_asked_again() {
    let server = Server::start(|asked| match asked.before {
        0 => Reply::Status(500),
        1 => Reply::Status(429),
        _ => Reply::Content(b"ok".to_vec()),
    });
    let store = Store::new();
    assert!(one(&store, b"ok", server.url("/x")).success);
    assert_eq!(server.asked().len(), 3);
    let retries = store.retries.lock().unwrap();
    assert!(
        retries[0].contains("500") && retries[1].contains("429"),
        "{retries:?}"
    );
}

#[test]
fn a_missing_file_is_final_and_the_next_mirror_has_it() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/b/x" => Reply::Content(b"ok".to_vec()),
        _ => Reply::Status(404),
    });
    let store = Store::new();
    let url = server.url("/a/x");
    let result = one(&store, b"ok", url.as_str());
    assert_eq!(
        result.error,
        format!("cannot fetch {url}: the server answers 404 Not Found")
    );
    assert_eq!(server.asked().len(), 1);
    let mirrors = json!({"url": url, "mirrors": [server.url("/b/x")]});
    assert!(one(&store, b"ok", mirrors).success);
}

#[test]
fn wrong_content_names_both_checksums() {
    let server = Server::start(|_| Reply::Content(b"a lie".to_vec()));
    let store = Store::new();
    let result = one(&store, b"the truth", server.url("/x"));
    assert_eq!(
        result.error,
        format!(
            "cannot fetch {}: wrong content: expected {}, got {}",
            server.url("/x"),
            checksum(b"the truth"),
            checksum(b"a lie")
        )
    );
    assert_eq!(server.asked().len(), 1);
    assert!(store.names().is_empty() && store.partials().is_empty());
}

#[test]
fn a_server_that_hangs_is_left() {
    let server = Server::start(|_| Reply::HangAt(2, b"ok go".to_vec()));
    let store = Store::new();
    let result = one(&store, b"ok go", server.url("/x"));
    assert!(
        result.error.contains("nothing came for 300ms"),
        "{}",
        result.error
    );
    assert!(server.asked().len() <= 4);
}

#[test]
fn a_refused_connection_names_the_host_and_is_waited_for_once() {
    let address = refusing();
    let store = Store::new();
    let items: Vec<_> = (0..100)
        .map(|i| {
            (
                checksum(&[i]),
                Value::from(format!("http://user:secret@{address}/{i}")),
            )
        })
        .collect();
    let started = Instant::now();
    let outcome = store.fetch(&items, fetch);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(!outcome.success);
    for result in &outcome.results {
        let text = format!("cannot connect to {address}: Connection refused");
        assert!(result.error.contains(&text), "{}", result.error);
        assert!(!result.error.contains("secret"), "{}", result.error);
    }
    assert!(store.names().is_empty());
}

#[test]
fn a_host_that_never_answers_is_named_in_time() {
    let (_keep, address) = silent();
    let mut store = Store::new();
    store.machine.limits.connect = Duration::from_millis(300);
    store.machine.limits.unreachable = Duration::from_millis(320);
    let url = format!("http://{address}/x");
    let started = Instant::now();
    let result = one(&store, b"x", url.as_str());
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(
        result.error,
        format!("cannot fetch {url}: cannot connect to {address}: no answer within 300ms")
    );
    // not even then is the caller kept from leaving
    store.machine.limits.connect = Duration::from_secs(60);
    store.cancelled.store(true, std::sync::atomic::Ordering::SeqCst);
    let started = Instant::now();
    assert_eq!(one(&store, b"x", url.as_str()).error, "interrupted");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_name_nobody_knows_is_said() {
    let store = Store::new();
    let result = one(&store, b"x", "http://nobody.invalid/x");
    assert!(
        result.error.contains("cannot connect to nobody.invalid:80: "),
        "{}",
        result.error
    );
}

#[test]
fn files_of_this_machine_are_copied() {
    let store = Store::new();
    let content = noise(300_000);
    let path = store.path().join("a file");
    std::fs::write(&path, &content).unwrap();
    let url = format!("file://{}/a%20file", store.path().display());
    let result = one(&store, &content, url);
    assert!(result.success, "{result:?}");
    assert_eq!(store.content(&result.item), content);

    let error = |url: &str| one(&store, b"x", url).error;
    assert!(error("file:///nonexistent/x").contains("cannot read /nonexistent/x: No such file"));
    assert!(error("file://host/x").contains("names another host"));
    assert!(error("ftp://host/x").contains("its scheme is none of"));
    assert!(error("file:///dev").contains("not a regular file"));
}

#[test]
fn items_that_make_no_sense_are_refused() {
    let store = Store::new();
    let result = store.fetch(&[("sha256:../../x".into(), "http://a/".into())], fetch);
    assert!(
        result.results[0].error.contains("a sha256 has 64 digits"),
        "{result:?}"
    );
    assert!(one(&store, b"x", 7).error.contains("neither a URL nor an object"));
    assert!(
        one(
            &store,
            b"x",
            json!({"url": "http://a/", "secrets": {"name": "q"}})
        )
        .error
        .contains("`q`")
    );
    assert!(store.names().is_empty());
}

#[test]
fn a_proxy_is_asked_for_the_whole_url() {
    let proxy = Server::start(|asked| Reply::Content(asked.target.clone().into_bytes()));
    let mut store = Store::new();
    store
        .machine
        .env
        .insert("http_proxy".into(), format!("http://me:pw@{}", proxy.address));
    let url = "http://elsewhere.invalid:81/a/b";
    let result = one(&store, url.as_bytes(), url);
    assert!(result.success, "{result:?}");
    let asked = &proxy.asked()[0];
    assert!(
        asked.head.contains("host: elsewhere.invalid:81\r\n"),
        "{}",
        asked.head
    );
    // me:pw
    assert!(
        asked.head.contains("proxy-authorization: basic bwu6chc=\r\n"),
        "{}",
        asked.head
    );

    store.machine.env.insert("no_proxy".into(), "invalid".into());
    let result = one(&store, b"x", "http://elsewhere.invalid/x");
    assert!(
        result.error.contains("cannot connect to elsewhere.invalid:80: "),
        "{}",
        result.error
    );
    assert_eq!(proxy.asked().len(), 1);
}

#[test]
fn https_goes_through_a_tunnel() {
    let proxy = Server::start(|_| Reply::Status(403));
    let mut store = Store::new();
    store
        .machine
        .env
        .insert("https_proxy".into(), proxy.address.clone());
    let result = one(&store, b"x", "https://elsewhere.invalid/x");
    let text = format!(
        "cannot connect to elsewhere.invalid:443 through the proxy {}: ",
        proxy.address
    );
    assert!(
        result.error.contains(&text) && result.error.contains("403"),
        "{}",
        result.error
    );
    let asked = &proxy.asked()[0];
    assert_eq!(asked.target, "elsewhere.invalid:443");
    assert!(asked.head.starts_with("connect "), "{}", asked.head);
}

#[test]
fn a_redirection_is_followed() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/old" => Reply::Head("HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".into()),
        _ => Reply::Content(b"ok".to_vec()),
    });
    let store = Store::new();
    assert!(one(&store, b"ok", server.url("/old")).success);
}

#[test]
fn without_tls_nobody_needs_authorities() {
    let server = Server::start(|_| Reply::Content(b"ok".to_vec()));
    let mut store = Store::new();
    let missing = "/nonexistent/authorities.pem";
    store.machine.env.insert("SSL_CERT_FILE".into(), missing.into());
    assert!(one(&store, b"ok", server.url("/x")).success);
    let url = server.url("/y").replace("http://", "https://");
    let result = one(&store, b"other", url.as_str());
    assert!(
        result.error.contains(&url) && result.error.contains("SSL_CERT_FILE"),
        "{}",
        result.error
    );
}

#[test]
fn a_store_that_cannot_be_written_is_named_once_for_all() {
    let server = Server::start(|asked| Reply::Content(asked.target.clone().into_bytes()));
    let store = Store::new();
    std::fs::write(store.path().join("sources"), "a file").unwrap();
    let items: Vec<_> = (0..20)
        .map(|i| (checksum(&[i]), Value::from(server.url("/x"))))
        .collect();
    let outcome: Outcome = store.fetch(&items, fetch);
    for result in &outcome.results {
        assert!(
            result.error.contains("sources/org.osbuild.files/.partial"),
            "{}",
            result.error
        );
    }
    assert!(server.asked().is_empty());
}

#[test]
fn two_runs_share_a_download() {
    let content = noise(400_000);
    let served = content.clone();
    let server = Server::start(move |_| Reply::Content(served.clone()));
    let store = Store::new();
    let url = server.url("/x");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(one(&store, &content, url.as_str()).success));
        }
    });
    assert_eq!(server.asked().len(), 1);
    assert_eq!(store.content(&checksum(&content)), content);
}

#[test]
fn runs_share_small_downloads_too() {
    let server = Server::start(|asked| Reply::Content(asked.target.clone().into_bytes()));
    let items: Vec<_> = (0..100)
        .map(|i| format!("/{i}"))
        .map(|path| (checksum(path.as_bytes()), Value::from(server.url(&path))))
        .collect();
    let store = Store::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(store.fetch(&items, fetch).success));
        }
    });
    assert_eq!(server.asked().len(), 100);
    assert_eq!(store.names(), store.sorted(&items));
    assert!(store.partials().is_empty());
}
