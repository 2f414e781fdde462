//! What a CoreOS system says of itself.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use module::{Context, Result, Tree, anyhow, bail, ensure};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// How much `rdcore stream-hash` reads at once.
const STREAM_BLOCK: usize = 2 << 20;
/// Where the content of the archive's first file begins, which the live system's mount unit has built in.
const FIRST_CONTENT: u64 = 124;

/// A deployed tree.
#[derive(Debug)]
pub struct System {
    pub version: String,
    /// For people.
    pub name: String,
    /// For names of files, where the image says no better one.
    pub id: String,
    /// Paths of the only kernel and its initial ram disk.
    pub kernel: String,
    pub initramfs: String,
    pub file_system: FileSystem,
    /// The maker's options.
    pub words: Vec<String>,
    /// JSON that `coreos-installer` reads before it changes a medium.
    pub features: String,
    /// Whether the medium is one for tests of `coreos-installer`, without content.
    pub fixture: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Squashfs,
    Erofs,
}

impl FileSystem {
    /// Its name in the archive, which the ram disk has built in.
    pub fn file(self) -> &'static str {
        match self {
            Self::Squashfs => "root.squashfs",
            Self::Erofs => "root.erofs",
        }
    }

    /// That it lies in the archive where the live system looks for it: its magic number, which is at 1024 in an erofs.
    pub fn check_place(self, archive: &File) -> Result<()> {
        let (at, magic) = match self {
            Self::Squashfs => (0, *b"hsqs"),
            Self::Erofs => (1024, [0xe2, 0xe1, 0xf5, 0xe0]),
        };
        let mut found = [0; 4];
        archive.read_exact_at(&mut found, FIRST_CONTENT + at)?;
        ensure!(
            found == magic,
            "{} is not where it is looked for in the archive",
            self.file()
        );
        Ok(())
    }
}

impl System {
    pub fn read(tree: &Tree) -> Result<Self> {
        let release = tree.read_text("etc/os-release")?;
        let said =
            |key: &str| value_of(&release, key).with_context(|| format!("/etc/os-release says no {key}"));
        let image: Value = serde_json::from_slice(&tree.read("usr/share/coreos-assembler/image.json")?)
            .context("/usr/share/coreos-assembler/image.json")?;
        let file_system = match image["live-rootfs-fstype"].as_str() {
            None | Some("squashfs") => FileSystem::Squashfs,
            Some("erofs") => FileSystem::Erofs,
            Some(other) => bail!("image.json: live-rootfs-fstype is `{other}`, not squashfs or erofs"),
        };
        let usual = match file_system {
            FileSystem::Squashfs => "-comp zstd",
            FileSystem::Erofs => "--quiet",
        };
        let words = image["live-rootfs-fsoptions"].as_str().unwrap_or(usual);
        let id = said("ID")?;
        Ok(Self {
            version: said("OSTREE_VERSION")?,
            name: said("PRETTY_NAME")?,
            id: match value_of(&release, "VARIANT_ID") {
                Some(variant) => format!("{id}-{variant}"),
                None => id,
            },
            kernel: only(tree, "usr/lib/modules", "vmlinuz")?,
            initramfs: only(tree, "usr/lib/modules", "initramfs.img")?,
            file_system,
            words: words.split_whitespace().map(str::to_owned).collect(),
            features: features(tree)?,
            fixture: tree.exists("usr/share/coreos-assembler/coreos-installer-test-fixture"),
        })
    }
}

/// A variable of an `os-release`.
fn value_of(text: &str, key: &str) -> Option<String> {
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    line.map(|value| value.trim_matches(['"', '\'']).to_owned())
}

/// The only path `DIR/*/NAME`.
pub fn only(tree: &Tree, dir: &str, name: &str) -> Result<String> {
    let names = tree.list(dir)?.into_iter();
    let paths = names.map(|entry| Path::new(dir).join(entry).join(name));
    let found: Vec<_> = paths.filter(|path| tree.exists(path)).collect();
    match &found[..] {
        [path] => {
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| anyhow!("{} is not UTF-8", path.display()))
        }
        _ => bail!("there must be one /{dir}/*/{name}, there are {}", found.len()),
    }
}

/// What the installer on the medium can be told: the top keys of its example are its directives.
fn features(tree: &Tree) -> Result<String> {
    let example = tree.read_text("usr/share/coreos-installer/example-config.yaml")?;
    let mut directives: Vec<&str> = example.lines().filter_map(top_key).collect();
    directives.sort_unstable();
    let directives: Map<String, Value> = directives
        .into_iter()
        .map(|key| (key.to_owned(), true.into()))
        .collect();
    let features = json!({
        "installer-config": true,
        "installer-config-directives": directives,
        "live-initrd-network": true,
    });
    Ok(format!("{features:#}\n"))
}

/// The key of a line `key: value` of YAML that is not indented.
fn top_key(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_key = key.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (is_key && (rest.is_empty() || rest.starts_with(char::is_whitespace))).then_some(key)
}

/// The digests of the blocks of a file, as `rdcore stream-hash` checks what it fetches.
pub fn stream_hash(file: &File) -> Result<String> {
    let mut text = format!("stream-hash sha256 {STREAM_BLOCK}\n");
    let (mut at, size) = (0, file.metadata()?.len());
    let mut block = vec![0; STREAM_BLOCK];
    while at < size {
        let length = usize::try_from(size - at).map_or(STREAM_BLOCK, |left| left.min(STREAM_BLOCK));
        file.read_exact_at(&mut block[..length], at)?;
        text.push_str(&hex::encode(Sha256::digest(&block[..length])));
        text.push('\n');
        at += length as u64;
    }
    Ok(text)
}
