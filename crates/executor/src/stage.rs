//! Running one stage: its box, its arguments, its output, its end.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manifest::{ModuleKind, Stage};
use rustix::event::{PollFd, PollFlags, poll};
use sandbox::{Command, Ended, Idmap, Layers, Mount, Part, Plan, Source, UserNamespace};
use serde_json::{Map, Value, json};
use store::{NewTree, Object, Store};

use crate::inputs::{self, layers_of};
use crate::library::ModuleInfo;
use crate::output::Output;
use crate::report::How;
use crate::{Cancel, Error, Result, elf, runner};

/// Of the build root's `/etc`, all that a module sees.
const ETC: [&str; 5] = [
    "mke2fs.conf",
    "containers",
    "selinux",
    "alternatives",
    "ld.so.cache",
];

/// A stage about to run.
pub(crate) struct Job<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) module: &'a ModuleInfo,
    /// The runner that the manifest asks for.
    pub(crate) runner: Option<&'a str>,
    pub(crate) build: Option<&'a Object>,
    /// The trees of the manifest's pipelines, as far as they are built.
    pub(crate) objects: &'a [Option<Object>],
    pub(crate) store: &'a Store,
    pub(crate) users: &'a UserNamespace,
    pub(crate) cancel: &'a Cancel,
    pub(crate) timeout: Option<Duration>,
}

/// What a stage left behind beside its tree.
pub(crate) struct Done {
    pub(crate) failure: Option<How>,
    pub(crate) output: String,
    pub(crate) metadata: Option<Value>,
}

impl Job<'_> {
    /// Runs the stage on `tree`, its output going to `log` and piece by piece to `tell`.
    pub(crate) fn run(&self, tree: &NewTree, log: File, tell: &dyn Fn(&str)) -> Result<Done> {
        let scratch = self.store.scratch("stage")?;
        let plan = self.plan(tree, scratch.path())?;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|e| Error::io("make", "a pipe", e))?;
        let running = sandbox::start(plan, self.users, write)?;
        let watch = self.cancel.watch(running.killer());
        let mut output = Output::new(Some(log));
        let deadline = self.timeout.map(|limit| Instant::now() + limit);
        let in_time = pump(read, deadline, |bytes| tell(&output.push(bytes)))
            && wait_until(running.ended(), deadline, PollFlags::IN);
        if !in_time {
            running.killer().kill();
        }
        let ended = running.wait();
        drop(watch);
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let failure = match (in_time, ended) {
            (false, _) => Some(How::TimedOut(self.timeout.unwrap_or_default().as_secs())),
            (true, Ok(Ended::Exited(0))) => None,
            (true, Ok(Ended::Exited(code))) => Some(How::Exited(code)),
            (true, Ok(Ended::Killed(signal))) => Some(How::Killed(signal)),
            (true, Err(error)) => Some(How::Other(error.to_string())),
        };
        let metadata = std::fs::read(scratch.path().join("meta"))
            .ok()
            .filter(|text| !text.is_empty());
        let metadata = metadata.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Done {
            failure,
            output: output.finish(),
            metadata,
        })
    }

    fn plan(&self, tree: &NewTree, scratch: &Path) -> Result<Plan> {
        let write = |name: &str, content: &[u8]| {
            let path = scratch.join(name);
            std::fs::write(&path, content)
                .map(|()| path.clone())
                .map_err(|e| Error::io("write", path, e))
        };
        let make = |name: &str| {
            let path = scratch.join(name);
            std::fs::create_dir_all(&path)
                .map(|()| path.clone())
                .map_err(|e| Error::io("make", path, e))
        };
        let bind = |source: PathBuf, target: &str, writable: bool, idmap: Idmap| Mount::Bind {
            source: Source::at(source),
            target: target.into(),
            writable,
            idmap,
        };
        let mut mounts = Plan::skeleton();
        mounts.extend(self.build_root());
        let cmdline = write("cmdline", b"root=/dev/osbuild\n")?;
        mounts.push(bind(cmdline, "/proc/cmdline", false, Idmap::Required));
        let var = make("var")?;
        make("var/tmp")?;
        set_mode(&scratch.join("var/tmp"), 0o1777)?;
        mounts.push(bind(var, "/var", true, Idmap::Required));
        for (target, mode) in [
            ("/run/osbuild", 0o755),
            ("/run/osbuild/mounts", 0o755),
            ("/run/osbuild/inputs", 0o755),
        ] {
            mounts.push(Mount::Directory {
                target: target.into(),
                mode,
            });
        }
        mounts.push(Mount::Tree {
            layers: Layers {
                lower: tree.lower_layers(),
                changes: Some(tree.path().to_owned()),
            },
            target: "/run/osbuild/tree".into(),
        });
        mounts.push(bind(
            write("meta", b"")?,
            "/run/osbuild/meta",
            true,
            Idmap::Required,
        ));
        let mut arguments = Map::new();
        for input in &self.stage.inputs {
            let ready = inputs::ready(&self.stage.name, input, self.objects, self.store, scratch)?;
            mounts.extend(ready.mounts);
            arguments.insert(input.name.clone(), ready.argument);
        }
        let documents = self.documents(arguments);
        mounts.push(Mount::File {
            target: "/run/osbuild/api/arguments".into(),
            content: text(&documents.theirs),
        });
        let command = self.command(&mut mounts, &documents.ours)?;
        Ok(Plan {
            scaffold: make("root")?,
            mounts,
            hostname: "localhost".into(),
            capabilities: sandbox::DEFAULT_CAPABILITIES.to_vec(),
            command,
        })
    }

    /// `/usr` and the few files of `/etc`, from the build pipeline's tree or from the host.
    fn build_root(&self) -> Vec<Mount> {
        let etc = ETC.map(|name| PathBuf::from("etc").join(name));
        if let Some(object) = self.build {
            let parts = ["usr", "boot"].map(PathBuf::from).into_iter().chain(etc);
            let parts = parts
                .map(|path| Part {
                    target: Path::new("/").join(&path),
                    path,
                    optional: true,
                })
                .collect();
            return vec![Mount::TreeParts {
                layers: layers_of(Some(object)),
                parts,
            }];
        }
        let host = |path: PathBuf, optional| Mount::Bind {
            target: Path::new("/").join(&path),
            source: Source {
                root: "/".into(),
                path,
                optional,
            },
            writable: false,
            idmap: Idmap::Wanted,
        };
        std::iter::once(host("usr".into(), false))
            .chain(etc.into_iter().map(|path| host(path, true)))
            .collect()
    }

    /// The argument documents. They differ for an assembler: ours has the finished tree as `tree` and its result as
    /// `output_dir`; in the Python osbuild's the result is `tree`, and the finished one an input.
    fn documents(&self, inputs: Map<String, Value>) -> Documents {
        let mut meta = json!({"id": self.stage.id.to_string()});
        if let Some(epoch) = self.stage.source_epoch {
            meta["source-epoch"] = epoch.into();
        }
        let theirs = json!({
            "tree": "/run/osbuild/tree",
            "paths": {"devices": "/dev", "inputs": "/run/osbuild/inputs", "mounts": "/run/osbuild/mounts"},
            "devices": {},
            "inputs": inputs,
            "mounts": {},
            "options": self.stage.options,
            "meta": meta,
        });
        let mut ours = theirs.clone();
        if self.module.kind == ModuleKind::Assembler {
            ours["output_dir"] = ours["tree"].take();
            ours["tree"] = ours["inputs"]["tree"]["path"].clone();
        }
        Documents { ours, theirs }
    }

    fn command(&self, mounts: &mut Vec<Mount>, arguments: &Value) -> Result<Command> {
        let module = Path::new("/run/osbuild/bin").join(&self.module.name);
        let read_only = |source: &Path, target: PathBuf| Mount::Bind {
            source: Source::at(source),
            target,
            writable: false,
            idmap: Idmap::Wanted,
        };
        // resolved here: the box is given the file, and nothing of where it lies
        let resolved = |path: &Path| std::fs::canonicalize(path).map_err(|e| Error::io("find", path, e));
        mounts.push(read_only(&resolved(&self.module.executable)?, module.clone()));
        let called = format!("{}/{}", self.module.kind.folder(), self.module.name);
        let mut args: Vec<OsString> = Vec::new();
        if let Some(libdir) = &self.module.libdir {
            mounts.push(read_only(&resolved(libdir)?, "/run/osbuild/lib".into()));
            if let Some(runner) = self.runner_in(libdir)? {
                let place = Path::new("/run/osbuild/runner").join(runner.file_name().unwrap_or_default());
                mounts.push(read_only(&resolved(&runner)?, place.clone()));
                args.push(place.into());
            }
            args.push(module.into());
        } else if self.module.dynamic && self.build.is_some() {
            let libraries = elf::own_libraries();
            let host = Path::new("/run/osbuild/host");
            for library in &libraries {
                mounts.push(read_only(
                    library,
                    host.join(library.file_name().unwrap_or_default()),
                ));
            }
            let loader = libraries
                .first()
                .and_then(|path| path.file_name())
                .unwrap_or_default();
            args.push(host.join(loader).into());
            args.extend([
                "--argv0".into(),
                called.into(),
                "--library-path".into(),
                host.into(),
            ]);
            args.push(module.into());
        } else {
            return Ok(Command {
                program: module,
                args: vec![called.into()],
                env: self.environment(),
                stdin: Some(stdin_document(arguments)?),
            });
        }
        let program = PathBuf::from(args.first().cloned().unwrap_or_default());
        Ok(Command {
            program,
            args,
            env: self.environment(),
            stdin: Some(stdin_document(arguments)?),
        })
    }

    /// The runner for a foreign module: the one the manifest asks for, which must be there, or the host's if there is
    /// one that suits.
    fn runner_in(&self, libdir: &Path) -> Result<Option<PathBuf>> {
        match (self.runner, self.build) {
            (Some(wanted), Some(_)) => match runner::find(libdir, wanted) {
                Some(path) => Ok(Some(path)),
                None if !libdir.join("runners").is_dir() => Ok(None),
                None => Err(Error::Unbuildable {
                    stage: self.stage.name.clone(),
                    message: format!("no suitable runner for {wanted} in {}/runners", libdir.display()),
                }),
            },
            _ => Ok(runner::find(libdir, &runner::of_host())),
        }
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = [
            ("container", "bwrap-osbuild"),
            ("LC_CTYPE", "C.UTF-8"),
            ("PATH", "/usr/sbin:/usr/bin"),
            ("PWD", "/"),
            ("PYTHONPATH", "/run/osbuild/lib"),
            ("PYTHONUNBUFFERED", "1"),
            ("TERM", "dumb"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
        if let Some(epoch) = self.stage.source_epoch {
            env.push(("SOURCE_DATE_EPOCH".into(), epoch.to_string().into()));
        }
        env
    }
}

struct Documents {
    ours: Value,
    theirs: Value,
}

/// Hands on what comes out of `read` until nothing can come any more. False: the deadline passed first.
fn pump(read: OwnedFd, deadline: Option<Instant>, mut take: impl FnMut(&[u8])) -> bool {
    let mut file = File::from(read);
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        if !wait_until(file.as_fd(), deadline, PollFlags::IN) {
            return false;
        }
        match file.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => take(&buffer[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// Waits until `fd` is ready. False: the deadline passed first.
fn wait_until(fd: std::os::fd::BorrowedFd<'_>, deadline: Option<Instant>, flags: PollFlags) -> bool {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return false;
        }
        let timeout = left.and_then(|left| left.try_into().ok());
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            _ => return true,
        }
    }
}

/// A read-only file without a name that holds the document, at offset 0.
fn stdin_document(document: &Value) -> Result<OwnedFd> {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let fail = |e: std::io::Error| Error::io("write", "the arguments", e);
    let fd =
        rustix::fs::memfd_create("arguments", rustix::fs::MemfdFlags::CLOEXEC).map_err(|e| fail(e.into()))?;
    let mut file = File::from(fd);
    file.write_all(&text(document)).map_err(fail)?;
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(fail)?;
    Ok(again.into())
}

fn text(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| Error::io("set the mode of", path, e))
}
