//! Manifests from packages that nobody had to resolve.

use serde_json::Value;

use super::*;
use crate::blueprint::parse;

const BLUEPRINT: &str = r#"
name = "server"
version = "1.2.0"
[customizations]
hostname = "web1.example.com"
kernel.append = "quiet"
timezone = { timezone = "Europe/Berlin", ntpservers = ["ntp.example.com"] }
locale = { languages = ["de_DE.UTF-8"], keyboard = "de-nodeadkeys" }
services = { enabled = ["sshd", "x.timer"], masked = ["systemd-timesyncd"] }
[[customizations.user]]
name = "ada"
password = "$6$salt$hash"
key = "ssh-ed25519 AAAA"
groups = ["sudo"]
uid = 1200
[[customizations.sshkey]]
user = "root"
key = "ssh-ed25519 BBBB"
[[customizations.group]]
name = "web"
gid = 2000
[[customizations.directories]]
path = "/srv/web"
mode = "2775"
group = "web"
[[customizations.files]]
path = "/srv/web/index.html"
data = "hello"
[[customizations.filesystem]]
mountpoint = "/"
minsize = "20 GiB"
"#;

fn package(name: &str, digit: char, mirror: &str) -> Pinned {
    Pinned {
        name: name.into(),
        version: "1.0".into(),
        architecture: "amd64".into(),
        path: format!("pool/{name}.deb"),
        sha256: digit.to_string().repeat(64),
        size: 1,
        installed: 64 << 20,
        mirror: mirror.into(),
    }
}

fn resolved() -> Resolved {
    Resolved {
        os: vec![package("libc6", 'a', "debian"), package("bash", 'b', "mine")],
        build: Some(vec![package("libc6", 'a', "debian")]),
        epoch: 1_700_000_000,
        repositories: vec![Repository {
            id: Some("mine".into()),
            uri: "http://a.example/debian".into(),
            ..Repository::default()
        }],
        installed: Vec::new(),
    }
}

fn make(image: ImageType, blueprint: &str, resolved: &Resolved) -> Value {
    let blueprint = parse("b.toml", blueprint).unwrap();
    let request = Request {
        distro: Distro::find("debian-12").unwrap(),
        image,
        blueprint: &blueprint,
        size: None,
    };
    manifest(&request, resolved).unwrap()
}

/// The options of a stage of the pipeline `os`.
fn options<'a>(manifest: &'a Value, name: &str) -> &'a Value {
    let pipelines = manifest["pipelines"].as_array().unwrap();
    let os = pipelines
        .iter()
        .find(|pipeline| pipeline["name"] == "os")
        .unwrap();
    let stages = os["stages"].as_array().unwrap();
    let stage = stages.iter().find(|stage| stage["type"] == name);
    &stage.unwrap_or_else(|| panic!("no {name}"))["options"]
}

#[test]
fn pipelines_are_built_with_the_pinned_tools() {
    let manifest = make(ImageType::Qcow2, "", &resolved());
    let pipelines = manifest["pipelines"].as_array().unwrap();
    let names: Vec<&str> = pipelines
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["build", "os", "image"]);
    assert_eq!(pipelines[0]["stages"][0]["options"], json!({"unpack_only": true}));
    assert_eq!(pipelines[1]["build"], "name:build");
    assert!(pipelines.iter().all(|one| one["source-epoch"] == 1_700_000_000));
    let references = &pipelines[1]["stages"][0]["inputs"]["packages"]["references"];
    let digests = json!([
        format!("sha256:{}", "a".repeat(64)),
        format!("sha256:{}", "b".repeat(64))
    ]);
    assert_eq!(references, &digests);
}

#[test]
fn with_the_hosts_tools_there_is_no_build_pipeline() {
    let on_host = Resolved {
        build: None,
        ..resolved()
    };
    let manifest = make(ImageType::Tar, "", &on_host);
    assert_eq!(manifest["pipelines"][0]["name"], "os");
    assert!(manifest["pipelines"][0].get("build").is_none());
    let image = &manifest["pipelines"][1]["stages"][0];
    assert_eq!(image["type"], "org.osbuild.tar");
    assert_eq!(image["inputs"]["tree"]["references"], json!(["name:os"]));
}

#[test]
fn only_repositories_of_others_have_their_address_in_the_manifest() {
    let manifest = make(ImageType::Tar, "", &resolved());
    let source = &manifest["sources"]["org.osbuild.librepo"];
    assert_eq!(source["items"].as_object().unwrap().len(), 2);
    let item = &source["items"][format!("sha256:{}", "a".repeat(64))];
    assert_eq!(item, &json!({"path": "pool/libc6.deb", "mirror": "debian"}));
    assert_eq!(
        source["options"]["mirrors"],
        json!({"mine": {"url": "http://a.example/debian", "type": "baseurl"}})
    );
}

#[test]
fn a_blueprint_becomes_stages() {
    let manifest = make(ImageType::Raw, BLUEPRINT, &resolved());
    let hostname = options(&manifest, "org.osbuild.hostname");
    assert_eq!(hostname, &json!({"hostname": "web1.example.com"}));
    assert_eq!(
        options(&manifest, "org.osbuild.timezone"),
        &json!({"zone": "Europe/Berlin"})
    );
    assert_eq!(
        options(&manifest, "org.osbuild.locale"),
        &json!({"language": "de_DE.UTF-8"})
    );
    assert_eq!(
        options(&manifest, "org.osbuild.groups"),
        &json!({"groups": {"web": {"gid": 2000}}})
    );
    assert_eq!(
        options(&manifest, "org.osbuild.users"),
        &json!({"users": {
            "ada": {"uid": 1200, "groups": ["sudo"], "shell": "/bin/bash", "password": "$6$salt$hash",
                    "keys": ["ssh-ed25519 AAAA"]},
            "root": {"keys": ["ssh-ed25519 BBBB"]},
        }})
    );
    assert_eq!(
        options(&manifest, "org.osbuild.systemd"),
        &json!({
            "enabled_services": ["ssh.service", "systemd-networkd.service", "systemd-resolved.service", "x.timer"],
            "masked_services": ["systemd-timesyncd.service"],
            "default_target": "multi-user.target",
        })
    );
    let debconf = options(&manifest, "org.osbuild.deb")["debconf"].to_string();
    for answer in [
        "de_DE.UTF-8 UTF-8",
        "Zones/Europe select Berlin",
        "layoutcode string de",
    ] {
        assert!(debconf.contains(answer), "{answer} in {debconf}");
    }
    assert_eq!(
        options(&manifest, "org.osbuild.chmod")["items"]["/srv/web"]["mode"],
        "2775"
    );
    let owner = &options(&manifest, "org.osbuild.chown")["items"]["/srv/web"];
    assert_eq!(owner, &json!({"user": 0, "group": "web"}));
    let keyboard = inline(&manifest, "/etc/default/keyboard");
    assert!(
        keyboard.contains("XKBLAYOUT=\"de\"\nXKBVARIANT=\"nodeadkeys\""),
        "{keyboard}"
    );
    assert_eq!(inline(&manifest, "/srv/web/index.html"), "hello");
    assert!(inline(&manifest, "/etc/hosts").contains("127.0.1.1 web1.example.com web1\n"));
}

/// What a file that is copied into the tree has in it.
fn inline(manifest: &Value, path: &str) -> String {
    use base64::Engine;
    let paths = options(manifest, "org.osbuild.copy")["paths"].as_array().unwrap();
    let to = format!("tree://{path}");
    let copy = paths
        .iter()
        .find(|copy| copy["to"] == to)
        .unwrap_or_else(|| panic!("no {path}"));
    let digest = copy["from"].as_str().unwrap().rsplit('/').next().unwrap();
    let data = manifest["sources"]["org.osbuild.inline"]["items"][digest]["data"]
        .as_str()
        .unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_disk_has_one_uuid_everywhere_and_a_serial_console() {
    let manifest = make(ImageType::Raw, BLUEPRINT, &resolved());
    let image = &manifest["pipelines"][2]["stages"][0]["options"];
    let uuid = &image["root_fs_uuid"];
    assert_eq!(
        options(&manifest, "org.osbuild.fstab")["filesystems"][0]["uuid"],
        *uuid
    );
    for stage in ["org.osbuild.grub2", "org.osbuild.kernel-cmdline"] {
        let options = options(&manifest, stage);
        assert_eq!(options["root_fs_uuid"], *uuid);
        assert_eq!(
            options["kernel_opts"],
            "console=tty0 console=ttyS0,115200n8 quiet"
        );
    }
    assert_eq!(image["filename"], "disk.raw");
    assert_eq!(image["size"], (20_u64 << 30) + (512 << 20));
    assert_ne!(image["ptuuid"], *uuid);
}

#[test]
fn a_disk_that_cannot_hold_its_packages_is_refused() {
    let blueprint = parse("b.toml", "").unwrap();
    let make = |image, size| {
        let request = Request {
            distro: Distro::find("debian-12").unwrap(),
            image,
            blueprint: &blueprint,
            size: Some(size),
        };
        manifest(&request, &resolved())
    };
    let failure = make(ImageType::Qcow2, 1 << 20).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "error: a disk of 1 MiB is too small: its packages alone take 128 MiB\nhint: `--size` names another size"
    );
    assert_eq!(failure.exit_code(), 2);
    make(ImageType::Raw, 128 << 20).unwrap();
    make(ImageType::Tar, 1 << 20).unwrap();
}

#[test]
fn the_same_request_gives_the_same_text_and_another_other_uuids() {
    let first = make(ImageType::Qcow2, BLUEPRINT, &resolved());
    assert_eq!(
        first.to_string(),
        make(ImageType::Qcow2, BLUEPRINT, &resolved()).to_string()
    );
    let other = make(ImageType::Qcow2, "", &resolved());
    let uuid = |manifest: &Value| manifest["pipelines"][2]["stages"][0]["options"]["root_fs_uuid"].clone();
    assert_ne!(uuid(&first), uuid(&other));
}

#[test]
fn a_commit_has_a_ref_and_its_version() {
    let manifest = make(ImageType::OstreeCommit, BLUEPRINT, &resolved());
    let image = &manifest["pipelines"][2]["stages"][0];
    assert_eq!(image["type"], "org.osbuild.ostree.commit.assembler");
    assert_eq!(
        image["options"],
        json!({"ref": "debian/12/x86_64", "os_version": "1.2.0"})
    );
}

#[test]
fn a_file_of_the_blueprint_wins_over_ours() {
    let text = "[[customizations.files]]\npath = \"/etc/hosts\"\ndata = \"mine\"\n";
    let manifest = make(ImageType::Raw, text, &resolved());
    assert_eq!(inline(&manifest, "/etc/hosts"), "mine");
    let paths = options(&manifest, "org.osbuild.copy")["paths"]
        .as_array()
        .unwrap();
    let hosts = paths.iter().filter(|copy| copy["to"] == "tree:///etc/hosts");
    assert_eq!(hosts.count(), 1);
}
