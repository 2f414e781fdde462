//! The kernel of a tree, and the modules of it that a machine needs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use tree::Tree;

use crate::{Error, Result};

/// Without these a machine is of no use; either the kernel has them built in, or as modules.
const NEEDED: [&str; 4] = ["virtio_pci", "virtio_console", "virtiofs", "overlay"];

/// These are taken along where there are any: for stages that ask for loop devices, and for early random numbers.
const WELCOME: [&str; 2] = ["loop", "virtio_rng"];

/// No module is larger, unpacked.
const LARGEST: u64 = 64 << 20;

/// A kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The kernel itself.
    pub(crate) image: Vec<u8>,
    /// Names and contents of modules, in the order in which they must be loaded.
    pub(crate) modules: Vec<(String, Vec<u8>)>,
}

impl Kernel {
    /// The first kernel of a tree, by name: `usr/lib/modules/VERSION/vmlinuz`, or as Debian has it
    /// `boot/vmlinuz-VERSION`.
    ///
    /// # Errors
    /// The tree has none, or it lacks a module.
    pub(crate) fn find(tree: &Tree) -> Result<Self> {
        let (version, path) = locate(tree)?.ok_or(Error::NoKernel)?;
        Ok(Self {
            modules: modules(tree, &version)?,
            image: tree.read(path)?,
        })
    }
}

fn locate(tree: &Tree) -> Result<Option<(String, PathBuf)>> {
    let folder = Path::new("usr/lib/modules");
    if !tree.is_dir(folder) {
        return Ok(None);
    }
    let mut versions: Vec<OsString> = tree.list(folder)?;
    versions.sort();
    let beside = |version: &str| folder.join(version).join("vmlinuz");
    let in_boot = |version: &str| Path::new("boot").join(format!("vmlinuz-{version}"));
    let versions: Vec<String> = versions
        .into_iter()
        .filter_map(|v| v.into_string().ok())
        .collect();
    let find = |place: &dyn Fn(&str) -> PathBuf| {
        let places = versions.iter().map(|version| (version.clone(), place(version)));
        places.into_iter().find(|(_, path)| tree.is_file(path))
    };
    Ok(find(&beside).or_else(|| find(&in_boot)))
}

fn modules(tree: &Tree, version: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = Path::new("usr/lib/modules").join(version);
    let lists = Lists::read(tree, &folder)?;
    let mut order = Vec::new();
    for name in NEEDED {
        if !lists.add(name, &mut order) {
            return Err(Error::Kernel {
                version: version.to_owned(),
                problem: format!("has no module {name}"),
            });
        }
    }
    for name in WELCOME {
        lists.add(name, &mut order);
    }
    let unusable = |path: &str, problem: &str| Error::Kernel {
        version: version.to_owned(),
        problem: format!("has the module {path}, which cannot be unpacked: {problem}"),
    };
    let content = |path: String| {
        let content = unpack(&path, tree.read(folder.join(&path))?);
        let content = content.map_err(|e| unusable(&path, &e.to_string()))?;
        Ok((name_of(&path), content))
    };
    order.into_iter().map(content).collect()
}

/// What `depmod` wrote down.
struct Lists {
    /// The path of each module, and the paths of what it needs.
    files: BTreeMap<String, (String, Vec<String>)>,
    built_in: BTreeSet<String>,
}

impl Lists {
    fn read(tree: &Tree, folder: &Path) -> Result<Self> {
        let text = |name: &str| -> Result<String> {
            let path = folder.join(name);
            match tree.is_file(&path) {
                true => Ok(tree.read_text(path)?),
                false => Ok(String::new()),
            }
        };
        let line = |line: &str| {
            let (path, needs) = line.split_once(':')?;
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            Some((name_of(path), (path.to_owned(), needs)))
        };
        Ok(Self {
            files: text("modules.dep")?.lines().filter_map(line).collect(),
            built_in: text("modules.builtin")?.lines().map(name_of).collect(),
        })
    }

    /// Appends the path of a module, behind what it needs and what is not there yet. False: there is no such module.
    fn add(&self, name: &str, order: &mut Vec<String>) -> bool {
        if self.built_in.contains(name) {
            return true;
        }
        let Some((path, needs)) = self.files.get(name) else {
            return false;
        };
        // depmod lists all of them, the first one to be loaded last
        for path in needs.iter().rev().chain([path]) {
            if !order.contains(path) {
                order.push(path.clone());
            }
        }
        true
    }
}

/// `kernel/fs/fuse/virtiofs.ko.xz` is `virtiofs`; to the kernel `-` and `_` are the same.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split(".ko").next().unwrap_or(file);
    name.replace('-', "_")
}

fn unpack(path: &str, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let packed = &bytes[..];
    let reader: Box<dyn Read + '_> = match Path::new(path).extension().and_then(|ext| ext.to_str()) {
        Some("ko") => return Ok(bytes),
        Some("gz") => Box::new(flate2::read::GzDecoder::new(packed)),
        Some("xz") => Box::new(liblzma::read::XzDecoder::new(packed)),
        Some("zst") => Box::new(zstd::Decoder::new(packed)?),
        _ => return Err(std::io::Error::other("it is packed in an unknown way")),
    };
    let mut content = Vec::new();
    reader.take(LARGEST).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A tree with a kernel as Debian has it, its modules packed in three ways.
    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        write("boot/vmlinuz-6.1", b"the kernel");
        let folder = "usr/lib/modules/6.1";
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"virtiofs").unwrap();
        write(&format!("{folder}/fs/virtiofs.ko.gz"), &gz.finish().unwrap());
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(b"fuse").unwrap();
        write(&format!("{folder}/fs/fuse.ko.xz"), &xz.finish().unwrap());
        let zst = zstd::encode_all(&b"overlay"[..], 1).unwrap();
        write(&format!("{folder}/fs/overlay.ko.zst"), &zst);
        write(&format!("{folder}/a/virtio-ring.ko"), b"ring");
        write(&format!("{folder}/a/virtio.ko"), b"virtio");
        write(
            &format!("{folder}/modules.dep"),
            b"a/virtio.ko:\n\
              a/virtio-ring.ko: a/virtio.ko\n\
              fs/fuse.ko.xz:\n\
              fs/virtiofs.ko.gz: fs/fuse.ko.xz a/virtio-ring.ko a/virtio.ko\n\
              fs/overlay.ko.zst:\n",
        );
        write(
            &format!("{folder}/modules.builtin"),
            b"kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/char/virtio_console.ko\n",
        );
        dir
    }

    #[test]
    fn modules_come_behind_what_they_need() {
        let dir = tree();
        let kernel = Kernel::find(&Tree::open(dir.path()).unwrap()).unwrap();
        assert_eq!(kernel.image, b"the kernel");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let all: Vec<(String, String)> = kernel.modules.iter().map(|(n, c)| (n.clone(), text(c))).collect();
        let pairs = [
            ("virtio", "virtio"),
            ("virtio_ring", "ring"),
            ("fuse", "fuse"),
            ("virtiofs", "virtiofs"),
            ("overlay", "overlay"),
        ];
        assert_eq!(all, pairs.map(|(n, c)| (n.to_owned(), c.to_owned())));
    }

    #[test]
    fn a_kernel_beside_its_modules_comes_first() {
        let dir = tree();
        std::fs::write(dir.path().join("usr/lib/modules/6.1/vmlinuz"), "another").unwrap();
        let kernel = Kernel::find(&Tree::open(dir.path()).unwrap()).unwrap();
        assert_eq!(kernel.image, b"another");
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tree();
        let list = dir.path().join("usr/lib/modules/6.1/modules.dep");
        std::fs::write(list, "fs/fuse.ko.xz:\n").unwrap();
        let error = Kernel::find(&Tree::open(dir.path()).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the build tree's kernel 6.1 has no module virtiofs"
        );
        std::fs::remove_dir_all(dir.path().join("boot")).unwrap();
        let error = Kernel::find(&Tree::open(dir.path()).unwrap()).unwrap_err();
        assert!(matches!(error, Error::NoKernel), "{error}");
    }
}
