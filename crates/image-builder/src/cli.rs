//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::apt::Defaults;
use crate::blueprint::Bytes;
use crate::image_type::ImageType;

/// Makes operating system images: from a blueprint to a manifest, from a manifest to an image.
#[derive(Debug, Parser)]
#[command(name = "image-builder", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the manifest of an image, every package pinned by its digest
    Manifest(Image),
    /// Build an image
    Build(Build),
    /// Pin the packages of a hand-written pipeline (`org.osbuild.apt`, `org.osbuild.dnf`)
    Resolve(Resolve),
    /// List the distributions and the types of images
    List,
}

#[derive(Debug, Args)]
pub struct Image {
    /// The distribution; the machine's own by default
    #[arg(long, value_name = "NAME")]
    pub distro: Option<String>,
    /// What the image shall be
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    pub image: ImageType,
    /// What the image shall have: a blueprint in TOML or JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub blueprint: Option<PathBuf>,
    /// The size of the disk, such as `20 GiB`
    #[arg(long, value_parser = size)]
    pub size: Option<Bytes>,
    /// Build with the machine's own tools instead of a pinned build root
    #[arg(long)]
    pub host_tools: bool,
    #[command(flatten)]
    pub repositories: Repositories,
}

#[derive(Debug, Args)]
pub struct Repositories {
    /// A repository in the place of the machine's: URL[,suite=NAME][,component=NAME][,key=FILE][,id=NAME][,trusted=yes]
    ///
    /// May be given several times; suite and component may be repeated too. Without a suite it is the distribution's,
    /// without a component `main`, without a key the distribution's keyring.
    #[arg(long = "repo", value_name = "URL")]
    pub repos: Vec<String>,
    /// The suite of every --repo that names none
    #[arg(long = "suite", value_name = "NAME", requires = "repos")]
    pub suites: Vec<String>,
    /// The component of every --repo that names none
    #[arg(long = "component", value_name = "NAME", requires = "repos")]
    pub components: Vec<String>,
    /// The key of every --repo that names none
    #[arg(long, value_name = "FILE", requires = "repos", value_hint = ValueHint::FilePath)]
    pub key: Option<String>,
    /// Take the machine's third-party repositories as well
    #[arg(long, conflicts_with = "repos")]
    pub all_repos: bool,
    /// Where package lists are kept between runs
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Build {
    #[command(flatten)]
    pub image: Image,
    /// Where osbuild keeps its objects and downloads
    #[arg(long, value_name = "DIR", default_value = ".osbuild", value_hint = ValueHint::DirPath)]
    pub store: PathBuf,
    /// Where the image goes
    #[arg(short, long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Write what is in the image, packages and files, as SPDX 2.3: to this file, or into this directory (`DIR/`) as
    /// NAME.spdx.json
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub sbom: Option<PathBuf>,
    /// Write where the image comes from, an in-toto statement to be signed: to this file, or into this directory as
    /// NAME.intoto.json
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub provenance: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Resolve {
    /// The pipeline; `-` is stdin
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub pipeline: PathBuf,
    /// Where the pinned pipeline goes; stdout by default
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// The address of a repository, in the place of the one in the pipeline
    #[arg(long = "repo", value_name = "ID=URL", value_parser = address)]
    pub repos: Vec<(String, String)>,
    /// Where package lists are kept between runs
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
}

impl Repositories {
    /// What holds for every `--repo`.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            suites: self.suites.clone(),
            components: self.components.clone(),
            key: self.key.clone(),
        }
    }
}

fn size(text: &str) -> Result<Bytes, String> {
    let size = Bytes::parse(text).filter(|size| size.0 > 0);
    size.ok_or_else(|| "a size is a number of bytes, or has a unit as `20 GiB` has".to_owned())
}

fn address(text: &str) -> Result<(String, String), String> {
    let parts = text
        .split_once('=')
        .filter(|(id, url)| !id.is_empty() && url.contains(":/"));
    let (id, url) = parts.ok_or("an address is given as ID=URL")?;
    Ok((id.to_owned(), url.to_owned()))
}
