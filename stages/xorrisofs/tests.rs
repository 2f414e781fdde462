use std::path::Path;
use std::process::Command;

use module::Tree;
use serde_json::{Value, json};

use super::*;

/// The command lines that were recorded of the peer.
#[test]
fn command_lines_are_the_recorded_ones() {
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/commands/org.osbuild.xorrisofs");
    let Ok(cases) = std::fs::read_dir(&dir) else {
        println!("skipped: there is no {}", dir.display());
        return;
    };
    let input = tempfile::tempdir().unwrap();
    let tree = Tree::open(input.path()).unwrap();
    tree.mkdir_all("images").unwrap();
    tree.write("images/efiboot.img", "").unwrap();
    for case in cases {
        let text = std::fs::read_to_string(case.unwrap().path()).unwrap();
        let text = text.replace("{inputs}/tree", input.path().to_str().unwrap());
        let case: Value = serde_json::from_str(&text).unwrap();
        let options: Options = serde_json::from_value(case["options"].clone()).unwrap();
        let mut line = arguments::of(&options, &tree).unwrap();
        line.insert(0, "/usr/bin/xorrisofs".into());
        line.extend(["-o".into(), format!("{{tree}}/{}", options.filename)]);
        line.push(input.path().display().to_string());
        assert_eq!(json!(line), case["commands"][0]["argv"], "{}", case["case"]);
    }
}

/// Oracles: xorriso reads the image, checkisomd5 its checksum.
#[test]
fn the_image_is_read_back_and_the_same_each_time() {
    if !Path::new("/usr/bin/xorrisofs").exists() {
        println!("skipped: there is no xorrisofs");
        return;
    }
    let from = tempfile::tempdir().unwrap();
    let images = [1, 2].map(|round| {
        std::fs::create_dir_all(from.path().join("isolinux")).unwrap();
        std::fs::write(from.path().join("isolinux/isolinux.bin"), vec![round; 4096]).unwrap();
        std::fs::write(from.path().join("isolinux/isolinux.bin"), vec![0; 4096]).unwrap();
        // checkisomd5 fails on images below a megabyte
        let content: Vec<u8> = (0..3_000_000u32)
            .map(|i| (i.wrapping_mul(i) >> 7) as u8)
            .collect();
        std::fs::write(from.path().join("A file with a long name.text"), content).unwrap();
        let out = tempfile::tempdir().unwrap();
        let options = json!({
            "filename": "/a.iso", "volid": "VOLUME", "isolevel": 3,
            "boot": {"image": "isolinux/isolinux.bin", "catalog": "isolinux/boot.cat"},
        });
        let document = json!({
            "tree": out.path(), "inputs": {"tree": {"path": from.path()}}, "options": options,
            "meta": {"source-epoch": 1_000_000_000},
        });
        (MODULE.run)(document).unwrap();
        let list = Command::new("xorriso")
            .args(["-indev", "a.iso", "-find", "/", "-exec", "lsdl"])
            .current_dir(out.path())
            .output()
            .unwrap();
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(
            list.contains("A file with a long name.text") && list.contains("Sep  9  2001"),
            "{list}"
        );
        let image = std::fs::read(out.path().join("a.iso")).unwrap();
        if Command::new("implantisomd5").arg("--help").output().is_ok() {
            let document = json!({"tree": out.path(), "options": {"filename": "/a.iso"}});
            (crate::implantisomd5::MODULE.run)(document).unwrap();
            let check = Command::new("checkisomd5")
                .arg("a.iso")
                .current_dir(out.path())
                .status();
            assert!(check.unwrap().success());
        }
        image
    });
    assert!(images[0] == images[1]);
}
