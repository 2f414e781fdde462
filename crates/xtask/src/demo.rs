//! `cargo xtask demo`

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use support::qemu::{Boot, Machine};
use support::{Binaries, repository};

use crate::executables::Executables;
use crate::privilege::{as_root, succeed};
use crate::progress::{Steps, clock};
use crate::{apt, packages};

/// What the image is made from.
pub(crate) const SAMPLE: &str = "samples/debian-server.toml";
/// Without hardware virtualisation a boot takes half a minute, on a busy machine some minutes.
pub(crate) const BOOT: Duration = Duration::from_secs(600);

/// Make an image of the sample blueprint, from nothing, and boot it
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The distribution of the image; the machine's own by default
    #[arg(long, value_name = "NAME")]
    distro: Option<String>,
    /// Boot by UEFI instead of BIOS
    #[arg(long)]
    uefi: bool,
    /// Where the store, the manifest and the image go
    #[arg(long, value_name = "DIR", default_value = "out/demo")]
    dir: PathBuf,
    #[command(flatten)]
    executables: Executables,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let start = Instant::now();
    let mut steps = Steps::new(5);
    steps.next("packages that are needed");
    apt::install(&packages::demo())?;

    steps.next("building osbuild, image-builder and the modules");
    let binaries = options.executables.get(None)?;

    let dir = std::path::absolute(&options.dir)?;
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    steps.next(&format!("resolving {SAMPLE}"));
    let manifest = dir.join("manifest.json");
    resolve(&binaries, options.distro.as_deref(), &manifest)?;

    steps.next("building the image");
    let out = dir.join("image");
    succeed(
        as_root(binaries.osbuild())
            .arg(&manifest)
            .arg("--store")
            .arg(dir.join("store"))
            .arg("-o")
            .arg(&out),
    )?;
    let image = find_image(&out)?;

    let mut boot = Boot::new(&image);
    if options.uefi {
        boot = boot.uefi();
    }
    boot.echo = true;
    steps.next(&format!("booting {}", image.display()));
    let mut machine = Machine::start(&boot)?;
    machine.wait_for_login(BOOT)?;
    drop(machine);

    boot.forward = vec![(2222, 22), (8080, 80)];
    let size = image.metadata()?.len() / (1 << 20);
    say!(
        "\nThe image booted to its login prompt; all took {}.\n\n\
         The image:     {} ({size} MiB)\n\
         The manifest:  {}\n\
         Run it again:  {}\n\n\
         Its user is ada, with the password changeme. `ssh -p 2222 ada@localhost` and http://localhost:8080 lead to it.\n\
         The image itself is not changed by that; Ctrl-A X ends the machine.",
        clock(start.elapsed()),
        image.display(),
        manifest.display(),
        boot.command_line()?
    );
    Ok(ExitCode::SUCCESS)
}

/// Writes the manifest of the sample.
fn resolve(binaries: &Binaries, distro: Option<&str>, manifest: &Path) -> Result<()> {
    let file = File::create(manifest).with_context(|| format!("cannot write {}", manifest.display()))?;
    let mut command = Command::new(binaries.image_builder());
    command.args(["manifest", "--type", "qcow2", "--blueprint"]);
    command.arg(repository().join(SAMPLE));
    if let Some(distro) = distro {
        command.args(["--distro", distro]);
    }
    succeed(command.stdout(file))?;
    say!("{}", manifest.display());
    Ok(())
}

/// The one qcow2 in a directory.
pub(crate) fn find_image(dir: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut images = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "qcow2"));
    images
        .next()
        .with_context(|| format!("osbuild left no qcow2 image in {}", dir.display()))
}
