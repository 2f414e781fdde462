//! Install zipl, the boot loader of IBM Z, on a disk.
//!
//! Runs zipl of the build root on the mounted file systems, whose `/boot/loader/entries` names kernel, initial ram disk
//! and command line of the version asked for. The device `disk` is the whole disk.

use std::path::PathBuf;

use module::{Args, Context, Result, Tool, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

const ENTRIES: &str = "boot/loader/entries";

/// Options of `org.osbuild.zipl.inst`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Version of the kernel.
    kernel: String,
    /// Where the partition of `/boot` starts, in blocks.
    #[schemars(with = "f64")]
    location: Number,
    /// Kernel parameters that are added to those of the entry.
    #[serde(default)]
    kernel_opts_append: Vec<String>,
    /// Size of a block in bytes.
    #[serde(default = "default_blocksize")]
    #[schemars(with = "f64")]
    blocksize: Number,
}

/// What a boot loader entry says.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    linux: String,
    initrd: String,
    options: String,
}

module::stage! {
    file: "zipl_inst.rs", name: "org.osbuild.zipl.inst", options: Options, run: run,
    takes: {
        "devices": {
            "type": "object", "additionalProperties": true, "required": ["disk"],
            "properties": {"disk": {"type": "object", "additionalProperties": true}},
        },
        "mounts": {"type": "array", "minItems": 1},
    },
    needs: [Anything],
}

fn default_blocksize() -> Number {
    512.into()
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let root = Tree::open(&args.mounts_root)?;
    let entry = find(&root, &options.kernel)?;
    let disk = args.devices.get("disk").context("there is no device `disk`")?;
    let mut parameters = vec![entry.options];
    parameters.extend(options.kernel_opts_append.iter().cloned());
    Tool::new("zipl")
        .arg("--verbose")
        .arg("--target")
        .arg(args.mounts_root.join("boot"))
        .arg("--image")
        .arg(in_root(&root, &entry.linux)?)
        .arg("--ramdisk")
        .arg(in_root(&root, &entry.initrd)?)
        .arg("--parameters")
        .arg(parameters.join(" "))
        .arg("--targetbase")
        .arg(PathBuf::from("/dev").join(&disk.path))
        .args(["--targettype", "SCSI"])
        .args(["--targetblocksize", &options.blocksize.to_string()])
        .args(["--targetoffset", &options.location.to_string()])
        .run()
}

/// The entry of the kernel `version` that is not for rescue.
fn find(root: &Tree, version: &str) -> Result<Entry> {
    for name in root.list(ENTRIES)? {
        let name = name.to_string_lossy();
        if !name.ends_with(".conf") || name.ends_with("rescue.conf") {
            continue;
        }
        let text = root.read_text(format!("{ENTRIES}/{name}"))?;
        if value(&text, "version").as_deref() != Some(version) {
            continue;
        }
        let needed =
            |key: &str| value(&text, key).with_context(|| format!("/{ENTRIES}/{name} has no `{key}`"));
        return Ok(Entry {
            linux: needed("linux")?,
            initrd: needed("initrd")?,
            options: value(&text, "options").unwrap_or_default(),
        });
    }
    module::bail!("no entry in /{ENTRIES} is for the kernel {version}")
}

/// The last value of `key` in a boot loader entry.
fn value(text: &str, key: &str) -> Option<String> {
    let mut words = text
        .lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace));
    words
        .rfind(|(name, _)| *name == key)
        .map(|(_, value)| value.trim().to_owned())
}

/// Where a file that an entry names lies on this machine: below the root, or below `/boot` where that is a file system
/// of its own.
fn in_root(root: &Tree, path: &str) -> Result<PathBuf> {
    let path = path.trim_start_matches('/');
    let candidates = [path.to_owned(), format!("boot/{path}")];
    let found = candidates.iter().find(|path| root.is_file(path));
    let found = found.with_context(|| format!("/{path}, which the boot loader entry names, is not there"))?;
    ensure!(
        root.stat(found)?
            .is_some_and(|stat| stat.kind == tree::Kind::File),
        "/{found} is a link: zipl needs the file itself"
    );
    Ok(root.path().join(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_the_version_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = Tree::open(dir.path()).unwrap();
        root.mkdir_all(ENTRIES).unwrap();
        let entry = |version: &str| {
            format!("title x\nversion {version}\nlinux /vmlinuz\ninitrd /i\noptions ro quiet\n")
        };
        for (name, version) in [
            ("a.conf", "5.13"),
            ("b.conf", "5.14"),
            ("c-rescue.conf", "5.15"),
            ("d.txt", "5.16"),
        ] {
            root.write(format!("{ENTRIES}/{name}"), entry(version)).unwrap();
        }
        let found = find(&root, "5.14").unwrap();
        assert_eq!(
            (found.linux.as_str(), found.options.as_str()),
            ("/vmlinuz", "ro quiet")
        );
        assert!(find(&root, "5.15").is_err());
        assert!(find(&root, "5.16").is_err());
        root.write("boot/vmlinuz", "").unwrap();
        assert_eq!(
            in_root(&root, "/vmlinuz").unwrap(),
            dir.path().join("boot/vmlinuz")
        );
        assert!(in_root(&root, "/i").is_err());
    }
}
