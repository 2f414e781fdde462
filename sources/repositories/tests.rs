use super::*;

const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";
const UBUNTU: &str = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n";

/// A machine with these files.
fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

#[test]
fn stanzas_of_debian_are_read() {
    let root = machine(&[
        ("etc/os-release", DEBIAN),
        (
            "etc/apt/sources.list.d/debian.sources",
            "Types: deb\n# a comment\nURIs: http://mirror.test/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
             Types: deb deb-src\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
        ),
        (
            "etc/apt/sources.list.d/cloud.list",
            "deb https://packages.test/apt cloud-sdk-bookworm main\n",
        ),
        (
            "etc/apt/sources.list.d/node.sources",
            "Types: deb\nURIs: https://node.test/x\nSuites: nodistro\nComponents: main\nSigned-By: /usr/share/keyrings/node.gpg\n",
        ),
        (
            "etc/apt/sources.list.d/docker.list",
            "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] https://docker.test/linux/debian bookworm main\n",
        ),
    ]);
    assert_eq!(
        base_addresses(root.path(), "debian"),
        ["http://mirror.test/debian"]
    );
    assert_eq!(
        base_addresses(root.path(), "debian-security"),
        ["http://mirror.test/debian-security"]
    );
    assert!(base_addresses(root.path(), "ubuntu").is_empty());
    assert!(base_addresses(root.path(), "docker").is_empty());
    assert_eq!(entries(root.path()).len(), 5);
}

#[test]
fn lines_without_a_key_are_known_by_their_release() {
    let root = machine(&[
        ("etc/os-release", DEBIAN),
        (
            "etc/apt/sources.list",
            "# deb http://off.test/debian bookworm main\n\
             deb cdrom:[Debian GNU/Linux 12 - amd64]/ bookworm main\n\
             deb [ arch=amd64 ] http://a.test/debian bookworm main contrib # the first\n\
             deb-src http://src.test/debian bookworm main\n\
             deb http://b.test/debian bookworm-updates main\n\
             deb http://a.test/debian-security bookworm-security main\n\
             deb http://old.test/x bullseye/updates main\n\
             deb http://nginx.test/packages/debian bookworm nginx\n\
             deb http://flat.test/ ./\n",
        ),
    ]);
    assert_eq!(
        base_addresses(root.path(), "debian"),
        ["http://a.test/debian", "http://b.test/debian"]
    );
    assert_eq!(
        base_addresses(root.path(), "debian-security"),
        ["http://a.test/debian-security"]
    );
}

#[test]
fn disabled_stanzas_and_other_files_are_left_out() {
    let root = machine(&[
        ("usr/lib/os-release", DEBIAN),
        (
            "etc/apt/sources.list.d/a.sources",
            "Enabled: no\nTypes: deb\nURIs: http://off.test/\nSuites: bookworm\nComponents: main\n",
        ),
        (
            "etc/apt/sources.list.d/b.list.save",
            "deb http://save.test/ bookworm main\n",
        ),
        (
            "etc/apt/sources.list.d/c.sources",
            "types: deb\nuris: mirror+file:///etc/apt/mirrors/debian.list\nsuites: bookworm\n bookworm-updates\ncomponents: main\n",
        ),
    ]);
    assert_eq!(
        base_addresses(root.path(), "debian"),
        ["mirror+file:///etc/apt/mirrors/debian.list"]
    );
}

#[test]
fn ubuntu_has_its_security_updates_in_the_same_pool() {
    let keyring = "/usr/share/keyrings/ubuntu-archive-keyring.gpg";
    let one = format!(
        "Types: deb\nURIs: http://archive.test/ubuntu/\nSuites: noble noble-updates\nComponents: main universe\nSigned-By: {keyring}\n"
    );
    let root = machine(&[
        ("etc/os-release", UBUNTU),
        ("etc/apt/sources.list.d/ubuntu.sources", &one),
    ]);
    assert_eq!(
        base_addresses(root.path(), "ubuntu"),
        ["http://archive.test/ubuntu"]
    );
    assert_eq!(
        base_addresses(root.path(), "ubuntu-security"),
        ["http://archive.test/ubuntu"]
    );
    let two = format!(
        "{one}\nTypes: deb\nURIs: http://security.test/ubuntu/\nSuites: noble-security\nComponents: main\nSigned-By: {keyring}\n"
    );
    let root = machine(&[
        ("etc/os-release", UBUNTU),
        ("etc/apt/sources.list.d/ubuntu.sources", &two),
    ]);
    assert_eq!(
        base_addresses(root.path(), "ubuntu"),
        ["http://archive.test/ubuntu"]
    );
    assert_eq!(
        base_addresses(root.path(), "ubuntu-security"),
        ["http://security.test/ubuntu"]
    );
}

#[test]
fn a_private_mirror_signed_anew_serves_when_there_is_no_other() {
    let own = "deb [signed-by=/etc/apt/keyrings/corp.gpg] https://corp.test/debian bookworm main\n";
    let root = machine(&[("etc/os-release", DEBIAN), ("etc/apt/sources.list", own)]);
    assert_eq!(
        base_addresses(root.path(), "debian"),
        ["https://corp.test/debian"]
    );
    let both = format!("{own}deb http://a.test/debian bookworm main\n");
    let root = machine(&[("etc/os-release", DEBIAN), ("etc/apt/sources.list", &both)]);
    assert_eq!(base_addresses(root.path(), "debian"), ["http://a.test/debian"]);
}

#[test]
fn another_distribution_is_known_by_its_key_and_a_derivative_by_its_base() {
    let ubuntu =
        "deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://u.test/ubuntu noble main\n";
    let root = machine(&[("etc/os-release", DEBIAN), ("etc/apt/sources.list", ubuntu)]);
    assert_eq!(base_addresses(root.path(), "ubuntu"), ["http://u.test/ubuntu"]);
    assert!(base_addresses(root.path(), "debian").is_empty());

    let mint = "ID=linuxmint\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n";
    let lines = "deb http://mint.test/ wilma main\ndeb http://u.test/ubuntu noble main\n";
    let root = machine(&[("etc/os-release", mint), ("etc/apt/sources.list", lines)]);
    assert_eq!(base_addresses(root.path(), "ubuntu"), ["http://u.test/ubuntu"]);
}
