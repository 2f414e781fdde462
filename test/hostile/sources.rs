//! What comes from outside: downloads, and archives of strangers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::manifests::{copy_of, fetching, sha256, tree_of};
use tests::{Run, SmallDisk, need};

use super::Hostile;

/// A server that answers every request with this head and then, a piece at a time, with what `pieces` makes of its number; until
/// the client goes. It lives as long as the test's process.
fn server(head: String, piece: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let piece = std::sync::Arc::new(piece);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (head, piece) = (head.clone(), std::sync::Arc::clone(&piece));
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let mut done = stream.write_all(head.as_bytes());
                for number in 0.. {
                    let Some(bytes) = piece(number).filter(|_| done.is_ok()) else {
                        return;
                    };
                    done = stream.write_all(&bytes);
                }
            });
        }
    });
    address
}

/// A server that redirects to `to`.
fn redirecting(to: &str) -> SocketAddr {
    let head =
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    server(head, |_| None)
}

fn from(url: &str, content: &str) -> Value {
    fetching("org.osbuild.curl", vec![(sha256(content), json!({"url": url}))])
}

#[test]
fn item_39_other_content_than_was_named_does_not_enter() {
    let Some(hostile) = Hostile::new("sources") else {
        return;
    };
    let address = server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into(), |number| {
        (number == 0).then(|| b"other".to_vec())
    });
    let manifest = from(&format!("http://{address}/"), "wanted");
    let (wanted, got) = (sha256("wanted"), sha256("other"));
    hostile.run(&manifest, &[]).expect(1).says(&[&wanted, &got]);
    let kept = |store: &str| {
        hostile
            .env
            .path(store)
            .join("sources/org.osbuild.files")
            .join(&wanted)
    };
    assert!(!kept("store").exists());
    hostile.lifted(&["checksums"], &manifest, &[]).expect(0);
    assert_eq!(fs::read(kept("lifted")).unwrap(), b"other");
    hostile.forget_lifted();
}

#[test]
fn item_39_a_redirection_leads_to_no_file_of_the_machine() {
    let Some(hostile) = Hostile::new("redirections") else {
        return;
    };
    let file = hostile.outside().join("file");
    let content = fs::read_to_string(&file).unwrap();
    let url = format!("file://{}", file.display());
    let manifest = from(&format!("http://{}/", redirecting(&url)), &content);
    let run = hostile.run(&manifest, &[]).expect(1);
    run.says(&["source org.osbuild.curl failed"]);
    // it is there to be had by who goes wherever a server says
    if need::tools(&["curl"], "a client that goes to files") {
        let mut curl = hostile.env.command("curl");
        curl.args(["-sSL", "--noproxy", "*", "--proto-redir", "=http,file"]);
        let got = tests::oracle::tool(curl.arg(format!("http://{}/", redirecting(&url)))).unwrap();
        assert_eq!(got, content);
    }
    // other redirections are followed
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
    let served = content.clone().into_bytes();
    let real = server(head, move |number| (number == 0).then(|| served.clone()));
    let to = format!("http://{}/", redirecting(&format!("http://{real}/")));
    hostile.run(&from(&to, &content), &[]).expect(0);
    // who wrote the manifest may name the file
    let _ = fs::remove_dir_all(hostile.env.store());
    hostile.run(&from(&url, &content), &[]).expect(0);
}

#[test]
fn item_39_a_redirection_leads_to_no_address_of_the_link() {
    let Some(hostile) = Hostile::new("redirections") else {
        return;
    };
    // the address at which clouds tell a machine its secrets, with the test's own server behind it
    let build = |defences: &[&str], name: &str| {
        let outer = format!(
            "ip link set lo up && ip address add 169.254.169.254/32 dev lo && exec python3 \"$0\" {} \"$@\"",
            fs::canonicalize(hostile.env.path("")).unwrap().display()
        );
        let mut inner = hostile.lifted_command(defences);
        inner.args(["--json", "-"]);
        let mut command = hostile.env.command("unshare");
        command.args(["--net", "sh", "-c", &outer]);
        command.arg(hostile.env.write("metadata.py", METADATA)).arg(name);
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            value.map(|value| command.env(name, value));
        }
        let manifest = from("http://127.0.0.1:8001/", "the machine's secret");
        let run = tests::run(&mut command, manifest.to_string().as_bytes(), super::LIMIT);
        let asked = hostile.env.path(name).exists();
        hostile.forget_lifted();
        (run, asked)
    };
    if !need::tools(&["ip"], "redirections to addresses of the link") {
        return;
    }
    let (run, asked) = build(&[], "asked-plain");
    assert!(run.code == 1 && !asked, "{run}");
    assert!(
        run.stdout.contains("an address of the machine's own link"),
        "{run}"
    );
    let (run, asked) = build(&["link-local"], "asked-lifted");
    assert!(run.code == 0 && asked, "{run}");
}

/// Two servers, one of which redirects to the other; then a program. `argv`: directory, a file that is made when the second one is
/// asked, the program.
const METADATA: &str = r#"
import http.server, os, subprocess, sys, threading
place = os.path.join(sys.argv[1], sys.argv[2])
class Redirecting(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", "http://169.254.169.254:8002/latest")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
class Metadata(Redirecting):
    def do_GET(self):
        open(place, "w").close()
        content = b"the machine's secret"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
for address, handler in [(("127.0.0.1", 8001), Redirecting), (("169.254.169.254", 8002), Metadata)]:
    server = http.server.ThreadingHTTPServer(address, handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(subprocess.call(sys.argv[3:]))
"#;

#[test]
fn item_39_a_server_that_never_ends_fills_no_disk_for_good() {
    let Some(hostile) =
        Hostile::new("endless servers").filter(|_| need::tools(&["mke2fs"], "endless servers"))
    else {
        return;
    };
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let address = server(head.into(), |_| Some(vec![b'x'; 1 << 16]));
    let disk = SmallDisk::ext4(&hostile.env.store(), &hostile.env.path("disk"), 24).unwrap();
    let manifest = from(&format!("http://{address}/"), "wanted");
    hostile
        .run(&manifest, &[])
        .expect(1)
        .says(&["o space left on device"]);
    // what had come is given back
    let du = Command::new("du")
        .arg("-sm")
        .arg(hostile.env.store())
        .output()
        .unwrap();
    let text = String::from_utf8(du.stdout).unwrap();
    let mebibytes: u32 = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!(mebibytes < 5, "{text}");
    // one that ends is taken, on this disk
    let address = server(head.into(), |number| (number < 16).then(|| vec![b'x'; 1 << 16]));
    let manifest = from(&format!("http://{address}/"), &"x".repeat(1 << 20));
    hostile.run(&manifest, &[]).expect(0);
    drop(disk);
}

#[test]
fn item_39_a_server_that_is_too_slow_is_left() {
    let Some(hostile) = Hostile::new("slow servers") else {
        return;
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\nConnection: close\r\n\r\n";
    // a byte a second: it would have all of it sent after 40
    let address = server(head.into(), |number| {
        std::thread::sleep(Duration::from_secs(1));
        (number < 40).then(|| b"x".to_vec())
    });
    let manifest = from(&format!("http://{address}/"), &"x".repeat(40));
    std::thread::scope(|scope| {
        let plain = scope.spawn(|| hostile.run(&manifest, &[]));
        let begun = Instant::now();
        hostile.lifted(&["pace"], &manifest, &[]).expect(0);
        assert!(begun.elapsed() >= Duration::from_secs(39));
        let run: Run = plain.join().unwrap();
        run.expect(1)
            .says(&["less than 1000 bytes a second came for 30s"]);
    });
    hostile.forget_lifted();
}

/// What writes archives of any members. `argv`: a directory that they want to reach.
const MAKERS: &str = r#"
import hashlib, io, json, os, sys, tarfile
def archive(name, *members, **options):
    with tarfile.open(name + ".tar", "w", **options) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
def file(name, content=b"hostile", **pax):
    info = tarfile.TarInfo(name)
    info.pax_headers = pax
    return info, content
def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""
def directory(name):
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info, b""
def device(name):
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = tarfile.BLKTYPE, 7, 99
    return info, b""
"#;

/// Writes archives with a member that wants out, after [`MAKERS`].
const ARCHIVES: &str = r#"
archive("dots", file("a/../../escaped"))
archive("absolute", file(sys.argv[1] + "/escaped"))
archive("link", link("l", sys.argv[1]), file("l/escaped"))
archive("relative-link", link("l", ".."), file("l/escaped"))
archive("hard-link", link("h", sys.argv[1] + "/secret", tarfile.LNKTYPE), file("h", b"changed"))
archive("hard-dots", link("h", "../secret", tarfile.LNKTYPE), file("h", b"changed"))
archive("pax", file("innocent", path="../escaped"), format=tarfile.PAX_FORMAT)
archive("twice", link("d", ".."), file("d/escaped"), file("d/escaped"))
sparse = {"GNU.sparse.name": "../escaped", "GNU.sparse.map": "0,7", "GNU.sparse.size": "7"}
archive("sparse", file("innocent", **sparse), format=tarfile.PAX_FORMAT)
archive("device", link("l", ".."), device("l/escaped"))
archive("device-before-link", directory("d"), device("d/escaped"), link("d", ".."))
"#;

/// A manifest that unpacks a file of this machine below `/inner`, beside `/secret`.
fn unpacking(path: &std::path::Path) -> Value {
    let checksum = sha256(fs::read(path).unwrap());
    let mut manifest = tree_of(json!([
        {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/inner"}]}},
        {"type": "org.hostile.secret"},
        {"type": "org.osbuild.untar", "options": {"prefix": "/inner"}, "inputs": {"file": {
            "type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [checksum],
        }}},
    ]));
    let url = format!("file://{}", path.display());
    manifest["sources"] = json!({"org.osbuild.curl": {"items": {checksum: {"url": url}}}});
    manifest
}

#[test]
fn item_30_members_of_an_archive_stay_where_it_is_unpacked() {
    let Some(hostile) = Hostile::new("archives").filter(|_| need::tools(&["tar"], "archives")) else {
        return;
    };
    let env = &hostile.env;
    env.stage("org.hostile.secret", "printf secret > /run/osbuild/tree/secret");
    // one place for the absolute names, which a tree has too: nothing of ours may make it there
    let place = env.path("trusting");
    fs::create_dir_all(place.join("archives")).unwrap();
    let mut python = env.command("python3");
    python.current_dir(place.join("archives"));
    tests::oracle::tool(python.arg("-c").arg([MAKERS, ARCHIVES].concat()).arg(&place)).unwrap();
    for entry in fs::read_dir(place.join("archives")).unwrap().flatten() {
        let archive = entry.path();
        let name = entry.file_name().into_string().unwrap();
        let inner = place.join("inner");
        let escaped = |root: &std::path::Path| {
            let secret = fs::read_to_string(root.join("secret")).unwrap_or_else(|_| "secret".into());
            root.join("escaped").exists() || secret != "secret"
        };
        let run = hostile.run(&unpacking(&archive), &[]);
        assert!(run.code == 0 || run.code == 1, "{name}: {run}");
        if run.code == 1 {
            assert!(run.stderr.contains("org.osbuild.untar") || run.stdout.contains("org.osbuild.untar"));
        }
        assert!(!escaped(&env.out()), "{name} led out of its directory: {run}");
        assert!(!escaped(&place), "{name} led out of the tree: {run}");
        let _ = fs::remove_dir_all(env.out());
        // an unpacker that trusts its archive does what that wants
        fs::create_dir(&inner).unwrap();
        fs::write(place.join("secret"), "secret").unwrap();
        let mut trusting = env.command("python3");
        trusting.current_dir(&inner).args(["-c", TRUSTING]).arg(&archive);
        let said = tests::run(&mut trusting, b"", super::LIMIT);
        assert!(escaped(&place), "{name} has no working control: {said}");
        for path in ["escaped", "secret"] {
            let _ = fs::remove_file(place.join(path));
        }
        fs::remove_dir_all(&inner).unwrap();
    }
}

/// Unpacks by joining names to the directory it runs in; devices last, as who has somebody else make them.
const TRUSTING: &str = r#"
import os, shutil, stat, sys, tarfile
devices = []
def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        os.remove(path)
with tarfile.open(sys.argv[1]) as tar:
    for member in tar:
        place, name = os.path.split(member.name)
        os.makedirs(place or ".", exist_ok=True)
        if name == ".wh..wh..opq":
            for there in os.listdir(place):
                remove(os.path.join(place, there))
        elif name.startswith(".wh."):
            remove(os.path.join(place, name[4:]))
        elif member.isdir():
            os.makedirs(member.name, exist_ok=True)
        elif member.isblk():
            devices.append(member)
        elif member.issym():
            if os.path.isdir(member.name):
                os.rmdir(member.name)
            os.symlink(member.linkname, member.name)
        elif member.islnk():
            os.link(member.linkname, member.name)
        else:
            with open(member.name, "wb") as file:
                file.write(tar.extractfile(member).read())
for member in devices:
    os.mknod(member.name, 0o600 | stat.S_IFBLK, os.makedev(member.devmajor, member.devminor))
"#;

/// Writes images whose second layer wants out, as an archive NAME.oci, and that layer alone, after [`MAKERS`].
const IMAGES: &str = r#"
def image(name, *members):
    archive("base", file("kept"))
    archive(name, *members)
    layers = [open(layer + ".tar", "rb").read() for layer in ("base", name)]
    os.remove("base.tar")
    blobs = {}
    def blob(content, kind):
        digest = hashlib.sha256(content).hexdigest()
        blobs["blobs/sha256/" + digest] = content
        return {"digest": "sha256:" + digest, "size": len(content), "mediaType": "application/vnd.oci.image." + kind}
    described = [blob(layer, "layer.v1.tar") for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in described]}}
    config = blob(json.dumps(config).encode(), "config.v1+json")
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": described}).encode(), "manifest.v1+json")
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    with tarfile.open(name + ".oci", "w") as tar:
        for path, content in blobs.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
image("dots", file("a/../../.wh.secret", b""))
image("absolute", file(sys.argv[1] + "/.wh.secret", b""))
image("link", link("l", ".."), file("l/.wh.secret", b""))
image("absolute-link", link("l", sys.argv[1]), file("l/.wh.secret", b""))
image("opaque", link("l", ".."), file("l/.wh..wh..opq", b""))
image("opaque-dots", file("../.wh..wh..opq", b""))
image("parent", file(".wh...", b""))
image("parent-directory", directory(".wh.../"))
image("device", device("escaped"))
"#;

/// Why a layer is refused.
const REASONS: [&str; 3] = [
    "leads out of the tree",
    "does not end in a name",
    "device nodes cannot be made in a sandbox",
];

#[test]
fn item_30_layers_of_an_image_stay_where_it_is_unpacked() {
    let Some(hostile) = Hostile::new("layers of images") else {
        return;
    };
    let env = &hostile.env;
    env.stage("org.hostile.secret", "printf secret > /run/osbuild/tree/secret");
    // the layers are unpacked into a directory of the tree, beside what that had
    let (place, images) = (env.path("trusting"), env.path("images"));
    fs::create_dir_all(&images).unwrap();
    fs::create_dir(&place).unwrap();
    let mut python = env.command("python3");
    python.current_dir(&images);
    tests::oracle::tool(python.arg("-c").arg([MAKERS, IMAGES].concat()).arg(&place)).unwrap();
    let escaped = |root: &std::path::Path| {
        let device = |path: &str| {
            let found = fs::symlink_metadata(root.join(path));
            found.is_ok_and(|found| found.file_type().is_block_device())
        };
        !root.join("secret").exists() || device("escaped") || device("inner/escaped")
    };
    let inner = place.join("inner");
    for entry in fs::read_dir(&images).unwrap().flatten() {
        let layer = entry.path();
        if layer.extension().is_none_or(|kind| kind != "tar") {
            continue;
        }
        let name = layer.file_stem().unwrap().to_str().unwrap();
        fs::write(place.join("secret"), "secret").unwrap();
        let run = hostile.run(&deploying(&layer.with_extension("oci")), &["--export", "tree"]);
        match run.code {
            0 => assert!(
                !escaped(&env.out().join("tree")),
                "{name} led out of its directory: {run}"
            ),
            _ => {
                let told = REASONS.iter().any(|reason| run.stderr.contains(reason));
                assert!(run.code == 1 && told, "{name}: {run}");
            }
        }
        assert!(!escaped(&place), "{name} led out of the tree: {run}");
        let _ = fs::remove_dir_all(env.out());
        // an unpacker that trusts its archive does what that wants
        fs::create_dir(&inner).unwrap();
        let mut trusting = env.command("python3");
        trusting.current_dir(&inner).args(["-c", TRUSTING]).arg(&layer);
        let said = tests::run(&mut trusting, b"", super::LIMIT);
        assert!(escaped(&place), "{name} has no working control: {said}");
        fs::remove_dir_all(&place).unwrap();
        fs::create_dir(&place).unwrap();
    }
}

/// A manifest that unpacks an image of this machine beside `/secret`.
fn deploying(path: &std::path::Path) -> Value {
    let checksum = sha256(fs::read(path).unwrap());
    let url = format!("file://{}", path.display());
    json!({
        "version": "2",
        "sources": {"org.osbuild.curl": {"items": {&checksum: {"url": url}}}},
        "pipelines": [
            {"name": "image", "stages": [copy_of(&[(&checksum, "image.tar")])]},
            {"name": "tree", "stages": [{"type": "org.hostile.secret"}, {
                "type": "org.osbuild.container-deploy",
                "inputs": {"images": {
                    "type": "org.osbuild.containers", "origin": "org.osbuild.pipeline",
                    "references": {"name:image": {"name": "localhost/hostile"}},
                }},
            }]},
        ],
    })
}

#[test]
fn item_30_sizes_that_cannot_be_are_told() {
    let Some(hostile) = Hostile::new("sizes in archives") else {
        return;
    };
    hostile
        .env
        .stage("org.hostile.secret", "printf secret > /run/osbuild/tree/secret");
    // base-256: 2^63 - 1 bytes, and a number below 0; what is there
    for (name, size) in [
        ("huge", "7fffffffffffffff"),
        ("negative", "ffffffffffffffff"),
        ("right", "0000000000000007"),
    ] {
        let mut header = [0_u8; 512];
        header[..5].copy_from_slice(b"large");
        header[100..108].copy_from_slice(b"0000644\0");
        header[124] = if name == "negative" { 0xff } else { 0x80 };
        header[128..136].copy_from_slice(&u64::from_str_radix(size, 16).unwrap().to_be_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut archive = header.to_vec();
        archive.extend_from_slice(b"content");
        archive.resize(4 * 512, 0);
        let path = hostile.env.write(&format!("{name}.tar"), archive);
        let run = hostile.run(&unpacking(&path), &[]);
        if name == "right" {
            run.expect(0);
            let unpacked = fs::read(hostile.env.out().join("inner/large")).unwrap();
            assert_eq!(unpacked, b"content");
        } else {
            run.expect(1).says(&["org.osbuild.untar"]);
        }
    }
    // the same of the ranges of a sparse file
    for (name, map, size) in [
        ("sparse-far", "9223372036854775807,7", "7"),
        ("sparse-below", "-1,7", "7"),
        ("sparse-overlap", "0,7,0,7", "7"),
        ("sparse-right", "512,7", "519"),
    ] {
        let headers = json!({"GNU.sparse.name": "large", "GNU.sparse.map": map, "GNU.sparse.size": size});
        let script = format!(
            "{MAKERS}\narchive(sys.argv[1], file('x', b'content', **json.loads(sys.argv[2])), format=tarfile.PAX_FORMAT)"
        );
        let mut python = hostile.env.command("python3");
        python.args(["-c", &script, name]).arg(headers.to_string());
        tests::oracle::tool(&mut python).unwrap();
        let _ = fs::remove_dir_all(hostile.env.out());
        let run = hostile.run(&unpacking(&hostile.env.path(format!("{name}.tar"))), &[]);
        if name == "sparse-right" {
            run.expect(0);
            let unpacked = fs::read(hostile.env.out().join("inner/large")).unwrap();
            assert_eq!((unpacked.len(), &unpacked[512..]), (519, &b"content"[..]));
        } else {
            run.expect(1).says(&["org.osbuild.untar"]);
        }
    }
}

#[test]
fn item_30_a_bomb_ends_with_the_disk_that_the_store_has() {
    let Some(hostile) = Hostile::new("bombs").filter(|_| need::tools(&["mke2fs", "gzip"], "bombs")) else {
        return;
    };
    let env = &hostile.env;
    env.stage("org.hostile.secret", "printf secret > /run/osbuild/tree/secret");
    let path = env.path("bomb.tar.gz");
    let mut python = env.command("python3");
    tests::oracle::tool(python.args(["-c", BOMB]).arg(&path)).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 8 << 20);
    let disk = SmallDisk::ext4(&env.store(), &env.path("disk"), 48).unwrap();
    hostile
        .run(&unpacking(&path), &[])
        .expect(1)
        .says(&["o space left on device"]);
    let du = Command::new("du").arg("-sm").arg(env.store()).output().unwrap();
    let text = String::from_utf8(du.stdout).unwrap();
    let mebibytes: u32 = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!(mebibytes < 20, "{text}");
    drop(disk);
    // with room it is unpacked
    hostile.run(&unpacking(&path), &[]).expect(0);
    assert_eq!(
        fs::metadata(env.out().join("inner/big")).unwrap().len(),
        200_000_000
    );
}

/// A small archive of a file of 200 MB; of other bytes than zeros, which would take no room.
const BOMB: &str = r#"
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w:gz") as tar:
    member = tarfile.TarInfo("big")
    member.size = 200_000_000
    tar.addfile(member, io.BytesIO(b"x" * member.size))
"#;
