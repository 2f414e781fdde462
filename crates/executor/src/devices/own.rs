//! The devices and mounts of a running stage that are ours.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use manifest::Stage;
use sandbox::UserNamespace;
use serde_json::{Value, json};

use super::setup::Setup;
use super::{Held, Opening};
use crate::driver;
use crate::mounts::{self, Mounting, Shown};

/// What of the machine outlives this process unless it is given back: how many such devices it holds, and [`NO_MORE`].
static LASTING: AtomicUsize = AtomicUsize::new(0);

/// None is opened any more.
const NO_MORE: usize = 1 << (usize::BITS - 1);

/// Opens no lasting device any more, as the process is about to end: from now on there are only fewer of them.
pub fn open_no_more() {
    LASTING.fetch_or(NO_MORE, Ordering::SeqCst);
}

/// Whether a lasting device is being opened, open, or being given back.
pub fn any_lasts() -> bool {
    LASTING.load(Ordering::SeqCst) & !NO_MORE != 0
}

/// A lasting device, from before it is opened until it was given back.
#[derive(Debug)]
pub(super) struct Lasting(());

impl Lasting {
    /// # Errors
    /// The process is about to end.
    pub(super) fn begin() -> Result<Self, String> {
        let one_more = |count: usize| (count & NO_MORE == 0).then_some(count + 1);
        let begun = LASTING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
        begun.map(|_| Self(())).map_err(|_| "interrupted".into())
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        LASTING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What of ours is open and mounted. Mounts go before devices, the last one first.
#[derive(Default)]
pub(crate) struct Own {
    devices: Vec<Box<dyn Held>>,
    mounts: Vec<Box<dyn Held>>,
    /// Where each used file system appears already.
    shown: Vec<Option<PathBuf>>,
}

/// Where a stage's devices and mounts are made.
pub(crate) struct Places<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) setup: &'a Setup,
    pub(crate) users: &'a UserNamespace,
    pub(crate) tree: PathBuf,
    pub(crate) dev: PathBuf,
    pub(crate) mounts: PathBuf,
    /// A directory of the stage.
    pub(crate) scratch: &'a Path,
}

impl Own {
    /// Opens the device at `index`: what the stage is told, its path relative to `/dev`.
    pub(crate) fn open(
        &mut self,
        at: &Places<'_>,
        index: usize,
        parent: Option<&str>,
    ) -> Result<Value, String> {
        let device = &at.stage.devices[index];
        let module =
            super::find(&device.kind).ok_or_else(|| format!("there is no device {}", device.kind))?;
        if device.name.contains('/') || matches!(device.name.as_str(), "" | "." | "..") {
            return Err("its name must be a plain one".into());
        }
        let content = at.setup.content_of(index, at.stage);
        let opening = Opening {
            name: &device.name,
            options: &device.options,
            tree: &at.tree,
            dev: &at.dev,
            parent,
            real: at.setup.real.get(index).copied().unwrap_or(true),
            content: content.as_deref(),
        };
        let opened = (module.open)(&opening)?;
        self.devices.extend(opened.held);
        Ok(Value::Object(opened.argument))
    }

    /// Makes the mount at `index`, of the node `source`: where it appears on the host, if below the root of all mounts.
    pub(crate) fn mount(
        &mut self,
        at: &Places<'_>,
        index: usize,
        source: Option<String>,
    ) -> Result<Value, String> {
        let mount = &at.stage.mounts[index];
        let module = mounts::find(&mount.kind).ok_or_else(|| format!("there is no mount {}", mount.kind))?;
        let used = at.setup.shown.get(index).copied().flatten();
        let mounting = Mounting {
            source,
            target: mount.target.as_deref().unwrap_or("/"),
            options: &mount.options,
            root: &at.mounts,
            tree: &at.tree,
            users: at.users,
            shown: used.map(|used| self.show(at, used)).transpose()?,
            bench: &at.scratch.join(format!("side-{index}")),
        };
        let mounted = (module.mount)(&mounting)?;
        self.mounts.extend(mounted.held);
        if let Some(used) = used {
            self.shown.resize(at.setup.used.len(), None);
            self.shown[used] = self.shown[used].take().or(mounted.path.clone());
        }
        Ok(json!(mounted.path))
    }

    fn show(&self, at: &Places<'_>, used: usize) -> Result<Shown, String> {
        if let Some(Some(path)) = self.shown.get(used) {
            return Ok(Shown::Again(path.clone()));
        }
        let used = &at.setup.used[used];
        let layers = driver::layers_of_new(&used.tree, at.users, used.read_only);
        layers.map(Shown::Layers).map_err(|e| e.to_string())
    }

    /// Unmounts all.
    pub(crate) fn release_mounts(&mut self) -> Result<(), String> {
        release(&mut self.mounts)
    }

    /// Lets go of all devices.
    pub(crate) fn release_devices(&mut self) -> Result<(), String> {
        release(&mut self.devices)
    }
}

/// Gives all back, also behind one that fails; the first failure.
fn release(held: &mut Vec<Box<dyn Held>>) -> Result<(), String> {
    let mut result = Ok(());
    while let Some(one) = held.pop() {
        result = result.and(one.release());
    }
    result
}
