//! With certificates made by `openssl`; without that they are skipped.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::fetch;
use crate::ItemResult;
use crate::testing::{Reply, Server, Store, checksum};

fn one(store: &Store, description: impl Into<Value>) -> ItemResult {
    let items = [(checksum(b"ok"), description.into())];
    store.fetch(&items, fetch).results.remove(0)
}

/// Makes an authority, and what it signs for `localhost` and for a client.
fn certificates(dir: &Path) -> bool {
    let script = "set -e
        req() { openssl req -newkey rsa:2048 -nodes -keyout $1.key -subj /CN=$1 \"${@:2}\"; }
        req ca -x509 -out ca.pem -days 3650
        req elsewhere -x509 -out elsewhere.pem -days 3650
        for name in server client; do
            req $name -out $name.csr
            printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > $name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
                -extfile $name.ext -out $name.pem
        done";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(dir);
    let made = bash.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let made = made.is_ok_and(|status| status.success());
    if !made {
        println!("skipped: there is no openssl");
    }
    made
}

/// Answers every request with `ok`; asks for a client's certificate if wanted. The address is its `localhost:port`.
fn serve(dir: &Path, client: bool) -> String {
    let read = |name: &str| CertificateDer::from_pem_file(dir.join(name)).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.pem")).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if client {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let config = Arc::new(builder.with_single_cert(vec![read("server.pem")], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut head = [0; 4096];
            if std::io::Read::read(&mut stream, &mut head).is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                stream.write_all(answer).and_then(|()| stream.flush()).ok();
                stream.conn.send_close_notify();
                stream.flush().ok();
            }
        }
    });
    format!("localhost:{port}")
}

#[test]
fn authorities_come_from_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    if !certificates(dir.path()) {
        return;
    }
    let url = format!("https://{}/x", serve(dir.path(), false));
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let with = |name: &str, authority: &str| {
        let mut store = Store::new();
        store.machine.env.insert(name.into(), file(authority));
        store
    };
    let error = one(&with("SSL_CERT_FILE", "elsewhere.pem"), url.as_str()).error;
    assert!(error.contains(&url) && error.contains("UnknownIssuer"), "{error}");
    assert!(one(&with("SSL_CERT_FILE", "ca.pem"), url.as_str()).success);
    assert!(one(&with("OSBUILD_SOURCES_CURL_SSL_CA_CERT", "ca.pem"), url.as_str()).success);
    assert!(one(&Store::new(), json!({"url": url, "insecure": true})).success);

    // the name must fit as well
    let url = url.replace("localhost", "127.0.0.1");
    let error = one(&with("SSL_CERT_FILE", "ca.pem"), url.as_str()).error;
    assert!(error.contains("TLS: "), "{error}");
}

#[test]
fn a_client_shows_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    if !certificates(dir.path()) {
        return;
    }
    let url = format!("https://{}/x", serve(dir.path(), true));
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let item = json!({"url": url, "secrets": {"name": "org.osbuild.mtls"}});
    let mut store = Store::new();
    let env = |store: &mut Store, name: &str, value: &str| {
        let name = format!("OSBUILD_SOURCES_CURL_SSL_{name}");
        store.machine.env.insert(name, file(value));
    };
    env(&mut store, "CA_CERT", "ca.pem");
    assert!(!one(&store, url.as_str()).success, "without a certificate");
    assert!(one(&store, item.clone()).error.contains("CLIENT_KEY"));
    env(&mut store, "CLIENT_CERT", "client.pem");
    env(&mut store, "CLIENT_KEY", "server.key");
    assert!(one(&store, item.clone()).error.contains("do not fit"));
    env(&mut store, "CLIENT_KEY", "client.key");
    let result = one(&store, item);
    assert!(result.success, "{result:?}");
}

#[test]
fn https_comes_through_a_tunnel() {
    let dir = tempfile::tempdir().unwrap();
    if !certificates(dir.path()) {
        return;
    }
    let address = serve(dir.path(), false);
    let to = address.clone();
    let proxy = Server::start(move |_| Reply::Tunnel(to.clone()));
    let mut store = Store::new();
    let authority = dir.path().join("ca.pem").to_str().unwrap().to_owned();
    store.machine.env.insert("SSL_CERT_FILE".into(), authority);
    store
        .machine
        .env
        .insert("all_proxy".into(), format!("http://{}", proxy.address));
    let result = one(&store, format!("https://{address}/x"));
    assert!(result.success, "{result:?}");
    assert_eq!(proxy.asked()[0].target, address);
}
