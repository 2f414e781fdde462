//! How the devices and mounts of a stage are had: decided before it runs, from the manifest and what lies beside the disks.

use manifest::{Mount, Stage};
use serde_json::Value;
use store::{NewTree, Store};

use super::graft::Grafting;
use super::range::{self, Range};
use super::sides::{Disks, Made, Side};
use crate::library::ModuleInfo;
use crate::services::Modules;
use crate::{Error, Result, mounts};

/// Where in the box a stage finds the files that are to be in the file system that it makes on a device.
pub(crate) const CONTENT: &str = "/run/osbuild/content";

/// How the devices and mounts of one stage are had.
#[derive(Default)]
pub(crate) struct Setup {
    /// For each device, whether the kernel must have it.
    pub(crate) real: Vec<bool>,
    /// For each mount, which of `used` it shows.
    pub(crate) shown: Vec<Option<usize>>,
    pub(crate) used: Vec<Used>,
    /// Trees for what the stage may want to be in a file system that it makes, each for a device (an index).
    pub(crate) content: Vec<(usize, NewTree)>,
    /// The file systems (indices) whose disks must not be behind when the stage begins.
    pub(crate) settle: Vec<usize>,
    /// Those that the stage may write over.
    pub(crate) doubtful: Vec<usize>,
    /// Which of `used` may begin as a whole input, and which does.
    pub(crate) grafting: Grafting,
}

/// The files of a file system, mounted for this stage.
pub(crate) struct Used {
    /// Which side it is.
    pub(crate) side: usize,
    pub(crate) tree: NewTree,
    /// Whether every mount of it is read-only.
    pub(crate) read_only: bool,
}

impl Setup {
    /// Decides for `stage`, which runs on `base`.
    ///
    /// # Errors
    /// A device or mount asks for what cannot be; the message names it.
    pub(crate) fn of(
        stage: &Stage,
        module: &ModuleInfo,
        modules: &Modules,
        base: Option<&Made>,
        store: &Store,
    ) -> Result<Self> {
        let sides = base.map(|base| &base.sides[..]).unwrap_or_default();
        if stage.devices.is_empty() && stage.mounts.is_empty() {
            return Ok(Self::blind(sides));
        }
        let asking = Asking {
            stage,
            ours: module.libdir.is_none(),
            modules,
            sides,
            disks: Disks::of(base.map(|base| &base.object))?,
        };
        asking.answer(store)
    }

    /// For a stage that sees disks as files, if it looks at them.
    fn blind(sides: &[Side]) -> Self {
        Self {
            settle: (0..sides.len()).collect(),
            doubtful: (0..sides.len()).collect(),
            ..Self::default()
        }
    }
}

struct Asking<'a> {
    stage: &'a Stage,
    /// Whether the stage's own module is.
    ours: bool,
    modules: &'a Modules,
    sides: &'a [Side],
    disks: Disks,
}

impl Asking<'_> {
    fn answer(&self, store: &Store) -> Result<Setup> {
        let mut setup = Setup {
            real: self.devices_in_kernel(),
            ..Setup::default()
        };
        for (index, mount) in self.stage.mounts.iter().enumerate() {
            let side = self.side_of(index, mount)?;
            let shown = side
                .map(|side| setup.show(side, mount, self.sides, store))
                .transpose()?;
            setup.shown.push(shown);
            // what no directory shows the kernel mounts
            if let (None, Some(device), true) = (shown, mount.device, mounts::is_file_system(&mount.kind)) {
                setup.need_kernel(device, self.stage);
            }
        }
        let looks = !self.ours || self.names_files_of_tree();
        for (index, side) in self.sides.iter().enumerate() {
            let touched = self.is_touched(side, &setup)?;
            if looks || touched {
                setup.settle.push(index);
                setup.doubtful.push(index);
            }
        }
        if self.ours {
            setup.offer_content(self, store)?;
            setup.grafting = Grafting::offer(self.stage, &setup, self.sides, store)?;
        }
        Ok(setup)
    }

    /// Devices that are real whatever is mounted: for a foreign stage or below a foreign module, and those that encrypted
    /// devices and volumes lie on.
    fn devices_in_kernel(&self) -> Vec<bool> {
        let devices = &self.stage.devices;
        let mut real = vec![!self.ours; devices.len()];
        for (index, device) in devices.iter().enumerate() {
            let plain = Range::of_device(device).is_some() && !self.modules.has_device(index);
            real[index] |= !plain;
            if let Some(parent) = device.parent.filter(|_| !plain) {
                real[parent] = true;
            }
        }
        for (index, mount) in self.stage.mounts.iter().enumerate() {
            if let Some(device) = mount.device.filter(|_| self.modules.has_mount(index)) {
                real[device] = true;
            }
        }
        real
    }

    /// The file system beside the disk that a mount shows.
    fn side_of(&self, index: usize, mount: &Mount) -> Result<Option<usize>> {
        if !self.ours || self.modules.has_mount(index) || !mounts::is_file_system(&mount.kind) {
            return Ok(None);
        }
        let Some(range) = self.range_of(mount)? else {
            return Ok(None);
        };
        let mut found = self.sides.iter().enumerate().rev();
        let found = found.find(|(_, side)| side.range.file == range.file && side.range.start == range.start);
        let Some((index, side)) = found else {
            return Ok(None);
        };
        if !side.holds(self.disks.open(&range.file).ok().as_ref()) {
            return Ok(None);
        }
        if range
            .size
            .zip(side.range.size)
            .is_some_and(|(device, size)| device < size)
        {
            let message = "the file system there is larger than the device".to_owned();
            return Err(self.wrong(mount, message));
        }
        let kind = mount.kind.trim_start_matches("org.osbuild.");
        if side.kind != kind {
            return Err(self.wrong(
                mount,
                format!("the file system there is {}, not {kind}", side.kind),
            ));
        }
        Ok(Some(index))
    }

    /// The stretch that is mounted, where it is one of a file.
    fn range_of(&self, mount: &Mount) -> Result<Option<Range>> {
        let Some((device, partition)) = range::device_of(mount, &self.stage.devices) else {
            return Ok(None);
        };
        let Some(range) = Range::of_device(device) else {
            return Ok(None);
        };
        let range = range.and_then(|range| match partition {
            None => Ok(range),
            Some(number) => range.partition(&self.disks.open(&range.file)?, number),
        });
        range.map(Some).map_err(|message| self.wrong(mount, message))
    }

    /// Whether the stage has the bytes of a file system before it: as a device on which nothing is mounted, or one of the
    /// kernel's.
    fn is_touched(&self, side: &Side, setup: &Setup) -> Result<bool> {
        for (index, device) in self.stage.devices.iter().enumerate() {
            let of_device = |mount: &&Mount| mount.device == Some(index);
            let mounted = self.stage.mounts.iter().filter(of_device).count();
            let Some(range) = Range::of_device(device) else {
                continue;
            };
            let range = range.map_err(|message| self.wrong_device(&device.name, message))?;
            if (mounted == 0 || setup.real[index]) && range.overlaps(&side.range) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an option leads to a file of the tree, which may be a disk.
    fn names_files_of_tree(&self) -> bool {
        fn any(value: &Value) -> bool {
            match value {
                Value::String(text) => text.starts_with("tree:"),
                Value::Array(list) => list.iter().any(any),
                Value::Object(map) => map.values().any(any),
                _ => false,
            }
        }
        self.stage.options.values().any(any)
    }

    fn wrong(&self, mount: &Mount, message: String) -> Error {
        Error::Unbuildable {
            stage: self.stage.name.clone(),
            message: format!("mount/{}: {message}", mount.name),
        }
    }

    fn wrong_device(&self, name: &str, message: String) -> Error {
        Error::Unbuildable {
            stage: self.stage.name.clone(),
            message: format!("device/{name}: {message}"),
        }
    }
}

impl Setup {
    /// Has `mount` show a side: one that an earlier mount shows already has the same changes.
    fn show(&mut self, side: usize, mount: &Mount, sides: &[Side], store: &Store) -> Result<usize> {
        let read_only = super::flag(&mount.options, "readonly");
        if let Some(at) = self.used.iter().position(|used| used.side == side) {
            self.used[at].read_only &= read_only;
            return Ok(at);
        }
        self.used.push(Used {
            side,
            tree: store.new_tree(Some(&sides[side].tree))?,
            read_only,
        });
        Ok(self.used.len() - 1)
    }

    fn need_kernel(&mut self, device: usize, stage: &Stage) {
        self.real[device] = true;
        let mut parent = stage.devices[device].parent;
        while let Some(index) = parent {
            self.real[index] = true;
            parent = stage.devices[index].parent;
        }
    }

    /// A tree for each device that the stage has bare: it may make a file system there.
    fn offer_content(&mut self, asking: &Asking<'_>, store: &Store) -> Result<()> {
        for (index, real) in self.real.clone().into_iter().enumerate() {
            let mounted = asking
                .stage
                .mounts
                .iter()
                .any(|mount| mount.device == Some(index));
            if !real && !mounted {
                self.content.push((index, store.new_tree(None)?));
            }
        }
        Ok(())
    }

    /// Has the trees ready for a further run of the stage.
    pub(crate) fn renew(&self) -> Result<()> {
        let content = self.content.iter().map(|(_, tree)| tree);
        let mut all = self.used.iter().map(|used| &used.tree).chain(content);
        all.try_for_each(crate::stage::renew)
    }

    /// Where the stage finds the content tree of a device.
    pub(crate) fn content_of(&self, device: usize, stage: &Stage) -> Option<String> {
        let has = self.content.iter().any(|(index, _)| *index == device);
        has.then(|| format!("{CONTENT}/{}", stage.devices[device].name))
    }
}
