//! An ordinary user, and a container without privileges: made for one test, known to nobody else.
//!
//! The user is in copies of the machine's databases that lie on the originals in a mount table of the command's own. The
//! container is a user namespace of 65,536 ids with a root directory, processes, a network and a `/proc` of its own.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::TestEnv;

/// What is needed for [`Ordinary`].
pub const USER_TOOLS: &[&str] = &["newuidmap", "newgidmap", "setpriv", "unshare"];

/// What is needed for [`Container`].
pub const CONTAINER_TOOLS: &[&str] = &["setpriv", "unshare", "pivot_root", "mkfifo"];

/// The user's id: nobody's, on any machine that keeps to the usual ranges.
const UID: u32 = 61_234;

/// As whom a command runs: what it is started through. All of these become one another, so that a signal to the first
/// reaches the last.
const BECOME: &str = r#"
for file in passwd group subuid subgid; do
    touch "/etc/$file" && mount --bind "$ETC/$file" "/etc/$file" || exit 99
done
path=$USER_PATH; unset ETC USER_PATH
cd "$HOME" && exec setpriv --reuid=61234 --regid=61234 --clear-groups -- env PATH="$path" "$@"
"#;

/// An ordinary user with a home directory in a [`TestEnv`].
#[derive(Debug)]
pub struct Ordinary {
    home: PathBuf,
    etc: PathBuf,
    bin: PathBuf,
}

impl Ordinary {
    /// Makes the user `ada` with these lines in `/etc/subuid` and `/etc/subgid`.
    ///
    /// # Panics
    /// The place cannot be written.
    pub fn new(env: &TestEnv, sub_ids: &str) -> Self {
        let open = |dir: &Path| {
            std::fs::create_dir_all(dir).expect("directories can be made");
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("modes can be set");
        };
        let this = Self {
            home: env.path("home"),
            etc: env.path("etc"),
            bin: env.path("bin"),
        };
        for dir in [&env.path(""), &this.home, &this.etc, &this.bin] {
            open(dir);
        }
        chown(&this.home, Some(UID), Some(UID)).expect("root may give files away");
        for (name, line) in [
            (
                "passwd",
                format!("ada:x:{UID}:{UID}::{}:/bin/sh\n", this.home.display()),
            ),
            ("group", format!("ada:x:{UID}:\n")),
        ] {
            let there = std::fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
            env.write(&format!("etc/{name}"), there + &line);
        }
        env.write("etc/subuid", sub_ids);
        env.write("etc/subgid", sub_ids);
        // the checkout may lie where only root can go
        put_binaries(env, &this.bin);
        this
    }

    /// The sub-ids that most users have.
    pub fn with_sub_ids(env: &TestEnv) -> Self {
        Self::new(env, "ada:1500000:65536\n")
    }

    /// The user's home directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.join(name)
    }

    /// A file of the user's.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        chown(&path, Some(UID), Some(UID)).expect("root may give files away");
        path
    }

    /// A command that runs as the user, at home. `osbuild` and `image-builder` are in the path.
    pub fn command(&self, program: &str) -> Command {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.bin.display());
        self.command_with_path(program, &path)
    }

    /// The same with another `PATH`.
    pub fn command_with_path(&self, program: &str, path: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-c", BECOME, "sh", program])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("USER_PATH", path)
            .env("ETC", &self.etc)
            .env("HOME", &self.home)
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Whose a file is.
    ///
    /// # Panics
    /// It is not there.
    pub fn owns(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let there = path.symlink_metadata();
        let there = there.unwrap_or_else(|e| panic!("cannot look at {}: {e}", path.display()));
        (there.uid(), there.gid()) == (UID, UID)
    }
}

/// Puts the executables into a directory that everybody can read.
fn put_binaries(env: &TestEnv, dir: &Path) {
    let binaries = env.binaries();
    for from in [binaries.osbuild(), binaries.image_builder(), binaries.modules()] {
        let to = dir.join(from.file_name().unwrap_or_default());
        // not linked: cargo may be about to write them anew
        std::fs::copy(&from, &to).unwrap_or_else(|e| panic!("cannot copy {}: {e}", from.display()));
    }
}

/// Where the container's ids begin outside.
const BASE: u32 = 1_700_000;

/// What a container may do beside nothing: what container engines leave it by default.
const DEFAULT: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,\
                       +net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";

/// Waits until its ids are mapped, then sets the container up and becomes what runs in it.
const INSIDE: &str = r#"
set -e
echo up >"$PIPES/up"; read -r go <"$PIPES/go"
exec setpriv --reuid=0 --regid=0 --clear-groups -- unshare --mount --pid --fork --kill-child --net --ipc sh -ec '
mount --bind "$ROOT" "$ROOT"; cd "$ROOT"
mkdir -p proc sys dev old
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/shm
if [ "$MASKED" = 1 ]; then
    for file in kcore keys timer_list; do [ ! -e "proc/$file" ] || mount --bind dev/null "proc/$file"; done
    for dir in proc/acpi proc/scsi sys/firmware; do [ ! -e "$dir" ] || mount -t tmpfs -o ro tmpfs "$dir"; done
    for part in bus fs irq sys sysrq-trigger; do
        [ ! -e "proc/$part" ] || { mount --bind "proc/$part" "proc/$part"; mount -o remount,bind,ro "proc/$part"; }
    done
fi
pivot_root . old; cd /; umount -l /old; rmdir /old; cd "$HOME"
exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set="$CAPABILITIES" -- \
    env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$HOME" LC_ALL=C.UTF-8 "$@"
' sh "$@"
"#;

/// Makes the namespace and maps its ids from outside.
const OUTSIDE: &str = r#"
set -e
PIPES=$(mktemp -d); export PIPES; trap 'rm -r "$PIPES"' EXIT
chmod 711 "$PIPES"; mkfifo -m 666 "$PIPES/up" "$PIPES/go"
unshare --user --keep-caps -- sh -c "$INSIDE" sh "$@" & child=$!
read -r up <"$PIPES/up"
echo "0 $BASE 65536" >"/proc/$child/uid_map"; echo "0 $BASE 65536" >"/proc/$child/gid_map"
echo go >"$PIPES/go"
code=0; wait "$child" || code=$?
exit "$code"
"#;

/// A container without privileges, on a root directory that was made for it.
#[derive(Debug)]
pub struct Container {
    root: PathBuf,
    tmp: PathBuf,
    /// Whether parts of its `/proc` and `/sys` are masked, as container engines do.
    pub masked: bool,
    /// Whether it has all capabilities over itself, or those that container engines leave it.
    pub capable: bool,
}

impl Container {
    /// One whose root directory has a copy of the tree at `tree`, and the executables.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn new(env: &TestEnv, tree: &Path) -> Self {
        let root = env.path("container");
        std::fs::create_dir(&root).expect("a directory can be made");
        std::fs::set_permissions(env.path(""), std::fs::Permissions::from_mode(0o755))
            .expect("modes can be set");
        let mut copy = env.command("cp");
        let status = copy.args(["-a", "--"]).arg(tree.join(".")).arg(&root).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the tree can be copied"
        );
        put_binaries(env, &root.join("usr/local/bin"));
        let this = Self {
            root,
            tmp: env.path("tmp"),
            masked: false,
            capable: true,
        };
        give(&this.root);
        this
    }

    /// A file or directory of the container.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Copies a file to a place in the container.
    ///
    /// # Panics
    /// It cannot be copied.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        give(&path);
    }

    /// A command that runs in it, in the home directory of its root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", OUTSIDE, "sh", program])
            .env("INSIDE", INSIDE)
            .env("TMPDIR", &self.tmp)
            .env("HOME", "/root")
            .env("BASE", BASE.to_string())
            .env("ROOT", &self.root)
            .env("MASKED", if self.masked { "1" } else { "0" })
            .env("CAPABILITIES", if self.capable { "+all" } else { DEFAULT });
        command
    }
}

/// Moves the owners of a path, and of all below, into the container's range.
fn give(path: &Path) {
    use std::os::unix::fs::{MetadataExt, lchown};
    let there = path.symlink_metadata();
    let there = there.unwrap_or_else(|e| panic!("cannot look at {}: {e}", path.display()));
    lchown(path, Some(BASE + there.uid()), Some(BASE + there.gid())).expect("root may give files away");
    if there.is_file() && there.mode() & 0o6000 != 0 {
        // giving a file away takes these
        std::fs::set_permissions(path, there.permissions()).expect("modes can be set");
    }
    if there.is_dir() {
        for entry in std::fs::read_dir(path).expect("root may list it") {
            give(&entry.expect("root may list it").path());
        }
    }
}
