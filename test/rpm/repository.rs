//! Two small repositories of signed packages: what the sample asks for, at the size of a joke.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::TestEnv;
use tests::oracle::tool;

/// All packages; `ver` is given.
const SPEC: &str = r#"
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
Name: sample
Version: %{ver}
Release: 1
Summary: What a test needs
License: MIT
BuildArch: noarch
%description
Nothing.

%package -n filesystem
Summary: The directories
%description -n filesystem
Directories.
%files -n filesystem
%dir /usr
%dir /usr/bin
%dir /usr/sbin
%dir /usr/lib
%dir /etc
%dir /var
%attr(1777,root,root) %dir /tmp
/bin
/sbin
/lib
/usr/lib/os-release

%package -n basics
Summary: What the group stands for
Requires: filesystem
Requires(post): filesystem
%description -n basics
Basics.
%files -n basics
%attr(4755,root,root) /usr/bin/basics
/usr/lib/systemd/system/multi-user.target
%post -n basics -p <lua>
local file = io.open("/etc/posted", "a")
file:write("basics after filesystem\n")
file:close()

%package -n chrony
Summary: A clock
Requires: basics
Requires(post): basics
%description -n chrony
A clock.
%files -n chrony
/usr/bin/chronyd
/usr/lib/systemd/system/chronyd.service
%post -n chrony -p <lua>
local file = io.open("/etc/posted", "a")
file:write("chrony %{ver}\n")
file:close()

%package -n kernel
Summary: A kernel
Requires: filesystem
%description -n kernel
A kernel.
%files -n kernel
/boot

%package -n openssh-server
Summary: A way in
Requires: basics
%description -n openssh-server
A way in.
%files -n openssh-server
/usr/lib/systemd/system/sshd.service

%package -n grub2-pc
Summary: A boot loader
%description -n grub2-pc
%files -n grub2-pc
%package -n grub2-efi-x64
Summary: A boot loader
%description -n grub2-efi-x64
%files -n grub2-efi-x64
%package -n shim-x64
Summary: A boot loader
%description -n shim-x64
%files -n shim-x64

%install
cd %{buildroot}
mkdir -p usr/bin usr/sbin usr/lib/systemd/system etc var tmp boot/loader/entries
ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib
printf 'NAME=Sample\nID=fedora\nVERSION_ID=43\n' > usr/lib/os-release
echo basics > usr/bin/basics
echo version %{ver} > usr/bin/chronyd
printf '[Unit]\nDescription=Multi-User System\n' > usr/lib/systemd/system/multi-user.target
for unit in sshd chronyd; do
    printf '[Service]\nExecStart=/usr/bin/%%s\n\n[Install]\nWantedBy=multi-user.target\n' $unit \
        > usr/lib/systemd/system/$unit.service
done
echo kernel > boot/vmlinuz-1-1.noarch
printf 'title Sample\nversion 1-1.noarch\nlinux /boot/vmlinuz-1-1.noarch\noptions $kernelopts\n' \
    > boot/loader/entries/sample.conf
"#;

/// The group that the sample names.
const COMPS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<comps>
  <group>
    <id>core</id>
    <name>Core</name>
    <default>true</default>
    <uservisible>false</uservisible>
    <packagelist>
      <packagereq type="mandatory">basics</packagereq>
      <packagereq type="optional">not-there</packagereq>
    </packagelist>
  </group>
</comps>
"#;

/// In which repository packages are that end so.
const PLACES: [(&str, &str); 2] = [
    ("fedora", "-1-1.noarch.rpm"),
    ("updates", "chrony-2-1.noarch.rpm"),
];

/// The repositories `fedora` and `updates`, and two keys: `ours`, with which the packages are signed, and `other`.
pub struct Repository {
    top: PathBuf,
}

impl Repository {
    /// Makes them in `env`.
    pub fn make(env: &TestEnv) -> Self {
        let top = env.path("rpm");
        let gnupg = top.join("gnupg");
        std::fs::create_dir_all(&gnupg).unwrap();
        let this = Self { top };
        let spec = env.write("rpm/sample.spec", SPEC);
        for version in ["1", "2"] {
            let mut build = Command::new("rpmbuild");
            build.args(["-bb", "--define", &format!("ver {version}")]);
            build.args([
                "--define",
                &format!("_topdir {}", this.top.join("build").display()),
            ]);
            tool(build.env("SOURCE_DATE_EPOCH", "1735689600").arg(&spec)).unwrap();
        }
        for name in ["ours", "other"] {
            this.gpg(&[
                "--passphrase",
                "",
                "--quick-gen-key",
                name,
                "rsa2048",
                "sign",
                "never",
            ]);
            let key = this.top.join(format!("{name}.asc"));
            this.gpg(&[
                "--armor",
                "--output",
                &key.display().to_string(),
                "--export",
                name,
            ]);
        }
        let mut built = files(&this.top.join("build/RPMS/noarch"));
        built.retain(|rpm| {
            PLACES
                .iter()
                .any(|(_, end)| rpm.display().to_string().ends_with(end))
        });
        let mut sign = Command::new("rpmsign");
        sign.args([
            "--define",
            "_gpg_name ours",
            "--define",
            &format!("_gpg_path {}", gnupg.display()),
        ]);
        // Debian's rpm does not know where it is
        sign.args(["--define", "__gpg /usr/bin/gpg"]);
        tool(sign.arg("--addsign").args(&built).env("GNUPGHOME", &gnupg)).unwrap();
        // the agent that signing has started
        tool(
            Command::new("gpgconf")
                .args(["--kill", "all"])
                .env("GNUPGHOME", &gnupg),
        )
        .unwrap();

        let comps = env.write("rpm/comps.xml", COMPS);
        for (id, wanted) in PLACES {
            std::fs::create_dir(this.dir(id)).unwrap();
            for rpm in &built {
                let name = rpm.file_name().unwrap().to_str().unwrap();
                if name.ends_with(wanted) {
                    std::fs::copy(rpm, this.dir(id).join(name)).unwrap();
                }
            }
            let mut create = Command::new("createrepo_c");
            if id == "fedora" {
                create.arg("--groupfile").arg(&comps);
            }
            tool(create.arg("--quiet").arg(this.dir(id))).unwrap();
        }
        this
    }

    /// Where a repository lies.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.top.join(id)
    }

    /// The file with a public key.
    pub fn key(&self, name: &str) -> String {
        self.top.join(format!("{name}.asc")).display().to_string()
    }

    fn gpg(&self, args: &[&str]) {
        let home = self.top.join("gnupg");
        tool(
            Command::new("gpg")
                .args(["--batch", "--quiet", "--yes"])
                .args(args)
                .env("GNUPGHOME", home),
        )
        .unwrap();
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}
