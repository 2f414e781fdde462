//! The box of a stage, its argument documents and its command, as data.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use manifest::ModuleKind;
use sandbox::{Command, Idmap, Mount, Part, Plan, Source};
use serde_json::{Map, Value, json};
use store::NewTree;

use super::{Job, chroot};
use crate::build::needs_host;
use crate::inputs::{self, layers_of};
use crate::services::Served;
use crate::{Error, Result, deeds, driver, elf, runner};

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

impl Job<'_> {
    /// All that the module sees, is told and may do. `scratch` is a directory of this stage.
    pub(super) fn plan(&self, tree: &NewTree, scratch: &Path, served: Option<&Served<'_>>) -> Result<Plan> {
        let write = |name: &str, content: &[u8]| {
            let path = scratch.join(name);
            std::fs::write(&path, content)
                .map(|()| path.clone())
                .map_err(|e| Error::io("write", path, e))
        };
        let bind = |source: PathBuf, target: &str, writable: bool, idmap: Idmap| Mount::Bind {
            source: Source::at(source),
            target: target.into(),
            writable,
            idmap,
        };
        let mut mounts = Plan::skeleton();
        mounts.extend(self.more_of_dev());
        mounts.extend(self.build_root());
        let lent = self.store.common(fill_common)?;
        let cmdline = lent.join("cmdline");
        mounts.push(bind(cmdline, "/proc/cmdline", false, Idmap::Required));
        // so far the boxes of a pipeline's stages are alike
        let common = mounts.len();
        mounts.push(bind(scratch.join("var"), "/var", true, Idmap::Required));
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
                layers: driver::layers_of_new(tree, self.users, false)?,
                target: "/run/osbuild/tree".into(),
            }),
        }
        mounts.push(bind(
            scratch.join("meta"),
            "/run/osbuild/meta",
            true,
            Idmap::Required,
        ));
        if self.module.libdir.is_none() && !self.stage.devices.is_empty() {
            let file = write("filesystems", b"")?;
            mounts.push(bind(file, "/run/osbuild/filesystems", true, Idmap::Required));
        }
        if self.setup.grafting.is_offered() {
            let file = write("graft", b"")?;
            mounts.push(bind(file, "/run/osbuild/graft", true, Idmap::Required));
        }
        if let (Some(zero), true) = (trace::zero(), self.keeps_trace()) {
            let file = write("trace", zero.to_string().as_bytes())?;
            mounts.push(bind(file, "/run/osbuild/trace", true, Idmap::Required));
        }
        if deeds::may_ask(self.module) {
            let file = write("deeds", b"")?;
            mounts.push(bind(file, "/run/osbuild/deeds", true, Idmap::Required));
        }
        mounts.extend(self.contents()?);
        if self.mounts_confined() {
            mounts.push(chroot::mount_program(scratch)?);
        }
        for program in &self.module.programs {
            mounts.extend(program.mounts(scratch)?);
        }
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
            scaffold: lent.join("root"),
            mounts,
            common,
            hostname: "localhost".into(),
            capabilities: self.capabilities()?,
            sockets: self.module.profile().sockets(),
            guards: self.bounds.guards()?,
            command,
        })
    }

    /// Whether it is a foreign module without the host's root, which cannot mount what its namespaces do not own.
    fn mounts_confined(&self) -> bool {
        self.module.libdir.is_some() && !needs_host(self.stage, self.module)
    }

    /// What is in `/dev` beside the skeleton. For a foreign module that is what the Python osbuild has there: no links,
    /// since some modules make them themselves, but `fuse` where the host has it.
    fn more_of_dev(&self) -> Vec<Mount> {
        match self.module.libdir {
            Some(_) if Path::new("/dev/fuse").exists() => vec![Mount::Device { name: "fuse".into() }],
            Some(_) => Vec::new(),
            None => Plan::device_links(),
        }
    }

    /// What is to be in file systems that the stage makes.
    fn contents(&self) -> Result<Vec<Mount>> {
        if let Some(fill) = &self.fill {
            return Ok(fill.mounts());
        }
        let content = |(device, tree): &(usize, NewTree)| {
            let target = self.setup.content_of(*device, self.stage)?;
            let layers = driver::layers_of_new(tree, self.users, false);
            Some(layers.map(|layers| Mount::Tree {
                layers,
                target: target.into(),
            }))
        };
        self.setup.content.iter().filter_map(content).collect()
    }

    /// What the module's profile gives it, within the box's user namespace where that is its own.
    fn capabilities(&self) -> Result<Vec<sandbox::Capability>> {
        let all = self.module.profile().capabilities();
        all.map_err(|message| self.stopped(message))
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

    /// Whether the module keeps a part of the trace: ours do, in the box.
    pub(super) fn keeps_trace(&self) -> bool {
        self.module.libdir.is_none() && self.machine.is_none()
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
        self.setup.grafting.add_to(&mut meta);
        let devices = match (&self.fill, served) {
            (Some(fill), _) => fill.devices(),
            (None, Some(served)) => served.devices.clone().into(),
            (None, None) => json!({}),
        };
        let theirs = json!({
            "tree": "/run/osbuild/tree",
            "paths": {"devices": "/dev", "inputs": "/run/osbuild/inputs", "mounts": "/run/osbuild/mounts"},
            "devices": devices,
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
        // resolved here, as ours was: the box is given the file, and nothing of where it lies
        let resolved = |path: &Path| std::fs::canonicalize(path).map_err(|e| Error::io("find", path, e));
        let executable = match self.module.libdir {
            Some(_) => resolved(&self.module.executable)?,
            None => self.module.executable.clone(),
        };
        mounts.push(read_only(&executable, module.clone()));
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
        let wanted = self.runner.filter(|_| self.build.is_some());
        match (runner::chosen(libdir, wanted), wanted) {
            (None, Some(wanted)) if libdir.join("runners").is_dir() => Err(Error::Unbuildable {
                stage: self.stage.name.clone(),
                message: format!("no suitable runner for {wanted} in {}/runners", libdir.display()),
            }),
            (found, _) => Ok(found),
        }
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let path = match self.mounts_confined() || !self.module.programs.is_empty() {
            true => chroot::PATH_WITH_TOOLS,
            false => chroot::PATH,
        };
        let mut env: Vec<(OsString, OsString)> = [
            ("container", "bwrap-osbuild"),
            ("LC_CTYPE", "C.UTF-8"),
            ("PATH", path),
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

/// What boxes are lent alike and cannot change: the place where each builds its root, in a mount table of its own, and a
/// command line of the kernel.
fn fill_common(dir: &Path) -> Result<()> {
    let (root, cmdline) = (dir.join("root"), dir.join("cmdline"));
    std::fs::create_dir(&root).map_err(|e| Error::io("make", root, e))?;
    std::fs::write(&cmdline, b"root=/dev/osbuild\n").map_err(|e| Error::io("write", cmdline, e))
}

/// What every stage has a directory of its own with: its `/var`, and where it leaves its metadata.
pub(super) fn fill_stage(dir: &Path) -> Result<()> {
    for name in ["var", "var/tmp"] {
        let path = dir.join(name);
        std::fs::create_dir(&path).map_err(|e| Error::io("make", path, e))?;
    }
    set_mode(&dir.join("var/tmp"), 0o1777)?;
    let meta = dir.join("meta");
    std::fs::write(&meta, b"").map_err(|e| Error::io("write", meta, e))
}

struct Documents {
    ours: Value,
    theirs: Value,
}

/// What a module reads.
fn stdin_document(document: &Value) -> Result<OwnedFd> {
    memory_file(&text(document))
}

/// A read-only file without a name that holds `content`, at offset 0.
pub(crate) fn memory_file(content: &[u8]) -> Result<OwnedFd> {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let fail = |e: std::io::Error| Error::io("write", "the arguments", e);
    let fd =
        rustix::fs::memfd_create("arguments", rustix::fs::MemfdFlags::CLOEXEC).map_err(|e| fail(e.into()))?;
    let mut file = File::from(fd);
    file.write_all(content).map_err(fail)?;
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(fail)?;
    Ok(again.into())
}

fn text(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| Error::io("set the mode of", path, e))
}
