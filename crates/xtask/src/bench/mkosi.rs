//! mkosi, which makes a Debian from packages that are here already: no more than an archive of its tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::builder::{remove, timed};
use crate::privilege::as_root;

/// A configuration of mkosi and what it reads.
pub(super) struct Mkosi {
    dir: PathBuf,
}

impl Mkosi {
    /// For all packages of `pool`, whose names are `names`, with commas between; `None` where there is no mkosi.
    pub(super) fn of(dir: &Path, pool: &Path, names: &str) -> Result<Option<Self>> {
        if !super::is_there("mkosi") {
            say!("skipped: debian against mkosi: it is not installed");
            return Ok(None);
        }
        let dir = dir.join("mkosi");
        for name in [
            "config",
            "out",
            "work",
            "cache",
            "mirror/dists/bookworm/main/binary-amd64",
        ] {
            std::fs::create_dir_all(dir.join(name))?;
        }
        let mirror = dir.join("mirror");
        // it sees no more than the mirror: hard links
        timed(as_root("cp").arg("-al").arg(pool).arg(mirror.join("pool")))?;
        let packages = index(&mirror, &["packages", "pool/"])?;
        std::fs::write(mirror.join("dists/bookworm/main/binary-amd64/Packages"), packages)?;
        let release = mirror.join("dists/bookworm");
        let mut about = Vec::new();
        for line in [
            "APT::FTPArchive::Release::Suite=bookworm",
            "APT::FTPArchive::Release::Codename=bookworm",
            "APT::FTPArchive::Release::Components=main",
            "APT::FTPArchive::Release::Architectures=amd64",
        ] {
            about.extend(["-o", line]);
        }
        let text = index(&release, &[&about[..], &["release", "."]].concat())?;
        std::fs::write(release.join("Release"), text)?;
        let config = format!(
            "[Distribution]\nDistribution=debian\nRelease=bookworm\nLocalMirror=file://{mirror}\nRepositoryKeyCheck=no\n\
             [Output]\nFormat=tar\nCompressOutput=no\nOutputDirectory={dir}/out\n\
             [Content]\nBootable=no\nPackages={names}\n\
             [Build]\nWorkspaceDirectory={dir}/work\nPackageCacheDirectory={dir}/cache\n",
            mirror = mirror.display(),
            dir = dir.display(),
            names = names.replace(',', " "),
        );
        std::fs::write(dir.join("config/mkosi.conf"), config)?;
        Ok(Some(Self { dir }))
    }

    /// Builds, and removes what came of it.
    pub(super) fn build(&self) -> Result<Duration> {
        let mut command = as_root("mkosi");
        command
            .arg("--directory")
            .arg(self.dir.join("config"))
            .args(["--force", "build"]);
        let time = timed(&mut command)?;
        let out = self.dir.join("out");
        ensure!(out.read_dir()?.next().is_some(), "mkosi has made nothing");
        remove(&[&out])?;
        std::fs::create_dir(&out)?;
        Ok(time)
    }
}

/// What `apt-ftparchive` says of a directory.
fn index(dir: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("apt-ftparchive")
        .args(arguments)
        .current_dir(dir)
        .output()
        .context("cannot run apt-ftparchive")?;
    ensure!(output.status.success(), "apt-ftparchive failed");
    Ok(output.stdout)
}
