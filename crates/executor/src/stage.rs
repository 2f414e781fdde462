//! Running one stage: its box, its arguments, its output, its end.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manifest::{ModuleKind, Stage};
use sandbox::{Command, Ended, Idmap, Layers, Mount, Part, Plan, Source, UserNamespace};
use serde_json::{Map, Value, json};
use store::{NewTree, Object, Store};

use crate::inputs::{self, layers_of};
use crate::library::ModuleInfo;
use crate::output::Output;
use crate::pump::{pump, wait_until};
use crate::report::How;
use crate::services::{self, Beside, SandboxApi, Served};
use crate::{Cancel, Error, Result, elf, runner};

/// Of the build root's `/etc`, all that a module sees.
const ETC: [&str; 5] = [
    "mke2fs.conf",
    "containers",
    "selinux",
    "alternatives",
    "ld.so.cache",
];

/// How many of these no runner writes.
const ETC_FIXED: usize = 3;

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
    /// The foreign inputs, devices and mounts.
    pub(crate) services: &'a services::Modules,
    /// Gets what those print.
    pub(crate) tell_service: &'a (dyn Fn(&str) + Sync),
}

/// What a stage left behind beside its tree.
pub(crate) struct Done {
    pub(crate) failure: Option<How>,
    pub(crate) output: String,
    pub(crate) metadata: Option<Value>,
    /// What it reported as an exception.
    pub(crate) error: Option<Value>,
}

impl Job<'_> {
    /// Runs the stage on `tree`, its output going to `log` and piece by piece to `tell`.
    pub(crate) fn run(&self, tree: &NewTree, log: File, tell: &(dyn Fn(&str) + Sync)) -> Result<Done> {
        let scratch = self.store.scratch("stage")?;
        let scratch = scratch.path();
        self.with_services(tree, scratch, |served| {
            self.run_served(tree, scratch, served, log, tell)
        })
    }

    /// Does `work` while the stage's services run. They, and whatever they mount, belong to a thread that has a mount
    /// table of its own; a stage without services needs neither.
    fn with_services<T: Send>(
        &self,
        tree: &NewTree,
        scratch: &Path,
        work: impl FnOnce(Option<&mut Served<'_>>) -> Result<T> + Send,
    ) -> Result<T> {
        if self.services.is_empty() {
            return work(None);
        }
        let serve = || {
            sandbox::own_mount_table()?;
            let around = services::Around {
                stage: self.stage,
                modules: self.services,
                objects: self.objects,
                store: self.store,
                users: self.users,
                cancel: self.cancel,
                scratch,
                tell: self.tell_service,
            };
            let mut served = Served::start(&around, layers(tree))?;
            let result = work(Some(&mut served));
            let stopped = served.stop();
            result.and_then(|done| stopped.map(|()| done))
        };
        std::thread::scope(|scope| match scope.spawn(serve).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    fn run_served(
        &self,
        tree: &NewTree,
        scratch: &Path,
        mut served: Option<&mut Served<'_>>,
        log: File,
        tell: &dyn Fn(&str),
    ) -> Result<Done> {
        let mut plan = self.plan(tree, scratch, served.as_deref())?;
        let mut api = match &self.module.libdir {
            Some(_) => Some(SandboxApi::new(scratch, self.users.root_id())?),
            None => None,
        };
        plan.mounts.extend(api.iter().flat_map(SandboxApi::mounts));
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|e| Error::io("make", "a pipe", e))?;
        let running = sandbox::start(plan, self.users, write)?;
        let watch = self.cancel.watch(running.killer());
        let mut output = Output::new(Some(log));
        // a limit beyond all clocks is none
        let deadline = self.timeout.and_then(|limit| Instant::now().checked_add(limit));
        let mut beside: Vec<&mut dyn Beside> = Vec::new();
        if let Some(served) = &mut served {
            beside.push(&mut served.host);
        }
        if let Some(api) = &mut api {
            beside.push(api);
        }
        let in_time = pump(read, deadline, &mut beside, |bytes| tell(&output.push(bytes)))
            && wait_until(running.ended(), deadline, &mut beside);
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
        let error = api.and_then(SandboxApi::finish);
        let metadata = std::fs::read(scratch.join("meta"))
            .ok()
            .filter(|text| !text.is_empty());
        let metadata = metadata.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Done {
            failure,
            output: output.finish(),
            metadata,
            error,
        })
    }

    /// Opens a shell in the box the stage will run in, with our own stdin and stdout, and waits for its end.
    ///
    /// # Errors
    /// It cannot be started, or says by its exit code that the build is to end.
    pub(crate) fn shell(&self, tree: &NewTree) -> Result<()> {
        let scratch = self.store.scratch("shell")?;
        let scratch = scratch.path();
        self.with_services(tree, scratch, |served| {
            self.shell_served(tree, scratch, served.as_deref())
        })
    }

    fn shell_served(&self, tree: &NewTree, scratch: &Path, served: Option<&Served<'_>>) -> Result<()> {
        let mut plan = self.plan(tree, scratch, served)?;
        let clone =
            |fd: std::io::Result<OwnedFd>| fd.map_err(|e| Error::io("take over", "stdin and stdout", e));
        plan.command.stdin = Some(clone(std::io::stdin().as_fd().try_clone_to_owned())?);
        let output = clone(std::io::stdout().as_fd().try_clone_to_owned())?;
        plan.command.program = "/bin/bash".into();
        plan.command.args = vec!["bash".into()];
        plan.command.env.retain(|(name, _)| name != "TERM");
        let term = std::env::var_os("TERM").unwrap_or_else(|| "dumb".into());
        plan.command.env.push(("TERM".into(), term));
        let running = sandbox::start(plan, self.users, output)?;
        let watch = self.cancel.watch(running.killer());
        let ended = running.wait();
        drop(watch);
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match ended? {
            // an overlay that was mounted without syncing is refused a second time, until its work directory is new
            Ended::Exited(0) => std::fs::remove_dir_all(tree.work())
                .and_then(|()| std::fs::create_dir(tree.work()))
                .map_err(|e| Error::io("make anew", tree.work(), e)),
            Ended::Exited(code) => {
                Err(self.stopped(format!("the shell before it ended with exit code {code}")))
            }
            Ended::Killed(signal) => {
                Err(self.stopped(format!("the shell before it was killed by signal {signal}")))
            }
        }
    }

    fn stopped(&self, message: String) -> Error {
        Error::Unbuildable {
            stage: self.stage.name.clone(),
            message,
        }
    }

    fn plan(&self, tree: &NewTree, scratch: &Path, served: Option<&Served<'_>>) -> Result<Plan> {
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
        match served {
            Some(served) => mounts.extend(served.bring()?),
            None => mounts.push(Mount::Tree {
                layers: layers(tree),
                target: "/run/osbuild/tree".into(),
            }),
        }
        mounts.push(bind(
            write("meta", b"")?,
            "/run/osbuild/meta",
            true,
            Idmap::Required,
        ));
        let mut arguments = Map::new();
        for (index, input) in self.stage.inputs.iter().enumerate() {
            if self.services.has_input(index) {
                let argument = served.and_then(|served| served.inputs.get(&input.name));
                arguments.insert(input.name.clone(), argument.cloned().unwrap_or_default());
                continue;
            }
            let ready = inputs::ready(&self.stage.name, input, self.objects, self.store, scratch)?;
            mounts.extend(ready.mounts);
            arguments.insert(input.name.clone(), ready.argument);
        }
        let documents = self.documents(arguments, served);
        mounts.push(Mount::File {
            target: "/run/osbuild/api/arguments".into(),
            content: text(&documents.theirs),
        });
        let command = self.command(&mut mounts, &documents.ours)?;
        Ok(Plan {
            scaffold: make("root")?,
            mounts,
            hostname: "localhost".into(),
            capabilities: self.capabilities()?,
            command,
        })
    }

    /// What every module may do, and what this one's metadata asks for: all within the box's user namespace.
    fn capabilities(&self) -> Result<Vec<sandbox::Capability>> {
        let mut all = sandbox::DEFAULT_CAPABILITIES.to_vec();
        let asked = self.module.meta["capabilities"].as_array();
        for name in asked.into_iter().flatten().filter_map(Value::as_str) {
            all.push(sandbox::capability(name).ok_or_else(|| {
                self.stopped(format!("its metadata asks for {name}, which is no capability"))
            })?);
        }
        Ok(all)
    }

    /// `/usr` and the few files of `/etc`, from the build pipeline's tree or from the host.
    fn build_root(&self) -> Vec<Mount> {
        let etc = self.etc().iter().map(|name| PathBuf::from("etc").join(name));
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
            .chain(etc.map(|path| host(path, true)))
            .collect()
    }

    /// A runner of a foreign module makes the last two itself, and must be able to.
    fn etc(&self) -> &'static [&'static str] {
        match &self.module.libdir {
            Some(libdir) if libdir.join("runners").is_dir() => &ETC[..ETC_FIXED],
            _ => &ETC,
        }
    }

    /// The argument documents. They differ for an assembler: ours has the finished tree as `tree` and its result as
    /// `output_dir`; in the Python osbuild's the result is `tree`, and the finished one an input.
    fn documents(&self, inputs: Map<String, Value>, served: Option<&Served<'_>>) -> Documents {
        let mut meta = json!({"id": self.stage.id.to_string()});
        if let Some(epoch) = self.stage.source_epoch {
            meta["source-epoch"] = epoch.into();
        }
        let theirs = json!({
            "tree": "/run/osbuild/tree",
            "paths": {"devices": "/dev", "inputs": "/run/osbuild/inputs", "mounts": "/run/osbuild/mounts"},
            "devices": served.map(|served| served.devices.clone()).unwrap_or_default(),
            "inputs": inputs,
            "mounts": served.map(|served| served.mounts.clone()).unwrap_or_default(),
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
            let package = self.module.python_package.as_ref();
            if let Some(package) = package.filter(|package| **package != libdir.join("osbuild")) {
                // the directory is there, empty, as packages of distributions have it
                mounts.push(read_only(&resolved(package)?, "/run/osbuild/lib/osbuild".into()));
            }
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

fn layers(tree: &NewTree) -> Layers {
    Layers {
        lower: tree.lower_layers(),
        changes: Some(tree.path().to_owned()),
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
