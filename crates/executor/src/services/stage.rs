//! The services of one stage. All are started at once, since most of what a small one takes is its interpreter's start, and
//! asked in the order in which they depend on each other: inputs, devices, mounts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use manifest::{ModuleKind, Stage};
use sandbox::{Layers, Mount, UserNamespace};
use serde_json::{Map, Value, json};
use store::{Object, Store};

use super::bench::Bench;
use super::host::{Host, Limits};
use super::store_api::StoreApi;
use super::write_back::WriteBack;
use crate::devices::own::{Own, Places};
use crate::devices::setup::Setup;
use crate::devices::{self, DeviceModule};
use crate::library::{Library, ModuleInfo};
use crate::mounts::{self, MountModule};
use crate::{Cancel, Error, Result};

/// The foreign modules among those that a stage names.
pub(crate) struct Modules {
    /// For each input; `None` is one of ours.
    inputs: Vec<Option<ModuleInfo>>,
    devices: Vec<Option<ModuleInfo>>,
    mounts: Vec<Option<ModuleInfo>>,
    /// Digests of all that is here, and of our own devices and mounts.
    digests: Vec<String>,
}

impl Modules {
    /// # Errors
    /// Nobody has such a device or mount.
    pub(crate) fn find(library: &Library, stage: &Stage) -> Result<Self> {
        let mut found = Self::none();
        for input in &stage.inputs {
            let module = library.find(ModuleKind::Input, &input.kind);
            found
                .digests
                .extend(module.iter().map(|module| module.digest.clone()));
            found.inputs.push(module);
        }
        for device in &stage.devices {
            let own = devices::find(&device.kind).map(DeviceModule::digest);
            let module = found.need(library, stage, (ModuleKind::Device, &device.kind), own)?;
            found.devices.push(module);
        }
        for mount in &stage.mounts {
            let own = mounts::find(&mount.kind).map(MountModule::digest);
            let module = found.need(library, stage, (ModuleKind::Mount, &mount.kind), own)?;
            found.mounts.push(module);
        }
        Ok(found)
    }

    /// No module at all.
    pub(crate) fn none() -> Self {
        Self {
            inputs: Vec::new(),
            devices: Vec::new(),
            mounts: Vec::new(),
            digests: Vec::new(),
        }
    }

    /// The foreign module, or `None` for ours, which has the digest `own`.
    fn need(
        &mut self,
        library: &Library,
        stage: &Stage,
        (kind, name): (ModuleKind, &str),
        own: Option<String>,
    ) -> Result<Option<ModuleInfo>> {
        let module = library.find(kind, name);
        let digest = module.as_ref().map(|module| module.digest.clone()).or(own);
        self.digests.push(digest.ok_or_else(|| Error::Unbuildable {
            stage: stage.name.clone(),
            message: format!("there is no {} module {name}", kind.noun()),
        })?);
        Ok(module)
    }

    /// Whether the stage needs no service.
    pub(crate) fn is_empty(&self) -> bool {
        self.inputs.iter().all(Option::is_none) && self.devices.is_empty() && self.mounts.is_empty()
    }

    /// Whether the input at `index` comes from a service.
    pub(crate) fn has_input(&self, index: usize) -> bool {
        matches!(self.inputs.get(index), Some(Some(_)))
    }

    /// Whether the device at `index` comes from a service.
    pub(crate) fn has_device(&self, index: usize) -> bool {
        matches!(self.devices.get(index), Some(Some(_)))
    }

    /// Whether the mount at `index` comes from a service.
    pub(crate) fn has_mount(&self, index: usize) -> bool {
        matches!(self.mounts.get(index), Some(Some(_)))
    }

    /// Digests of all, for what the stage sees; none for a stage without services, devices and mounts.
    pub(crate) fn digests(&self) -> &[String] {
        &self.digests
    }
}

/// What a stage's services are given.
pub(crate) struct Around<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) modules: &'a Modules,
    pub(crate) setup: &'a Setup,
    pub(crate) objects: &'a [Option<Object>],
    pub(crate) store: &'a Store,
    pub(crate) users: &'a UserNamespace,
    pub(crate) cancel: &'a Cancel,
    pub(crate) scratch: &'a Path,
    pub(crate) tell: &'a (dyn Fn(&str) + Sync),
    /// When the stage's time is over.
    pub(crate) deadline: Option<Instant>,
}

/// A stage's services, running.
pub(crate) struct Served<'a> {
    /// It goes first, as it holds file systems that services unmount.
    write_back: Option<WriteBack>,
    /// For messages.
    stage: String,
    pub(crate) host: Host<'a>,
    bench: Bench,
    api: StoreApi<'a>,
    own: Own,
    /// For the argument documents.
    pub(crate) inputs: Map<String, Value>,
    pub(crate) devices: Map<String, Value>,
    pub(crate) mounts: Map<String, Value>,
    /// The inputs that are a storage of containers.
    storages: Vec<String>,
}

/// Containers' programs write locks into a storage even to read it, and their modules remount it for that.
const STORAGE: &str = "org.osbuild.containers-storage";

impl<'a> Served<'a> {
    /// Starts all. The calling thread has a mount table of its own.
    ///
    /// # Errors
    /// A service fails; those that run already are stopped.
    pub(crate) fn start(around: &Around<'a>, tree: Layers) -> Result<Self> {
        let bench = Bench::new(around.scratch, tree, around.users)?;
        let both = (around.store, around.users);
        let mut served = Self {
            write_back: None,
            stage: around.stage.name.clone(),
            host: Host::new(
                &around.stage.name,
                around.cancel,
                around.tell,
                Limits::of_stage(around.deadline),
            ),
            bench,
            api: StoreApi::new(around.stage, around.objects, both, around.scratch)?,
            own: Own::default(),
            storages: {
                let inputs = around.stage.inputs.iter();
                let storages = inputs.filter(|input| input.kind == STORAGE);
                storages.map(|input| input.name.clone()).collect()
            },
            inputs: Map::new(),
            devices: Map::new(),
            mounts: Map::new(),
        };
        let result = served.start_all(around);
        match result {
            Ok(()) => Ok(served),
            Err(e) => {
                // the service's own error says more than what closing may add
                let _ = served.stop();
                Err(e)
            }
        }
    }

    fn start_all(&mut self, around: &Around<'a>) -> Result<()> {
        let (stage, modules) = (around.stage, around.modules);
        let inputs = stage.inputs.iter().map(|input| input.name.as_str());
        let inputs = self.start_services("input", inputs, &modules.inputs)?;
        let devices = stage.devices.iter().map(|device| device.name.as_str());
        let devices = self.start_services("device", devices, &modules.devices)?;
        let mounts = stage.mounts.iter().map(|mount| mount.name.as_str());
        let mounts = self.start_services("mount", mounts, &modules.mounts)?;
        self.map_inputs(around, &inputs)?;
        let relative = self.open_devices(around, &devices)?;
        let mounted = self.make_mounts(around, &mounts, &relative)?;
        self.write_back = WriteBack::start(&mounted, &self.device_numbers());
        Ok(())
    }

    /// The numbers of the devices that have a node.
    fn device_numbers(&self) -> BTreeSet<u64> {
        let number = |reply: &Value| {
            let number = |key: &str| u32::try_from(reply["node"][key].as_u64()?).ok();
            Some(rustix::fs::makedev(number("major")?, number("minor")?))
        };
        self.devices.values().filter_map(number).collect()
    }

    /// Starts those that are foreign modules: their numbers.
    fn start_services<'b>(
        &mut self,
        kind: &str,
        names: impl Iterator<Item = &'b str>,
        modules: &[Option<ModuleInfo>],
    ) -> Result<Vec<Option<usize>>> {
        let start = |(name, module): (&str, &Option<ModuleInfo>)| {
            let start = |module| self.host.start(format!("{kind}/{name}"), program(module));
            module.as_ref().map(start).transpose()
        };
        names.zip(modules).map(start).collect()
    }

    fn map_inputs(&mut self, around: &Around<'a>, services: &[Option<usize>]) -> Result<()> {
        for (input, service) in around.stage.inputs.iter().zip(services) {
            let Some(service) = *service else { continue };
            let id = format!("input/{}", input.name);
            let target = plain(&input.name, around, &id).map(|name| self.bench.inputs().join(name))?;
            std::fs::create_dir_all(&target).map_err(|e| Error::io("make", &target, e))?;
            let args = json!({
                "origin": input.origin.name(),
                "refs": Map::from_iter(input.references.clone()),
                "target": target,
                "options": input.options,
                "api": {"store": self.api.socket()},
            });
            let mut reply = self.host.ask(service, "map", &args, &mut self.api)?;
            let path = reply["path"].as_str().map(PathBuf::from);
            let below = path
                .as_ref()
                .and_then(|path| path.strip_prefix(self.bench.inputs()).ok());
            let below = below.filter(|below| is_inside(below));
            let below = below.ok_or_else(|| around.failed(&id, "its path is not below its target"))?;
            reply["path"] = json!(Path::new("/run/osbuild/inputs").join(below));
            self.inputs.insert(input.name.clone(), reply);
        }
        Ok(())
    }

    /// The devices' paths below `/dev`, where they have one.
    fn open_devices(
        &mut self,
        around: &Around<'a>,
        services: &[Option<usize>],
    ) -> Result<Vec<Option<String>>> {
        let mut paths: Vec<Option<String>> = Vec::new();
        let places = self.places(around);
        let all = around.stage.devices.iter().zip(services);
        for (index, (device, service)) in all.enumerate() {
            let id = format!("device/{}", device.name);
            let parent = device
                .parent
                .and_then(|index| paths.get(index))
                .cloned()
                .flatten();
            let args = json!({
                "dev": self.bench.dev(),
                "tree": self.bench.tree(),
                "parent": parent,
                "options": device.options,
            });
            let mut reply = match service {
                Some(service) => self.host.ask(*service, "open", &args, &mut ())?,
                None => {
                    let opened = self.own.open(&places, index, parent.as_deref());
                    opened.map_err(|message| around.failed(&id, &message))?
                }
            };
            let path = reply["path"].as_str().map(str::to_owned);
            if let Some(path) = &path {
                if !is_inside(Path::new(path)) {
                    return Err(around.failed(&id, "its path is not below /dev"));
                }
                reply["path"] = json!(Path::new("/dev").join(path));
            }
            paths.push(path);
            self.devices.insert(device.name.clone(), reply);
        }
        Ok(paths)
    }

    /// Where on the host they appear.
    fn make_mounts(
        &mut self,
        around: &Around<'a>,
        services: &[Option<usize>],
        devices: &[Option<String>],
    ) -> Result<Vec<PathBuf>> {
        let root = self.bench.mounts();
        let mut mounted = Vec::new();
        let places = self.places(around);
        let all = around.stage.mounts.iter().zip(services);
        for (index, (mount, service)) in all.enumerate() {
            let id = format!("mount/{}", mount.name);
            let device = mount
                .device
                .and_then(|index| devices.get(index))
                .and_then(Option::as_ref);
            let source = device.map(|path| self.source(path, mount.partition));
            let args = json!({
                "source": source,
                "target": mount.target,
                "root": root,
                "tree": self.bench.tree(),
                "options": mount.options,
            });
            let reply = match service {
                Some(service) => self.host.ask(*service, "mount", &args, &mut ())?,
                None => {
                    let mounted = self.own.mount(&places, index, source);
                    mounted.map_err(|message| around.failed(&id, &message))?
                }
            };
            let argument = match reply.as_str().filter(|path| !path.is_empty()) {
                None => json!({}),
                Some(path) => {
                    let below = Path::new(path)
                        .strip_prefix(&root)
                        .ok()
                        .filter(|below| is_inside(below));
                    let below = below.ok_or_else(|| around.failed(&id, "its path is not below its root"))?;
                    mounted.push(PathBuf::from(path));
                    let below = if below.as_os_str().is_empty() {
                        Path::new(".")
                    } else {
                        below
                    };
                    json!({"path": format!("/run/osbuild/mounts/{}", below.display())})
                }
            };
            self.mounts.insert(mount.name.clone(), argument);
        }
        Ok(mounted)
    }

    fn places(&self, around: &Around<'a>) -> Places<'a> {
        Places {
            stage: around.stage,
            setup: around.setup,
            users: around.users,
            tree: self.bench.tree(),
            dev: self.bench.dev(),
            mounts: self.bench.mounts(),
            scratch: around.scratch,
        }
    }

    /// The node of a device, or of its partition: the machine's own if there is one, since that is what tools look for.
    fn source(&self, device: &str, partition: Option<u64>) -> String {
        let own = Path::new("/dev").join(device);
        let node = if own.exists() {
            own
        } else {
            self.bench.dev().join(device)
        };
        match partition.filter(|number| *number != 0) {
            Some(number) => format!("{}p{number}", node.display()),
            None => node.display().to_string(),
        }
    }

    /// What brings the services' work into the box: the stage's tree first.
    pub(crate) fn bring(&self) -> Result<Vec<Mount>> {
        let inputs: Vec<&str> = self.inputs.keys().map(String::as_str).collect();
        self.bench.bring(&inputs, &self.storages)
    }

    /// Stops all services, the last one first, and lets go of the tree.
    pub(crate) fn stop(mut self) -> Result<()> {
        let failed = |message: String| Error::Unbuildable {
            stage: self.stage.clone(),
            message,
        };
        self.write_back = None;
        let mounts = self.own.release_mounts().map_err(failed);
        let stopped = self.host.stop();
        let devices = self.own.release_devices().map_err(failed);
        self.bench.close().and(stopped).and(mounts).and(devices)
    }
}

impl Around<'_> {
    fn failed(&self, id: &str, message: &str) -> Error {
        Error::Unbuildable {
            stage: self.stage.name.clone(),
            message: format!("{id}: {message}"),
        }
    }
}

fn program(module: &ModuleInfo) -> (&Path, Option<&Path>) {
    let package = module
        .python_package
        .as_ref()
        .and_then(|package| package.parent());
    (&module.executable, package)
}

/// A name that is joined to a directory.
fn plain<'b>(name: &'b str, around: &Around<'_>, id: &str) -> Result<&'b str> {
    if name.contains('/') || matches!(name, "" | "." | "..") {
        return Err(around.failed(id, "its name must be a plain one"));
    }
    Ok(name)
}

/// Whether a relative path stays below where it begins.
fn is_inside(path: &Path) -> bool {
    use std::path::Component;
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
