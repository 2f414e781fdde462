//! What a scene fetches beside files: a commit and an image, where the machine has the tools that make and copy them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::scene::LIMIT;
use crate::oci::OciImage;
use crate::{Reply, TestEnv, need, run};

/// The commit and the image, as a server has them.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The checksum of the commit.
    pub(super) commit: Option<String>,
    /// The ids of the image and of its manifest.
    image: Option<(String, String)>,
}

impl Sources {
    /// Makes them in the test's directory; what a server is to answer goes to `replies`.
    pub(super) fn make(env: &TestEnv, replies: &mut Vec<(String, Reply)>) -> Self {
        let commit = need::tools(&["ostree"], "faults in pulls of commits").then(|| commit(env, replies));
        let image = need::tools(&["skopeo"], "faults in copies of images").then(|| image(replies));
        Self { commit, image }
    }

    /// The sources of a manifest that have them; `url` is the server's.
    pub(super) fn describe(&self, url: &str, sources: &mut Value) {
        if let Some(commit) = &self.commit {
            sources["org.osbuild.ostree"] = json!({"items": {commit: {"remote": {"url": url}}}});
        }
        if let Some((id, digest)) = &self.image {
            let name = format!("{}/test/image", url.trim_start_matches("http://"));
            let image = json!({"name": name, "digest": digest, "tls-verify": false});
            sources["org.osbuild.skopeo"] = json!({"items": {id: {"image": image}}});
        }
    }

    /// A stage that copies a file out of the commit, if there is one.
    pub(super) fn stage(&self) -> Option<Value> {
        let commit = self.commit.as_ref()?;
        Some(json!({
            "type": "org.osbuild.copy",
            "inputs": {"commit": {
                "type": "org.osbuild.ostree.checkout", "origin": "org.osbuild.source", "references": {commit: {}},
            }},
            "options": {"paths": [{
                "from": format!("input://commit/{commit}/usr/text"), "to": "tree:///etc/committed",
            }]},
        }))
    }
}

fn commit(env: &TestEnv, replies: &mut Vec<(String, Reply)>) -> String {
    env.write("system/usr/text", "from the commit");
    std::os::unix::fs::symlink("text", env.path("system/usr/link")).unwrap_or_else(|e| panic!("a link: {e}"));
    let ostree = |args: &[&str]| run(env.command("ostree").args(args), b"", LIMIT).expect(0).stdout;
    ostree(&["init", "--repo=remote", "--mode=archive"]);
    let time = "--timestamp=1970-01-01T00:00:00Z";
    let commit = ostree(&["commit", "--repo=remote", "-b", "test", time, "system"]);
    let root = env.path("remote");
    let mut todo = vec![root.clone()];
    while let Some(at) = todo.pop() {
        let entries = fs::read_dir(&at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => todo.push(path),
                false => replies.push(served(&root, &path)),
            }
        }
    }
    commit.trim().to_owned()
}

/// A file below `root` as it is asked for.
fn served(root: &Path, path: &Path) -> (String, Reply) {
    let name = path.strip_prefix(root).unwrap_or(path);
    let content = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (format!("/{}", name.display()), Reply::Content(content))
}

/// An image of one empty layer, as `test/image` of a registry.
fn image(replies: &mut Vec<(String, Reply)>) -> (String, String) {
    let image = OciImage::of(vec![0; 1024]);
    replies.extend(image.replies());
    (image.id.clone(), image.digest())
}
