//! A Debian server from packages that are here already, beside what is done by hand: mmdebstrap, mke2fs, qemu-img.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use support::repository;

use super::Bench;
use super::builder::{Build, remove, timed};
use super::mkosi::Mkosi;
use super::outcome::Outcome;
use super::series::Series;
use crate::privilege::as_root;

/// A manifest of image-builder's, its packages fetched.
pub(super) struct Packages {
    pub(super) dir: PathBuf,
    pub(super) manifest: Value,
}

impl Packages {
    /// Of a blueprint; `None` where the machine has no sources of Debian packages.
    pub(super) fn get(bench: &Bench<'_>, blueprint: &str) -> Result<Option<Self>> {
        let dir = bench.dir("packages")?;
        let output = Command::new(bench.binaries.image_builder())
            .args(["manifest", "--type", "qcow2", "--blueprint"])
            .arg(repository().join(blueprint))
            .output()
            .context("cannot run image-builder")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            say!(
                "skipped: {blueprint}: its packages cannot be resolved here: {}",
                why.lines().next().unwrap_or("?")
            );
            return Ok(None);
        }
        let packages = Self {
            manifest: serde_json::from_slice(&output.stdout)?,
            dir,
        };
        std::fs::write(packages.path(), &output.stdout)?;
        let (store, out) = (packages.dir.join("fetched"), packages.dir.join("out"));
        bench
            .ours
            .build(&Build::of(&packages.path(), &store, &out, &[]))?;
        Ok(Some(packages))
    }

    fn path(&self) -> PathBuf {
        self.dir.join("manifest.json")
    }

    /// A store with the packages and nothing else.
    pub(super) fn fresh_store(&self) -> Result<PathBuf> {
        let store = self.dir.join("store");
        timed(as_root("mkdir").arg("-p").arg(store.join("sources")))?;
        let fetched = self.dir.join("fetched/sources/.");
        timed(
            as_root("cp")
                .args(["-a", "--reflink=auto"])
                .arg(fetched)
                .arg(store.join("sources")),
        )?;
        Ok(store)
    }

    /// A repository of the fetched packages, and their names.
    fn repository(&self) -> Result<(PathBuf, String)> {
        let pool = self.dir.join("pool");
        std::fs::create_dir(&pool)?;
        let fetched = self.dir.join("fetched/sources/org.osbuild.files");
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&fetched)? {
            let path = entry?.path();
            let field = Command::new("dpkg-deb")
                .arg("--show")
                .arg("--showformat=${Package}")
                .arg(&path)
                .output()?;
            if !field.status.success() {
                continue;
            }
            let name = String::from_utf8(field.stdout)?;
            std::fs::copy(&path, pool.join(format!("{name}.deb")))?;
            names.insert(name);
        }
        let index = Command::new("apt-ftparchive")
            .args(["packages", "."])
            .current_dir(&pool)
            .output()?;
        std::fs::write(pool.join("Packages"), index.stdout)?;
        Ok((pool, names.into_iter().collect::<Vec<_>>().join(",")))
    }
}

/// Ours with everything that the blueprint asks for; by hand no more than packages, file system, image.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    for tool in ["mmdebstrap", "mke2fs", "qemu-img", "apt-ftparchive"] {
        if !super::is_there(tool) {
            say!("skipped: debian: there is no {tool} to compare with");
            return Ok(Vec::new());
        }
    }
    let Some(packages) = Packages::get(bench, "samples/debian-server.toml")? else {
        return Ok(Vec::new());
    };
    let (pool, names) = packages.repository()?;
    let mkosi = Mkosi::of(&packages.dir, &pool, &names)?;
    let (mut ours, mut theirs, mut mkosis) = (Series::default(), Series::default(), Series::default());
    for round in 0..bench.runs {
        let (store, out) = (packages.fresh_store()?, packages.dir.join("out"));
        let spent = bench
            .ours
            .build(&Build::of(&packages.path(), &store, &out, &["image"]))?;
        remove(&[&store, &out])?;
        ours.push(spent.wall);
        let by_hand = by_hand(&packages.dir, &pool, &names)?;
        theirs.push(by_hand);
        if let Some(mkosi) = &mkosi {
            let time = mkosi.build()?;
            say!(
                "debian: round {round}: mkosi, to an archive: {:.1} s",
                time.as_secs_f64()
            );
            mkosis.push(time);
        }
        say!(
            "debian: round {round}: {:.1} s, by hand {:.1} s",
            spent.wall.as_secs_f64(),
            by_hand.as_secs_f64()
        );
    }
    remove(&[&packages.dir])?;
    let by_hand = "mmdebstrap + mke2fs + qemu-img -c";
    let what = "a Debian server from fetched packages";
    let mut outcomes = vec![Outcome::faster(
        "debian",
        what,
        (ours.clone(), by_hand, theirs),
        2.5,
    )];
    if mkosi.is_some() {
        let what = "the same, beside mkosi, which makes only an archive";
        outcomes.push(Outcome::faster("debian", what, (ours, "mkosi", mkosis), 2.5));
    }
    Ok(outcomes)
}

fn by_hand(dir: &Path, pool: &Path, names: &str) -> Result<Duration> {
    let (tree, raw, image) = (dir.join("tree"), dir.join("root.ext4"), dir.join("root.qcow2"));
    let mut bootstrap = as_root("mmdebstrap");
    bootstrap.args(["--mode=root", "--variant=apt", "--format=directory"]);
    // the packages of today's Debian want it, and refuse to be installed otherwise
    bootstrap.arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr");
    bootstrap
        .arg(format!("--include={names}"))
        .arg("bookworm")
        .arg(&tree);
    bootstrap.arg(format!("deb [trusted=yes] copy:{} ./", pool.display()));
    let mut time = timed(&mut bootstrap)?;
    time += timed(
        as_root("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(&tree)
            .arg(&raw)
            .arg("10G"),
    )?;
    time += timed(
        as_root("qemu-img")
            .args(["convert", "-c", "-O", "qcow2"])
            .arg(&raw)
            .arg(&image),
    )?;
    remove(&[&tree, &raw, &image])?;
    Ok(time)
}
