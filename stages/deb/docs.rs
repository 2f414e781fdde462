//! Leaving documentation out: the same patterns for dpkg and for what is extracted natively.

use std::path::Path;

use module::{Result, Tree};

/// Where dpkg is told. The file stays in the tree: otherwise the next upgrade on the running system would bring back
/// the documentation of just the packages that it touches.
const CONFIG: &str = "etc/dpkg/dpkg.cfg.d/osbuild-exclude-docs";

/// What is left out, below `/usr/share`. Manual sections stay as empty directories: some packages put links there.
const EXCLUDED: [&str; 7] = [
    "doc/",
    "doc-base/",
    "gtk-doc/",
    "groff/",
    "help/",
    "info/",
    "lintian/",
];
/// The licence of every package has to come with it.
const KEPT: &str = "copyright";

/// Whether the file or directory `path`, relative to the root, is documentation that nobody needs on a server.
pub fn excluded(path: &Path) -> bool {
    let Some(path) = path
        .to_str()
        .and_then(|p| p.strip_prefix("usr/share/"))
        .map(|p| p.strip_suffix('/').unwrap_or(p))
    else {
        return false;
    };
    if let Some(page) = path.strip_prefix("man/") {
        return page.contains('/');
    }
    let copyright = path.starts_with("doc/") && path.rsplit('/').next() == Some(KEPT);
    EXCLUDED.iter().any(|dir| path.starts_with(dir)) && !copyright
}

/// Tells the tree's dpkg to leave the same files out, now and later.
pub fn configure(tree: &Tree) -> Result<()> {
    let mut text = String::from("# documentation was excluded when this image was built\n");
    for dir in EXCLUDED {
        text += &format!("path-exclude=/usr/share/{dir}*\n");
    }
    text += "path-exclude=/usr/share/man/*/*\n";
    text += &format!("path-include=/usr/share/doc/*/{KEPT}\n");
    tree.mkdir_all("etc/dpkg/dpkg.cfg.d")?;
    Ok(tree.write(CONFIG, text)?)
}

#[cfg(test)]
mod tests {
    use super::excluded;
    use std::path::Path;

    #[test]
    fn documentation_goes_licences_and_translations_stay() {
        for path in [
            "doc/nginx/changelog.gz",
            "doc/nginx",
            "man/man1/ls.1.gz",
            "man/de/man1",
            "info/a.info",
        ] {
            assert!(excluded(&Path::new("usr/share").join(path)), "{path}");
        }
        for path in [
            "doc/nginx/copyright",
            "doc",
            "man/man1",
            "locale/de/LC_MESSAGES/a.mo",
            "nginx/index",
        ] {
            assert!(!excluded(&Path::new("usr/share").join(path)), "{path}");
        }
        assert!(!excluded(Path::new("usr/lib/doc/x")));
    }
}
