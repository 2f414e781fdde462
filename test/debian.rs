//! Debian images, resolved from the machine's own repositories and built once for all promises that look at them.
//!
//! Downloads stay in cargo's directory for tests between runs; the trees are built anew in each.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use tests::{Binaries, Run, left_behind, repository, run};

/// To download, resolve and build one image.
const LIMIT: Duration = Duration::from_secs(900);

/// An image of `samples/debian-server.toml`, how it came to be, and the store in which it was built.
pub struct Image {
    pub release: u32,
    dir: PathBuf,
    pub manifest: Value,
    _lock: File,
}

impl Image {
    /// The image of a release: built by the first one who asks, the others wait.
    ///
    /// # Panics
    /// It cannot be built, for instance since the repositories cannot be reached.
    pub fn server(release: u32) -> &'static Self {
        static IMAGES: [OnceLock<Image>; 2] = [const { OnceLock::new() }; 2];
        let index = match release {
            12 => 0,
            13 => 1,
            other => panic!("there is no image of Debian {other}"),
        };
        IMAGES[index].get_or_init(|| Self::make(release))
    }

    /// The image itself.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("out/disk.qcow2")
    }

    /// A place beside it that is kept.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub fn manifest_file(&self) -> PathBuf {
        self.dir.join("manifest.json")
    }

    /// Where the downloads are.
    pub fn sources() -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("sources")
    }

    fn make(release: u32) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{release}"));
        fs::create_dir_all(&dir).unwrap();
        // two runs of these tests must not work in one directory
        let lock = File::create(dir.join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        for name in ["store", "out", "tmp"] {
            let path = dir.join(name);
            if path.exists() {
                fs::remove_dir_all(path).unwrap();
            }
        }
        fs::create_dir(dir.join("tmp")).unwrap();
        share_sources(&dir.join("store"));
        let binaries = Binaries::find().unwrap();
        let mut command = Command::new(binaries.image_builder());
        command
            .args(["manifest", "--type", "qcow2", "--distro"])
            .arg(format!("debian-{release}"))
            .arg("--blueprint")
            .arg(repository().join("samples/debian-server.toml"))
            .arg("--cache")
            .arg(dir.with_file_name("lists"));
        let resolved = run(command.env("TMPDIR", dir.join("tmp")), b"", LIMIT).expect(0);
        fs::write(dir.join("manifest.json"), &resolved.stdout).unwrap();
        let mut command = Command::new(binaries.osbuild());
        command.current_dir(&dir).env("TMPDIR", dir.join("tmp")).args([
            "manifest.json",
            "--store",
            "store",
            "--output",
            "out",
        ]);
        let built = run(&mut command, b"", LIMIT).expect(0);
        report(release, &resolved, &built);
        assert_eq!(left_behind(&dir), Vec::<String>::new());
        Self {
            release,
            manifest: resolved.json(),
            dir,
            _lock: lock,
        }
    }
}

/// Makes a new store that has the downloads of all others.
pub fn share_sources(store: &Path) {
    fs::create_dir_all(Image::sources()).unwrap();
    fs::create_dir_all(store).unwrap();
    std::os::unix::fs::symlink(Image::sources(), store.join("sources")).unwrap();
}

fn report(release: u32, resolved: &Run, built: &Run) {
    let (resolved, built) = (resolved.time.as_secs_f32(), built.time.as_secs_f32());
    println!("Debian {release}: resolved in {resolved:.1} s, built in {built:.1} s");
}
