//! `--in-vm`: stages in a virtual machine with the kernel of their build tree make what they make on the host; a machine
//! that cannot be had, or is lost, is one clear error, and nothing of it is left.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::qemu::Console;
use tests::{Run, TestEnv, ends_within, left_behind, need, run};

use crate::debian::Image;

/// From the start of a build until a stage runs in its machine, on an emulated processor that others keep busy.
const BOOT: Duration = Duration::from_secs(300);
/// What is said to happen at once takes no longer, not even on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(20);

/// What the names of directories begin with in which machines have their files.
const SCRATCH: &str = "new-vm-";

/// A tree with all that trees may have.
const FIRST: &str = r#"#!/bin/sh
set -e
cd /run/osbuild/tree
mkdir -p a/b/c d gone replaced/old moved/deep
for i in 1 2 3; do echo $i > a/b/c/$i; echo $i > gone/$i; echo $i > moved/deep/$i; done
echo keep > d/file; ln d/file d/hard; echo old > replaced/old/x; echo x > deleted
"#;

/// Changes on top of it that an overlay has marks for, and everything that a file can be.
const SECOND: &str = r#"#!/bin/sh
set -e
uname -r
cd /run/osbuild/tree
rm deleted; rm -r gone replaced; mkdir replaced; echo new > replaced/y; mv moved elsewhere
echo more >> a/b/c/1; chmod 4755 a/b/c/2; chown 1000:50 a/b/c/3; chown 65534:7 a
cp /usr/bin/true capable; /usr/sbin/setcap cap_net_raw+ep capable
ln -s /nowhere dangling; ln d/file d/third; mkfifo -m 600 d/pipe
perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un("socket")) or die'
dd if=/dev/zero of=sparse bs=1 count=1 seek=1000000 2> /dev/null; touch -d @1000 dated
chmod 1777 d; mkdir -m 2775 sgid; touch sgid/x "$(printf 'with space, uml\303\244ut')"
if mknod node c 1 3; then exit 1; fi 2> /dev/null
"#;

const WAIT: &str = "#!/bin/sh\necho it waits\nexec sleep 1000\n";

/// Asks the kernel to panic.
const CRASH: &str = "#!/bin/sh\nmkdir /tmp/proc && /usr/bin/mount -t proc proc /tmp/proc && echo c > /tmp/proc/sysrq-trigger\nsleep 1000\n";

/// The stages of these tests, in a store that has a build tree with a kernel.
struct Place {
    env: TestEnv,
    image: &'static Image,
    /// One machine at a time is enough for a small computer, and what is left is then known to be its.
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    /// `None`, saying so, where no such machine can run.
    fn new(release: u32, what: &str) -> Option<Self> {
        let is_there = || {
            need::root(what) && need::tools(&["qemu-system-x86_64"], what) && {
                let places = ["/usr/libexec", "/usr/lib", "/usr/lib/qemu", "/usr/bin"];
                let found = places.iter().any(|dir| Path::new(dir).join("virtiofsd").exists());
                if !found {
                    eprintln!("skipped, as there is no virtiofsd: {what}");
                }
                found
            }
        };
        if !is_there() {
            return None;
        }
        let env = TestEnv::new();
        for (name, script) in [
            ("first", FIRST),
            ("second", SECOND),
            ("wait", WAIT),
            ("crash", CRASH),
        ] {
            let path = env.write(&format!("lib/stages/org.example.{name}"), script);
            Command::new("chmod").arg("+x").arg(path).status().unwrap();
        }
        static ALONE: Mutex<()> = Mutex::new(());
        let image = Image::server(release);
        Some(Self {
            env,
            image,
            _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// The image's manifest, with other pipelines in the place of the last one. They are built in the image's system.
    fn manifest(&self, pipelines: &[(&str, Value)]) -> String {
        let mut manifest = self.image.manifest.clone();
        let all = manifest["pipelines"].as_array_mut().unwrap();
        all.retain(|pipeline| pipeline["name"] != "image");
        for (name, stages) in pipelines {
            all.push(
                json!({"name": name, "build": "name:os", "source-epoch": 1_700_000_000, "stages": stages}),
            );
        }
        manifest.to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.env.command(self.env.binaries().osbuild());
        command.arg("--store").arg(self.image.store());
        command
            .args(["--libdir", "lib", "--output-directory", "out", "-"])
            .args(args);
        command
    }

    fn build(&self, manifest: &str, args: &[&str]) -> Run {
        run(&mut self.command(args), manifest.as_bytes(), BOOT * 2)
    }

    /// The digest of the tree that the last stage of a pipeline made.
    fn digest(&self, manifest: &str, pipeline: &str) -> String {
        let inspected = self.build(manifest, &["--inspect"]).expect(0).json();
        let pipelines = inspected["pipelines"].as_array().unwrap();
        let one = pipelines.iter().find(|one| one["name"] == pipeline).unwrap();
        let stages = one["stages"].as_array().unwrap();
        let id = stages.last().unwrap()["id"].as_str().unwrap();
        let object = std::fs::read_link(self.image.store().join("refs").join(id)).unwrap();
        object.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// A build of a stage that waits, once it does so in its machine.
    fn waiting(&self) -> (Child, Console) {
        use std::io::Write;
        let manifest = self.manifest(&[("tree", json!([{"type": "org.example.wait"}]))]);
        let mut command = self.command(&["--export", "tree", "--in-vm", "tree", "--monitor", "LogMonitor"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifest.as_bytes())
            .unwrap();
        let mut console = Console::new(child.stdout.take().unwrap(), std::io::sink(), false);
        console.wait_for(&["it waits"], BOOT).unwrap();
        (child, console)
    }

    /// No process of a machine is left, nor any file of one.
    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        assert_eq!(self.scratch(), Vec::<String>::new());
    }

    /// What has to do with machines; other tests may use the store too.
    fn processes(&self) -> Vec<String> {
        let mut left = left_behind(&self.image.store());
        left.retain(|what| what.contains(SCRATCH));
        left
    }

    fn scratch(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.image.store().join("tmp")).unwrap();
        let names = list.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(SCRATCH)).collect()
    }
}

fn the_same_comes_out(release: u32) {
    let Some(place) = Place::new(release, "a build in a virtual machine") else {
        return;
    };
    // the first stage does nothing but give the others different ids
    let stages = |place: &str| {
        json!([
            {"type": "org.osbuild.noop", "options": {"place": place}},
            {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}]}},
            {"type": "org.osbuild.hostname", "options": {"hostname": "same"}},
            {"type": "org.example.first"},
            {"type": "org.example.second"},
        ])
    };
    let manifest = place.manifest(&[("here", stages("here")), ("there", stages("there"))]);
    let args = [
        "--export", "here", "--export", "there", "--in-vm", "there", "--in-vm", "nowhere", "--json",
    ];
    let start = Instant::now();
    let result = place.build(&manifest, &args).expect(0).json();
    println!(
        "Debian {release}: here and in a machine after {:?}",
        start.elapsed()
    );

    assert_eq!(place.digest(&manifest, "here"), place.digest(&manifest, "there"));
    // ... and it was a machine
    let kernel = |pipeline: &str| {
        let stages = result["log"][pipeline].as_array().unwrap();
        stages.last().unwrap()["output"]
            .as_str()
            .unwrap()
            .trim()
            .to_owned()
    };
    let own = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(kernel("here"), own.trim());
    assert!(kernel("there").ends_with("-cloud-amd64"), "{}", kernel("there"));
    place.nothing_is_left();

    // what a machine made is found again, by those who ask for none too
    let again = place
        .build(&manifest, &["--export", "there", "--json"])
        .expect(0)
        .json();
    assert_eq!(again["log"].get("there"), None, "{again}");
}

/// A disk with a file system, which is made, mounted and filled by stages.
fn disk(place: &str) -> Value {
    let id = "0b1d5c0e-1111-4222-8333-444455556666";
    let partition = json!({
        "start": 2048, "size": 65536, "type": "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "uuid": id,
    });
    let device = |options: Value| json!({"device": {"type": "org.osbuild.loopback", "options": options}});
    let whole = device(json!({"filename": "disk.img"}));
    let part = device(json!({"filename": "disk.img", "start": 2048, "size": 65536}));
    json!([
        {"type": "org.osbuild.noop", "options": {"place": place}},
        {"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "64M"}},
        {
            "type": "org.osbuild.sfdisk",
            "options": {"label": "gpt", "uuid": id, "partitions": [partition]},
            "devices": whole,
        },
        {"type": "org.osbuild.mkfs.ext4", "options": {"uuid": id, "label": "root"}, "devices": part},
        {
            "type": "org.osbuild.copy",
            "inputs": {
                "tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:content"]},
            },
            "options": {"paths": [{"from": "input://tree/", "to": "mount://root/"}]},
            "devices": part,
            "mounts": [{"name": "root", "type": "org.osbuild.ext4", "source": "device", "target": "/"}],
        },
    ])
}

#[test]
fn the_same_disk_comes_out() {
    let Some(place) = Place::new(12, "a disk made in a virtual machine") else {
        return;
    };
    let content = json!([{"type": "org.example.first"}, {"type": "org.example.second"}]);
    let pipelines = [
        ("content", content),
        ("here", disk("here")),
        ("there", disk("there")),
    ];
    let manifest = place.manifest(&pipelines);
    let args = [
        "--export", "here", "--export", "there", "--in-vm", "there", "--json",
    ];
    place.build(&manifest, &args).expect(0);
    let bytes = |name: &str| std::fs::read(place.env.out().join(name).join("disk.img")).unwrap();
    assert!(bytes("here") == bytes("there"), "the disks differ");
    place.nothing_is_left();
}

#[test]
fn the_same_comes_out_with_the_kernel_of_debian_12() {
    the_same_comes_out(12);
}

#[test]
fn the_same_comes_out_with_the_kernel_of_debian_13() {
    the_same_comes_out(13);
}

#[test]
fn a_lost_machine_is_an_error_and_leaves_nothing() {
    let Some(place) = Place::new(12, "a virtual machine that is lost") else {
        return;
    };
    // its kernel panics
    let manifest = place.manifest(&[("tree", json!([{"type": "org.example.crash"}]))]);
    let crashed = place
        .build(&manifest, &["--export", "tree", "--in-vm", "tree"])
        .expect(1);
    let error = "stage org.example.crash failed (the virtual machine of pipeline tree: it ended without an answer: \
                 Kernel panic - not syncing: sysrq triggered crash)";
    assert!(crashed.stderr.contains(error), "{}", crashed.stderr);
    place.nothing_is_left();

    // a stage takes too long
    let manifest = place.manifest(&[("tree", json!([{"type": "org.example.wait"}]))]);
    let args = ["--export", "tree", "--in-vm", "tree", "--stage-timeout", "2"];
    let late = place.build(&manifest, &args).expect(1);
    assert!(late.stderr.contains("over its limit of 2 s"), "{}", late.stderr);
    assert!(late.stderr.contains("| it waits"), "{}", late.stderr);
    place.nothing_is_left();

    // the build is interrupted
    let (mut child, console) = place.waiting();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(ends_within(&child, AT_ONCE), "{}", console.transcript());
    assert_eq!(
        child.wait().unwrap().code(),
        Some(143),
        "{}",
        console.transcript()
    );
    place.nothing_is_left();

    // the build is killed: the next one clears up
    let (mut child, _console) = place.waiting();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.processes(), Vec::<String>::new());
    assert_ne!(place.scratch(), Vec::<String>::new());
    let manifest = place.manifest(&[("tree", json!([{"type": "org.osbuild.noop"}]))]);
    place.build(&manifest, &["--export", "tree"]).expect(0);
    place.nothing_is_left();
}

#[test]
fn without_a_kernel_or_a_build_tree_it_is_refused() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let noop = json!([{"type": "org.osbuild.noop"}]);
    let refused = |pipelines: Value, args: &[&str], why: &str| {
        let manifest = json!({"version": "2", "pipelines": pipelines});
        let run = env
            .build(&manifest, &[&["--in-vm", "tree"], args].concat())
            .expect(1);
        let error = format!("error: the virtual machine of pipeline tree: {why}");
        assert!(run.stderr.starts_with(&error), "{}", run.stderr);
        assert_eq!(env.left_behind(), Vec::<String>::new());
    };
    refused(
        json!([{"name": "tree", "stages": noop}]),
        &[],
        "it would run the kernel of the build tree, and the pipeline has no build pipeline\n",
    );
    let both =
        json!([{"name": "build", "stages": noop}, {"name": "tree", "build": "name:build", "stages": noop}]);
    refused(
        both,
        &[],
        "the build tree has no kernel: neither usr/lib/modules/VERSION/vmlinuz nor boot/vmlinuz-VERSION with its modules\n",
    );
    refused(
        json!([{"name": "tree", "stages": noop}]),
        &["--break"],
        "no shell can be opened in it: leave out --break or --in-vm\n",
    );
}
