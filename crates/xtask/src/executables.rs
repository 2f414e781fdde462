//! Which executables a task works with.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use support::{Binaries, Profile};

/// How they are built, or where they are.
#[derive(Debug, Args)]
pub(crate) struct Executables {
    /// How to build the executables: `dist` makes the smallest ones, and takes the longest
    #[arg(long, value_enum, default_value = "release")]
    profile: Optimisation,
    /// Take the executables from there instead of building them
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    bin_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Optimisation {
    Dev,
    Release,
    Dist,
}

impl Executables {
    /// Builds them if need be; `prefix` is where they will be installed.
    pub(crate) fn get(&self, prefix: Option<&Path>) -> Result<Binaries> {
        match &self.bin_dir {
            Some(dir) => Ok(Binaries {
                dir: std::path::absolute(dir)?,
            }),
            None => Binaries::build(self.profile.into(), prefix),
        }
    }
}

impl From<Optimisation> for Profile {
    fn from(value: Optimisation) -> Self {
        match value {
            Optimisation::Dev => Self::Dev,
            Optimisation::Release => Self::Release,
            Optimisation::Dist => Self::Dist,
        }
    }
}
