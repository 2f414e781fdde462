use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ostree::{Archive, Checksum, Commit, Mode, Node, Repo};
use serde_json::{Value, json};
use tree::Tree;

use super::fetch;
use crate::testing::{Reply, Server, Store, noise};

/// A repository `repo` in a new directory, with its commit.
struct Sample {
    dir: tempfile::TempDir,
    commit: Checksum,
}

impl Sample {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Tree::open(dir.path()).unwrap();
        root.mkdir("tree", 0o755).unwrap();
        let tree = root.subtree("tree").unwrap();
        for number in 0..20 {
            tree.mkdir_all(format!("usr/{number}")).unwrap();
            tree.write(format!("usr/{number}/file"), noise(1000 + number))
                .unwrap();
        }
        tree.write("usr/large", noise(300_000)).unwrap();
        tree.symlink("large", "usr/link").unwrap();
        let repo = Repo::create_in(&root, "repo", Mode::Archive).unwrap();
        let node = repo.write_tree(&tree, &Node::read(&tree).unwrap()).unwrap();
        let commit = repo.write_commit(&Commit::default(), node).unwrap();
        Self { dir, commit }
    }

    fn items(&self, url: &str) -> Vec<(String, Value)> {
        vec![(self.commit.to_string(), json!({"remote": {"url": url}}))]
    }

    fn read(&self, target: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path().join(target.trim_start_matches('/'))).ok()
    }
}

/// Serves the sample; `twist` may change what is answered.
fn serve(
    sample: &Arc<Sample>,
    twist: impl Fn(&str, usize, Vec<u8>) -> Reply + Send + Sync + 'static,
) -> Server {
    let sample = sample.clone();
    Server::start(move |asked| match sample.read(&asked.target) {
        Some(content) => twist(&asked.target, asked.before, content),
        None => Reply::Status(404),
    })
}

fn archive(store: &Path) -> Archive {
    let dir = Tree::open(store.join("sources/org.osbuild.ostree")).unwrap();
    Archive::open_in(&dir, "repo").unwrap()
}

#[test]
fn a_commit_comes_with_all_it_leads_to() {
    let sample = Arc::new(Sample::new());
    let server = serve(&sample, |_, _, content| Reply::Content(content));
    let store = Store::new();
    let items = sample.items(&server.url("/repo/"));
    let outcome = store.fetch(&items, fetch);
    assert!(outcome.success, "{outcome:?}");
    let objects = archive(store.path()).objects(sample.commit).unwrap();
    assert!(
        objects
            .files
            .iter()
            .all(|file| archive(store.path()).has_file(*file))
    );
    assert_eq!(objects.files.len(), 22);

    let before = server.asked().len();
    let again = store.fetch(&items, fetch);
    assert!(again.results[0].cached);
    assert_eq!(server.asked().len(), before);
}

#[test]
fn a_local_repository_will_do() {
    let sample = Sample::new();
    let store = Store::new();
    let url = format!("file://{}", sample.dir.path().join("repo").display());
    let outcome = store.fetch(&sample.items(&url), fetch);
    assert!(outcome.success, "{outcome:?}");
    assert!(archive(store.path()).is_whole(sample.commit));
}

#[test]
fn what_breaks_off_is_tried_again() {
    let sample = Arc::new(Sample::new());
    let server = serve(&sample, |target, before, content| {
        if before == 0 && target.contains("/objects/") {
            Reply::Until(content.len() / 2, content)
        } else {
            Reply::Content(content)
        }
    });
    let store = Store::new();
    let outcome = store.fetch(&sample.items(&server.url("/repo")), fetch);
    assert!(outcome.success, "{outcome:?}");
}

#[test]
fn a_wrong_object_fails_the_commit_and_the_next_run_goes_on() {
    let sample = Arc::new(Sample::new());
    let server = serve(&sample, |target, _, content| match target.ends_with(".filez") {
        true if content.len() > 100_000 => Reply::Content(content[..content.len() - 1].to_vec()),
        _ => Reply::Content(content),
    });
    let store = Store::new();
    let outcome = store.fetch(&sample.items(&server.url("/repo")), fetch);
    assert!(!outcome.success);
    assert!(!archive(store.path()).is_whole(sample.commit));
    let error = &outcome.results[0].error;
    assert!(
        error.starts_with(&format!("cannot fetch the commit {}: ", sample.commit)),
        "{error}"
    );

    let good = serve(&sample, |_, _, content| Reply::Content(content));
    let outcome = store.fetch(&sample.items(&good.url("/repo")), fetch);
    assert!(outcome.success, "{outcome:?}");
    assert!(good.asked().len() < server.asked().len());
}

#[test]
fn a_cancelled_pull_ends_and_leaves_no_commit() {
    let sample = Arc::new(Sample::new());
    let server = serve(&sample, |target, _, content| match target.ends_with(".filez") {
        true if content.len() > 100_000 => Reply::HangAt(content.len() / 2, content),
        _ => Reply::Content(content),
    });
    let mut store = Store::new();
    store.machine.limits.stall = std::time::Duration::from_secs(600);
    store.cancel_after = Some(140_000);
    let started = std::time::Instant::now();
    let outcome = store.fetch(&sample.items(&server.url("/repo")), fetch);
    assert!(store.cancelled.load(Ordering::SeqCst));
    assert!(started.elapsed().as_secs() < 60);
    assert!(outcome.results[0].error.contains("interrupted"), "{outcome:?}");
    assert!(!archive(store.path()).is_whole(sample.commit));
}

#[test]
fn what_is_not_there_is_named() {
    let sample = Arc::new(Sample::new());
    let server = serve(&sample, |target, _, content| match target.ends_with(".dirtree") {
        true => Reply::Status(404),
        false => Reply::Content(content),
    });
    let store = Store::new();
    let outcome = store.fetch(&sample.items(&server.url("/repo")), fetch);
    let error = &outcome.results[0].error;
    assert!(error.contains(".dirtree") && error.contains("404"), "{error}");
    let short = vec![("abcde".to_owned(), json!({"remote": {"url": "file:///"}}))];
    let outcome = store.fetch(&short, fetch);
    assert!(outcome.results[0].error.contains("64 digits"));
}
