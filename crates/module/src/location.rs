//! Locations: `tree:///path`, `mount://NAME/path`, `input://NAME/path`.

use anyhow::{Result, bail};
use tree::Tree;

use crate::Args;

/// A path and what it is relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    Tree(String),
    /// The name of a mount (empty: the root of all mounts) and a path below it.
    Mount(String, String),
    Input(String, String),
}

impl Location {
    /// Reads a location; one without a scheme is a path of the tree.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Tree(text.to_owned()));
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, ""),
        };
        match scheme {
            "tree" if authority.is_empty() => Ok(Self::Tree(path.to_owned())),
            "mount" => Ok(Self::Mount(authority.to_owned(), path.to_owned())),
            "input" => Ok(Self::Input(authority.to_owned(), path.to_owned())),
            "tree" => bail!("`{text}`: a location in the tree has three slashes, as in tree:///path"),
            _ => bail!("`{text}`: `{scheme}` is none of tree, mount, input"),
        }
    }

    /// The path below whatever it is relative to.
    pub fn path(&self) -> &str {
        match self {
            Self::Tree(path) | Self::Mount(_, path) | Self::Input(_, path) => path,
        }
    }

    /// The tree it is relative to.
    pub fn root<O>(&self, args: &Args<O>) -> Result<Tree> {
        Ok(match self {
            Self::Tree(_) => args.tree.subtree("/")?,
            Self::Mount(name, _) if name.is_empty() => Tree::open(&args.mounts_root)?,
            Self::Mount(name, _) => match args.mounts.get(name) {
                Some(mount) => Tree::open(&mount.path)?,
                None => bail!("there is no mount `{name}`"),
            },
            Self::Input(name, _) => args.input(name)?.tree()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[test]
    fn locations_are_read() {
        let parse = |text| Location::parse(text).unwrap();
        assert_eq!(parse("tree:///etc/x"), Location::Tree("/etc/x".into()));
        assert_eq!(parse("etc/x"), Location::Tree("etc/x".into()));
        assert_eq!(parse("input://a/"), Location::Input("a".into(), "/".into()));
        assert_eq!(parse("mount:///x"), Location::Mount("".into(), "/x".into()));
        assert!(Location::parse("tree://etc/x").is_err());
        assert!(Location::parse("http://x/y").is_err());
    }
}
