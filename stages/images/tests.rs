use std::io::Write;

use serde_json::json;

use super::*;
use module::Tree;

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A layer: names and contents, a directory without content.
fn layer(entries: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_uid(3);
        header.set_gid(4);
        header.set_mtime(1000);
        header.set_mode(0o755);
        let content = match content {
            Some(content) => content.as_bytes(),
            None => {
                header.set_entry_type(tar::EntryType::Directory);
                b""
            }
        };
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// An image of these layers in the format `dir`.
fn image(dir: &Path, layers: &[Vec<u8>]) -> Image {
    let mut described = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let blob = match number % 2 {
            0 => layer.clone(),
            _ => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(layer).unwrap();
                gzip.finish().unwrap()
            }
        };
        std::fs::write(dir.join(digest(&blob)), &blob).unwrap();
        described.push(json!({"digest": format!("sha256:{}", digest(&blob))}));
    }
    let manifest = json!({"schemaVersion": 2, "layers": described});
    std::fs::write(dir.join(MANIFEST), manifest.to_string()).unwrap();
    Image {
        id: "x".into(),
        name: "x".into(),
        format: Format::Dir,
        path: dir.to_owned(),
        list: None,
        driver: String::new(),
    }
}

fn unpacked(layers: &[Vec<u8>]) -> (tempfile::TempDir, Result<Tree>) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["image", "tree"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    let tree = Tree::open(dir.path().join("tree")).unwrap();
    let image = image(&dir.path().join("image"), layers);
    let result = unpack(&image, &tree).map(|()| tree);
    (dir, result)
}

#[test]
fn layers_lie_on_each_other() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_dir, tree) = unpacked(&[
        layer(&[
            ("etc", None),
            ("etc/a", Some("1")),
            ("etc/b", Some("2")),
            ("opt", None),
            ("opt/x", Some("x")),
            ("dir/below", Some("")),
        ]),
        layer(&[
            ("etc/.wh.a", Some("")),
            ("opt/y", Some("y")),
            ("opt/.wh..wh..opq", Some("")),
            ("dir", Some("now a file")),
        ]),
    ]);
    let tree = tree.unwrap();
    assert_eq!(tree.list("etc").unwrap(), ["b"]);
    assert_eq!(tree.list("opt").unwrap(), ["y"]);
    assert_eq!(tree.read_text("dir").unwrap(), "now a file");
    let stat = tree.stat("etc").unwrap().unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode), (3, 4, 0o755));
}

#[test]
fn a_layer_cannot_leave_the_tree() {
    let (dir, tree) = unpacked(&[{
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        tar.append_link(&mut header, "out", "../..").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        tar.append_data(&mut header, "out/escaped", &b"x"[..]).unwrap();
        tar.into_inner().unwrap()
    }]);
    if let Ok(tree) = tree {
        assert!(tree.is_file("escaped"));
    }
    assert!(!dir.path().join("escaped").exists());
}

#[test]
fn a_damaged_layer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tree")).unwrap();
    let content = layer(&[("a", Some("1"))]);
    let image = image(dir.path(), std::slice::from_ref(&content));
    std::fs::write(dir.path().join(digest(&content)), layer(&[("a", Some("2"))])).unwrap();
    let error = unpack(&image, &Tree::open(dir.path().join("tree")).unwrap()).unwrap_err();
    assert!(format!("{error:#}").contains("it has the digest"), "{error:#}");
}
