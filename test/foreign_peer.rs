//! The Python osbuild's own modules make under us what they make under it, where `PEER_OSBUILD` names a checkout of it: the same
//! document, the same trees; the same files, tables and file systems in archives and images.
//!
//! Where the Python osbuild itself cannot run (it needs bubblewrap, Python's `jsonschema` and `/etc/containers`), what comes out is
//! only looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::listing::{Item, list};
use tests::manifests::sha256;
use tests::oracle::{self, tool};
use tests::{Run, SmallDisk, TestEnv, need, run};

use crate::conformance::archive::{content, masked};
use crate::conformance::recordings::{essence, without};

const LIMIT: Duration = Duration::from_secs(900);
const UUID: &str = "6e4ff95f-f662-45ee-a82a-bdf44a2d0b75";

/// What the name of an image ends with.
const IMAGES: [&str; 7] = ["img", "raw", "qcow2", "vdi", "vmdk", "vpc", "vhdx"];

/// Both of them, with its modules.
struct Both {
    env: TestEnv,
    checkout: PathBuf,
    /// The Python that can run the other one.
    python: Option<&'static str>,
}

impl Both {
    fn new(what: &str) -> Option<Self> {
        let Some(checkout) = std::env::var_os("PEER_OSBUILD").filter(|path| !path.is_empty()) else {
            eprintln!("skipped: {what}: PEER_OSBUILD names no checkout");
            return None;
        };
        let tools = ["python3", "sfdisk", "mke2fs", "qemu-img", "blkid"];
        if !need::root(what) || !need::tools(&tools, what) {
            return None;
        }
        let runs = |python: &&str| {
            let imports = Command::new(python).args(["-c", "import jsonschema"]).output();
            imports.is_ok_and(|output| output.status.success())
        };
        let able = need::tools(&["bwrap", "unshare"], "runs of the Python osbuild")
            && Path::new("/etc/containers").is_dir();
        let python = ["python3", "/usr/bin/python3"].into_iter().find(runs);
        let python = python.filter(|_| able);
        if python.is_none() {
            eprintln!("{what}: the Python osbuild cannot run here, nothing is compared");
        }
        Some(Self {
            env: TestEnv::new(),
            checkout: checkout.into(),
            python,
        })
    }

    fn arguments<'a>(&self, command: &'a mut Command, who: &str, exports: &[&str]) -> &'a mut Command {
        command.arg("--libdir").arg(&self.checkout).arg("--json");
        command.arg("--store").arg(self.env.path(format!("store-{who}")));
        command.arg("--output-directory").arg(self.env.path(who));
        for export in exports {
            command.args(["--export", export]);
        }
        command.arg("-")
    }

    /// Builds under both of them; the directory with our exports. They are gone with the next build.
    fn build(&self, manifest: &Value, exports: &[&str], code: i32) -> PathBuf {
        let (ours, theirs) = (self.env.path("ours"), self.env.path("theirs"));
        for dir in ["ours", "theirs", "store-ours", "store-theirs"] {
            let _ = fs::remove_dir_all(self.env.path(dir));
        }
        let text = manifest.to_string();
        let mut command = self.env.command(self.env.binaries().osbuild());
        let of_ours = run(
            self.arguments(&mut command, "ours", exports),
            text.as_bytes(),
            LIMIT,
        )
        .expect(code);
        if let Some(python) = self.python {
            let mut command = self.env.command("unshare");
            // whatever it mounts ends with it
            command.args(["--mount", python, "-m", "osbuild"]);
            command.env("PYTHONPATH", &self.checkout);
            let of_theirs = self.arguments(&mut command, "theirs", exports);
            let of_theirs = run(of_theirs, text.as_bytes(), LIMIT).expect(code);
            let compared = |run: &Run| without(&essence(&run.json()), "output");
            assert_eq!(compared(&of_ours), compared(&of_theirs), "{of_ours}\n{of_theirs}");
            if code == 0 {
                let ours = tree(&ours, &self.env.path("scratch"));
                let theirs = tree(&theirs, &self.env.path("scratch"));
                assert!(ours == theirs, "{}", difference(&ours, &theirs));
            }
        }
        ours
    }
}

fn difference(ours: &[String], theirs: &[String]) -> String {
    let only = |these: &[String], those: &[String]| {
        let only = these.iter().filter(|line| !those.contains(line));
        only.map(String::as_str).collect::<Vec<_>>().join("\n  ")
    };
    format!(
        "ours:\n  {}\ntheirs:\n  {}",
        only(ours, theirs),
        only(theirs, ours)
    )
}

/// All that is to be said of a directory, but for times. `scratch` is used and removed.
fn tree(dir: &Path, scratch: &Path) -> Vec<String> {
    let line = |(path, item): (PathBuf, Item)| {
        let said = match item.kind {
            "file" => file(&dir.join(&path), &item.content, scratch),
            _ => vec![item.content],
        };
        // the names of files in containers are digests of what has times in it
        let path = masked(&path.to_string_lossy());
        let first = masked(&item.first.to_string_lossy());
        let start = format!(
            "{path}: {} {:04o} {}:{} {:?} {first}",
            item.kind, item.mode, item.uid, item.gid, item.xattrs
        );
        said.into_iter()
            .map(move |said| format!("{start} {said}"))
            .collect::<Vec<_>>()
    };
    let mut lines: Vec<String> = list(dir).into_iter().flat_map(line).collect();
    lines.sort();
    lines
}

/// All that is to be said of a file: what is in it, or its `digest`.
fn file(path: &Path, digest: &str, scratch: &Path) -> Vec<String> {
    fs::create_dir(scratch).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let said = if let Some(name) = name.strip_suffix(".xz") {
        let uncompressed = scratch.join(name);
        let output = fs::File::create(&uncompressed).unwrap();
        let status = Command::new("xz").arg("-dc").arg(path).stdout(output).status();
        assert!(status.unwrap().success());
        file(&uncompressed, "", &scratch.join("in"))
    } else if IMAGES.iter().any(|end| name.ends_with(&format!(".{end}"))) {
        let format = &oracle::qemu_img_info(path).unwrap()["format"];
        let raw = scratch.join("image");
        oracle::to_raw(path, &raw).unwrap();
        let said = image(&raw, &scratch.join("mounted"));
        said.into_iter().map(|line| format!("{format} {line}")).collect()
    } else {
        let head = fs::read(path).unwrap();
        let said = content(&head, false, scratch);
        match said.contains("tar of") {
            true => unpacked(path, &scratch.join("tar")),
            false if said.starts_with("description") => vec![undated(&said)],
            false => vec![digest.to_owned()],
        }
    };
    fs::remove_dir_all(scratch).unwrap();
    said
}

/// A description in a container, without when it was made.
fn undated(said: &str) -> String {
    let parts = said.split(',').map(|part| match part.split_once("\"created\":") {
        Some((before, _)) => before,
        None => part,
    });
    parts.collect::<Vec<_>>().join(",")
}

/// What is in an archive, one in it included.
fn unpacked(archive: &Path, dir: &Path) -> Vec<String> {
    fs::create_dir(dir).unwrap();
    let options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];
    tool(Command::new("tar").args(options).arg(archive).arg("-C").arg(dir)).unwrap();
    tree(dir, &dir.with_extension("scratch"))
}

/// The table of a raw image, to the byte, and its file systems.
fn image(raw: &Path, mounted: &Path) -> Vec<String> {
    let Ok(partitions) = oracle::partitions(raw) else {
        return file_system(raw, 0, raw.metadata().unwrap().len(), mounted);
    };
    let bytes = fs::read(raw).unwrap();
    let first = partitions.iter().map(|partition| partition.start).min();
    let table = &bytes[..usize::try_from(first.unwrap()).unwrap()];
    let mut lines = vec![format!(
        "{} bytes, before the first partition {}",
        bytes.len(),
        sha256(table)
    )];
    for partition in partitions {
        lines.push(format!("{partition:?}"));
        let said = file_system(raw, partition.start, partition.size, mounted);
        lines.extend(
            said.into_iter()
                .map(|line| format!("at {}: {line}", partition.start)),
        );
    }
    lines
}

fn file_system(raw: &Path, start: u64, size: u64, mounted: &Path) -> Vec<String> {
    let mut blkid = Command::new("blkid");
    blkid.args(["-p", "-s", "TYPE", "-s", "UUID", "-s", "LABEL", "-o", "export"]);
    blkid.args(["-O", &start.to_string(), "-S", &size.to_string()]);
    let found = tool(blkid.arg(raw)).unwrap();
    let mut lines: Vec<String> = found
        .lines()
        .filter(|line| !line.starts_with("DEVNAME"))
        .map(str::to_owned)
        .collect();
    let kind = lines
        .iter()
        .find_map(|line| line.strip_prefix("TYPE="))
        .unwrap_or_default();
    let disk = SmallDisk::of_image_as(mounted, raw, start, kind).unwrap();
    lines.extend(tree(mounted, &mounted.with_extension("scratch")));
    drop(disk);
    lines
}

#[test]
fn its_stages_make_the_same_disk() {
    let Some(both) = Both::new("the peer's stages") else {
        return;
    };
    let env = &both.env;
    let loopback = |more: Value| {
        let mut options = json!({"filename": "disk.img"});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"type": "org.osbuild.loopback", "options": options})
    };
    let (start, size) = (2048, 65536);
    let part = loopback(json!({"start": start, "size": size, "lock": true}));
    for (name, content) in [
        ("usr/share/greeting", "hello\n"),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/shadow", "root:*:20000::::::\n"),
        ("etc/gshadow", "root:*::\n"),
    ] {
        env.write(&format!("tar/{name}"), content);
    }
    let archive = env.path("greeting.tar");
    tool(
        env.command("tar")
            .args(["-C", "tar", "-cf"])
            .arg(&archive)
            .args(["etc", "usr"]),
    )
    .unwrap();
    let checksum = sha256(fs::read(&archive).unwrap());
    let data = tool(Command::new("base64").arg("-w0").arg(&archive)).unwrap();
    let manifest = json!({
        "version": "2",
        "sources": {"org.osbuild.inline": {"items": {checksum.clone(): {"encoding": "base64", "data": data}}}},
        "pipelines": [
            {"name": "tree", "stages": [
                {"type": "org.osbuild.untar", "inputs": {"file": {
                    "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [checksum],
                }}},
                {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/srv", "mode": 0o750}]}},
                {"type": "org.osbuild.copy", "inputs": {"file": {
                    "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [checksum],
                }}, "options": {"paths": [{"from": format!("input://file/{checksum}"), "to": "tree:///srv/archive"}]}},
                {"type": "org.osbuild.users", "options": {"users": {"ada": {"uid": 1001, "home": "/srv/ada"}}}},
            ]},
            {"name": "image", "stages": [
                {"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "64M"}},
                {"type": "org.osbuild.sfdisk", "devices": {"device": loopback(json!({"lock": true}))}, "options": {
                    "label": "dos", "uuid": "0x14fc63d2",
                    "partitions": [{"start": start, "size": size, "type": "83"}],
                }},
                {"type": "org.osbuild.mkfs.ext4", "devices": {"device": part}, "options": {"uuid": UUID, "label": "root"}},
                {"type": "org.osbuild.copy", "devices": {"disk": part},
                 "mounts": [{"name": "root", "type": "org.osbuild.ext4", "source": "disk", "target": "/"}],
                 "inputs": {"tree": {
                    "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"],
                 }},
                 "options": {"paths": [{"from": "input://tree/", "to": "mount://root/"}]}},
            ]},
            {"name": "qcow2", "stages": [{"type": "org.osbuild.qemu",
                "inputs": {"image": {
                    "type": "org.osbuild.files", "origin": "org.osbuild.pipeline",
                    "references": {"name:image": {"file": "disk.img"}},
                }},
                "options": {"filename": "disk.qcow2", "format": {"type": "qcow2"}},
            }]},
        ],
    });
    let out = both.build(&manifest, &["tree", "image", "qcow2"], 0);
    let raw = env.path("disk.raw");
    oracle::to_raw(&out.join("qcow2/disk.qcow2"), &raw).unwrap();
    assert_eq!(oracle::partitions(&raw).unwrap().len(), 1);
    oracle::e2fsck(&raw, start * 512).unwrap();
    let read = |file: &str| oracle::ext4_file(&raw, start * 512, file).unwrap();
    assert_eq!(read("/usr/share/greeting"), "hello\n");
    assert!(read("/etc/passwd").contains("\nada:x:1001:"));
}

/// A manifest of format 1 with this assembler, and a tree that has something in it.
fn assembled(name: &str, options: &Value) -> Value {
    json!({"pipeline": {
        "stages": [
            {"name": "org.osbuild.resolv-conf", "options": {"nameserver": ["9.9.9.9"]}},
            {"name": "org.osbuild.kernel-cmdline", "options": {"root_fs_uuid": UUID, "kernel_opts": "quiet"}},
        ],
        "assembler": {"name": name, "options": options},
    }})
}

#[test]
fn its_assemblers_make_the_same_archives_and_file_systems() {
    let Some(both) = Both::new("the peer's assemblers") else {
        return;
    };
    let rawfs = |kind: &str, size: u64| json!({"filename": "r.img", "root_fs_uuid": UUID, "size": size << 20, "fs_type": kind});
    let oci = json!({"architecture": "amd64", "filename": "c.tar", "config": {"Cmd": ["/bin/true"]}});
    let assemblers = [
        ("org.osbuild.tar", json!({"filename": "r.tar"}), "r.tar"),
        (
            "org.osbuild.tar",
            json!({"filename": "r.tar.gz", "compression": "gzip"}),
            "r.tar.gz",
        ),
        ("org.osbuild.rawfs", rawfs("ext4", 32), "r.img"),
        ("org.osbuild.rawfs", rawfs("xfs", 320), "r.img"),
        ("org.osbuild.rawfs", rawfs("btrfs", 160), "r.img"),
        ("org.osbuild.oci-archive", oci, "c.tar"),
    ];
    for (name, options, file) in assemblers {
        let out = both.build(&assembled(name, &options), &["tree", "assembler"], 0);
        assert!(
            out.join("assembler").join(file).is_file(),
            "{name} made no {file}"
        );
    }
    both.build(
        &assembled("org.osbuild.noop", &json!({})),
        &["tree", "assembler"],
        0,
    );
    both.build(&assembled("org.osbuild.error", &json!({})), &["assembler"], 1);
    let commit = assembled("org.osbuild.ostree.commit", &json!({"ref": "test/x86_64/main"}));
    // without that it ends with the same failure
    let code = i32::from(!need::tools(
        &["rpm-ostree"],
        "the assembler of commits, to its end",
    ));
    both.build(&commit, &["assembler"], code);
}

#[test]
fn its_assembler_of_disks_makes_the_same_in_all_formats() {
    let Some(both) = Both::new("the peer's assembler of disks") else {
        return;
    };
    let qemu = |format: &str, kind: &str, sectors: u64| {
        json!({
            "format": format, "filename": format!("d.{format}"), "size": (sectors + 4096) * 512,
            "ptuuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0", "pttype": "gpt",
            "partitions": [{
                "start": 2048, "size": sectors, "type": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
                "uuid": "6264D520-3FB9-423F-8AB8-7A0A8E3D3562",
                "filesystem": {"type": kind, "uuid": UUID, "mountpoint": "/", "label": "root"},
            }],
        })
    };
    let small =
        ["raw", "raw.xz", "qcow2", "vdi", "vmdk", "vpc", "vhdx"].map(|format| (format, "ext4", 100_000));
    for (format, kind, sectors) in small
        .into_iter()
        .chain([("raw", "xfs", 700_000), ("raw", "btrfs", 300_000)])
    {
        let manifest = assembled("org.osbuild.qemu", &qemu(format, kind, sectors));
        let out = both.build(&manifest, &["assembler"], 0);
        if (format, kind) == ("raw", "ext4") {
            oracle::e2fsck(&out.join("assembler/d.raw"), 2048 * 512).unwrap();
        }
    }
}
