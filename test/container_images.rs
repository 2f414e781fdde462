//! Container images: fetched from a registry, from the machine's storage, made and unpacked.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::{sha256, tree_of};
use tests::oci::{self, OciImage};
use tests::{Httpd, Reply, TestEnv, need, run};

const SOURCE: &str = "org.osbuild.skopeo";
const LIST: &str = "application/vnd.oci.image.index.v1+json";

/// An image, and what a test says of it.
struct Image(OciImage);

/// An image whose only layer is what `tar` makes of these files.
fn image(env: &TestEnv, files: &[(&str, &str)]) -> Image {
    for (path, content) in files {
        env.write(&format!("layer/{path}"), content);
    }
    let args = ["--sort=name", "--mtime=@0", "-C", "layer", "-c", "."];
    let output = env.command("tar").args(args).output().unwrap();
    assert!(output.status.success());
    Image(OciImage::of(output.stdout))
}

impl Image {
    /// A registry that has it as `test/image`, with the list of manifests that names it.
    fn registry(&self) -> (Httpd, String, String) {
        let list = json!({
            "schemaVersion": 2,
            "mediaType": LIST,
            "manifests": [{
                "mediaType": oci::MANIFEST, "digest": self.0.digest(), "size": self.0.manifest.len(),
                "platform": {"architecture": "amd64", "os": "linux"},
            }],
        });
        let list = list.to_string().into_bytes();
        let digest = sha256(&list);
        let mut replies = self.0.replies();
        replies.push((oci::place("manifests", &list), Reply::Typed(list, LIST)));
        let server = Httpd::serve(replies);
        let name = server.url("/test/image").trim_start_matches("http://").to_owned();
        (server, name, digest)
    }

    fn source(&self, name: &str) -> Value {
        let image = json!({"name": name, "digest": self.0.digest(), "tls-verify": false});
        json!({SOURCE: {"items": {&self.0.id: {"image": image}}}})
    }

    fn input(&self, kind: &str) -> Value {
        json!({"images": {
            "type": kind, "origin": "org.osbuild.source",
            "references": {&self.0.id: {"name": "localhost/deployed"}},
        }})
    }
}

fn unfit() -> bool {
    !need::root("container images") || !need::tools(&["skopeo", "tar"], "container images")
}

fn skopeo(env: &TestEnv, args: &[&str]) -> String {
    let done = run(env.command("skopeo").args(args), b"", Duration::from_secs(300));
    done.expect(0).stdout
}

fn skopeo_stage(image: &Image, destination: Value) -> Value {
    json!({
        "type": "org.osbuild.skopeo", "inputs": image.input("org.osbuild.containers"),
        "options": {"destination": destination},
    })
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn an_image_comes_from_a_registry_and_is_copied_and_unpacked() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let image = image(
        &env,
        &[("etc/motd", "hello"), ("usr/bin/x", "x"), ("sysroot/y", "y")],
    );
    let (server, name, _) = image.registry();
    let mut manifest = tree_of(json!([
        {
            "type": "org.osbuild.container-deploy", "inputs": image.input("org.osbuild.containers"),
            "options": {"exclude": ["/sysroot"]},
        },
        skopeo_stage(&image, json!({"type": "oci", "path": "/images/oci"})),
        skopeo_stage(&image, json!({"type": "dir", "path": "/images/dir"})),
        skopeo_stage(&image, json!({"type": "oci-archive", "path": "/images/x.tar"})),
    ]));
    manifest["sources"] = image.source(&name);
    env.build(&manifest, &["--export", "tree"]).expect(0);
    let tree = env.out().join("tree");
    assert_eq!(read(tree.join("etc/motd")), "hello");
    assert!(!tree.join("sysroot").exists());
    for place in [
        "oci:out/tree/images/oci",
        "dir:out/tree/images/dir",
        "oci-archive:out/tree/images/x.tar",
    ] {
        let config = skopeo(&env, &["inspect", "--raw", "--config", place]);
        assert_eq!(sha256(config), image.0.id, "{place}");
    }
    // where and how the Python osbuild keeps it
    let stored = env
        .store()
        .join("sources/org.osbuild.containers")
        .join(&image.0.id);
    assert!(stored.join("image/manifest.json").is_file());
    let asked = server.requests().len();
    manifest["pipelines"][0]["stages"][0]["options"] = json!({});
    env.build(&manifest, &[]).expect(0);
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn another_image_than_the_one_named_does_not_enter_the_store() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let mut image = image(&env, &[("a", "1")]);
    let (_server, name, _) = image.registry();
    let right = image.0.id.clone();
    image.0.id = sha256("another one");
    let mut manifest = tree_of(json!([skopeo_stage(
        &image,
        json!({"type": "dir", "path": "/x"})
    )]));
    manifest["sources"] = image.source(&name);
    env.build(&manifest, &[]).expect(1).says(&[&right, &image.0.id]);
    let left = fs::read_dir(env.store().join("sources/org.osbuild.containers")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_list_of_images_is_kept_with_its_image() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let image = image(&env, &[("a", "1")]);
    let (_server, name, list) = image.registry();
    let mut stage = skopeo_stage(&image, json!({"type": "dir", "path": "/x"}));
    stage["inputs"]["manifest-lists"] =
        json!({"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [&list]});
    let mut manifest = tree_of(json!([stage]));
    manifest["sources"] = image.source(&name);
    let item = json!({"image": {"name": name, "tls-verify": false}});
    manifest["sources"]["org.osbuild.skopeo-index"] = json!({"items": {&list: item}});
    env.build(&manifest, &["--export", "tree"]).expect(0);
    let stored = fs::read(env.store().join("sources/org.osbuild.files").join(&list)).unwrap();
    assert_eq!(sha256(stored), list);
}

#[test]
fn a_storage_in_the_tree_can_be_used() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let image = image(&env, &[("etc/motd", "hello")]);
    let (_server, name, _) = image.registry();
    for driver in ["vfs", "overlay"] {
        let destination = json!({"type": "containers-storage", "storage-driver": driver});
        let mut manifest = tree_of(json!([skopeo_stage(&image, destination)]));
        manifest["sources"] = image.source(&name);
        env.build(&manifest, &["--export", "tree"]).expect(0);
        let storage = format!(
            "containers-storage:[{driver}@{}+{}]localhost/deployed:latest",
            env.out().join("tree/var/lib/containers/storage").display(),
            env.path("run").display()
        );
        // the driver mounts what it reads: in a mount table that goes with it
        let mut command = env.command("unshare");
        command.args(["-m", "skopeo", "inspect", "--raw", "--config", &storage]);
        let config = run(&mut command, b"", Duration::from_secs(300)).expect(0).stdout;
        assert_eq!(sha256(config), image.0.id, "{driver}");
        fs::remove_dir_all(env.out()).unwrap();
    }
}

#[test]
fn an_image_of_the_machines_storage_is_given_to_stages() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let image = image(&env, &[("etc/motd", "hello")]);
    let dir = env.path("image");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("manifest.json"), &image.0.manifest).unwrap();
    fs::write(dir.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    for blob in &image.0.blobs {
        fs::write(dir.join(sha256(blob).trim_start_matches("sha256:")), blob).unwrap();
    }
    let (root, run_root) = (env.path("storage"), env.path("run"));
    let storage = format!(
        "containers-storage:[vfs@{}+{}]",
        root.display(),
        run_root.display()
    );
    skopeo(
        &env,
        &["copy", "dir:image", &format!("{storage}localhost/here:latest")],
    );
    let configuration = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        root.display(),
        run_root.display()
    );
    let configuration = env.write("storage.conf", configuration);
    let mut stage = skopeo_stage(&image, json!({"type": "oci", "path": "/oci"}));
    stage["inputs"] = image.input("org.osbuild.containers-storage");
    let build = |id: &str| {
        let mut manifest = tree_of(json!([stage]));
        manifest["sources"] = json!({"org.osbuild.containers-storage": {"items": {id: {}}}});
        if id != image.0.id {
            let references = json!({id: {"name": "x"}});
            manifest["pipelines"][0]["stages"][0]["inputs"]["images"]["references"] = references;
        }
        let mut command = env.build_command();
        command
            .args(["--export", "tree"])
            .env("CONTAINERS_STORAGE_CONF", &configuration);
        run(
            &mut command,
            manifest.to_string().as_bytes(),
            Duration::from_secs(300),
        )
    };
    build(&image.0.id).expect(0);
    let config = skopeo(&env, &["inspect", "--raw", "--config", "oci:out/tree/oci"]);
    assert_eq!(sha256(config), image.0.id);
    let absent = sha256("absent");
    build(&absent).expect(1).says(&[&absent, "not in the storage"]);
}

#[test]
fn an_image_made_of_trees_is_one_and_can_be_unpacked() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let made = |name: &str, path: &str| {
        json!({"name": name, "stages": [{
            "type": "org.osbuild.mkdir", "options": {"paths": [{"path": path}]},
        }]})
    };
    let tree = |name: &str| json!({"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [format!("name:{name}")]});
    let manifest = json!({"version": "2", "pipelines": [
        made("one", "/one"),
        made("two", "/two"),
        {"name": "image", "source-epoch": 1_700_000_000, "stages": [{
            "type": "org.osbuild.oci-archive",
            "inputs": {"base": tree("one"), "layer.1": tree("two")},
            "options": {"architecture": "amd64", "filename": "image.tar"},
        }]},
        {"name": "tree", "stages": [{
            "type": "org.osbuild.container-deploy",
            "inputs": {"images": {
                "type": "org.osbuild.containers", "origin": "org.osbuild.pipeline",
                "references": {"name:image": {"name": "localhost/x"}},
            }},
        }]},
    ]});
    env.build(&manifest, &["--export", "tree", "--export", "image"])
        .expect(0);
    assert!(env.out().join("tree/one").is_dir() && env.out().join("tree/two").is_dir());
    // skopeo checks every layer against the configuration
    skopeo(&env, &["copy", "oci-archive:out/image/image.tar", "dir:copied"]);
}

#[test]
fn a_killed_download_leaves_nothing_for_long() {
    if unfit() {
        return;
    }
    let env = TestEnv::new();
    let image = image(&env, &[("large", &"x".repeat(3_000_000))]);
    let (server, name, _) = image.registry();
    let layer = &image.0.blobs[0];
    let path = oci::place("blobs", layer);
    server.set(&path, Reply::Stall(layer.clone(), 1_000_000));
    let mut manifest = tree_of(json!([skopeo_stage(
        &image,
        json!({"type": "dir", "path": "/x"})
    )]));
    manifest["sources"] = image.source(&name);
    let mut command = env.build_command();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(manifest.to_string().as_bytes())
        .unwrap();
    while server.next_request(Duration::from_secs(60)) != path {}
    child.kill().unwrap();
    child.wait().unwrap();
    // the next run collects what there is, and takes nothing half for whole
    server.set(&path, Reply::Content(layer.clone()));
    env.build(&manifest, &["--export", "tree"]).expect(0);
    let left = fs::read_dir(env.store().join("sources/org.osbuild.containers")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [std::ffi::OsString::from(&image.0.id)]);
}
