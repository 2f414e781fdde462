//! xfs and btrfs file systems, filled from a tree by their own tools where these can do that without a mount.

use tree::Tree;
use uuid::Uuid;

use crate::plain::Plain;
use crate::{Error, Result, SparseFile, tool};

/// A file system whose tool fills a whole image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Xfs,
    Btrfs,
}

impl Kind {
    fn tool(self) -> &'static str {
        match self {
            Self::Xfs => "mkfs.xfs",
            Self::Btrfs => "mkfs.btrfs",
        }
    }

    /// The first version that takes a directory with owners, attributes and hard links.
    fn first_version(self) -> (u32, u32) {
        match self {
            Self::Xfs => (6, 17),
            Self::Btrfs => (6, 12),
        }
    }
}

/// Whether the tool of this build root fills a file system from a directory.
pub fn fills(kind: Kind) -> Result<bool> {
    let argument = if kind == Kind::Xfs { "-V" } else { "--version" };
    let text = tool::run(tool::command(kind.tool()).arg(argument))?;
    Ok(version(&text).is_some_and(|version| version >= kind.first_version()))
}

/// Makes a file system over the whole `image`, with these further arguments, and fills it with `tree` if there is one;
/// for that the tool must be one that [`fills`].
pub fn format(
    image: &SparseFile,
    kind: Kind,
    arguments: &[String],
    tree: Option<&Tree>,
    epoch: Option<i64>,
) -> Result<()> {
    let mut command = tool::command(kind.tool());
    command
        .env("SOURCE_DATE_EPOCH", epoch.unwrap_or(0).to_string())
        .env("DETERMINISTIC_SEED", "1")
        .args(["-q", "-f"])
        .args(arguments);
    let plain = tree.map(Plain::of).transpose()?;
    if let Some(plain) = &plain {
        command.arg(if kind == Kind::Xfs { "-p" } else { "--rootdir" });
        command.arg(plain.tree().path());
    }
    tool::run(command.arg(image.path())).map(drop)
}

/// Makes a file system over the whole `image` and fills it with `tree`.
///
/// A tool that is too old for that is an [`Error::Tool`] that says which version is needed.
pub fn write(
    image: &SparseFile,
    tree: &Tree,
    kind: Kind,
    uuid: Uuid,
    label: Option<&str>,
    epoch: Option<i64>,
) -> Result<()> {
    let needed = kind.first_version();
    if !fills(kind)? {
        let tool = kind.tool();
        return Err(Error::Tool {
            tool: tool.into(),
            how: format!(
                "of this build root cannot fill a file system from a directory: it must have version {}.{} or later, \
                 or the file system be ext4",
                needed.0, needed.1
            ),
        });
    }
    let mut words = match kind {
        Kind::Xfs => vec!["-m".to_owned(), format!("uuid={uuid}")],
        Kind::Btrfs => vec!["-U".to_owned(), uuid.to_string()],
    };
    if let Some(label) = label {
        words.extend(["-L".to_owned(), label.to_owned()]);
    }
    format(image, kind, &words, Some(tree), epoch)
}

/// Major and minor number of the first version in a text such as `mkfs.xfs version 6.1.0` or `… btrfs-progs v6.2`.
fn version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split('.');
        let major = numbers.next()?.parse().ok()?;
        Some((major, numbers.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_found() {
        assert_eq!(super::version("mkfs.xfs version 6.1.0\n"), Some((6, 1)));
        assert_eq!(
            super::version("mkfs.btrfs, part of btrfs-progs v6.17.1\n"),
            Some((6, 17))
        );
        assert_eq!(super::version("nothing"), None);
    }
}
