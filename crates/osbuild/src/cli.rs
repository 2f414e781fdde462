//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Parser};

use executor::{Boundary, Guard, Limits, StandIn};

use crate::size;

/// Build operating system images from a manifest.
///
/// Beside a manifest: `osbuild plan MANIFEST` says what would run and why, `osbuild modules [NAME]` describes the stages,
/// assemblers, sources and inputs there are, `osbuild store` looks after a store. (A manifest of such a name is given as
/// ./plan.)
#[derive(Debug, Parser)]
#[command(
    name = "osbuild",
    disable_version_flag = true,
    // as with Python's argparse, which callers know: said twice, the last one counts
    args_override_self = true,
    override_usage = "osbuild [OPTIONS] MANIFEST\n       osbuild plan [OPTIONS] MANIFEST\n       osbuild modules [OPTIONS] [NAME]\n       osbuild store [OPTIONS] COMMAND"
)]
pub(crate) struct Options {
    /// The manifest: a file, or `-` for stdin
    #[arg(value_name = "MANIFEST", value_parser = path())]
    pub(crate) manifest: PathBuf,

    /// What `plan` or `modules` is asked about
    #[arg(value_name = "ARGUMENT", hide = true)]
    pub(crate) argument: Option<OsString>,

    /// Directory that keeps trees and downloads
    #[arg(long, alias = "cache", value_name = "DIR", default_value = ".osbuild", value_parser = path())]
    pub(crate) store: PathBuf,

    /// Directory with further modules (`stages/NAME` and so on); repeatable, searched before our own
    #[arg(short, long, value_name = "DIR", value_parser = path())]
    pub(crate) libdir: Vec<PathBuf>,

    /// Build, and put the files of the assembler, or the last pipeline's tree, into DIR
    #[arg(short, long, value_name = "DIR", value_parser = path())]
    pub(crate) output: Option<PathBuf>,

    /// Have modules of a `--libdir` that run this program find ours first: `qemu-img`, whose `convert` then works on all
    /// processors and gives the same bytes each time; what ours does not know it hands on to the build root's; repeatable
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) stand_in: Vec<StandIn>,

    /// Directory for what is exported; without `--export` only the sources are fetched
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub(crate) output_directory: Option<PathBuf>,

    /// Copy the tree of this pipeline (name or id) to DIR/NAME; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Vec<String>,

    /// Keep the trees of these stages whatever the store's limit: patterns of pipeline names, stage names and ids;
    /// repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) checkpoint: Vec<String>,

    /// Set the store's limit, for good: bytes, 20GiB, 500MB, or `unlimited`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) cache_max_size: Option<Limit>,

    /// Print the manifest with all ids, and do nothing
    #[arg(long)]
    pub(crate) inspect: bool,

    /// Print the result as one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// Print nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Tell what happens as NullMonitor, LogMonitor or JSONSeqMonitor does
    #[arg(long, value_name = "NAME")]
    pub(crate) monitor: Option<String>,

    /// Where the monitor writes [default: stdout]
    #[arg(long, value_name = "FD")]
    pub(crate) monitor_fd: Option<i32>,

    /// Build up to N pipelines at a time that need nothing of each other, and fetch from all sources at once [default: the
    /// number of CPUs]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Write where the time of the build goes to this file, in the Chrome trace format (for ui.perfetto.dev or
    /// chrome://tracing)
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(crate) trace: Option<PathBuf>,

    /// Stop a stage that runs longer
    #[arg(long, value_name = "SECONDS")]
    pub(crate) stage_timeout: Option<u64>,

    /// Limit the memory of all stages together: bytes, 2GiB, 500MB
    #[arg(long, value_name = "SIZE", value_parser = memory_limit)]
    pub(crate) memory_limit: Option<u64>,

    /// Limit the processes and threads of all stages together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pids_limit: Option<u64>,

    /// Limit the CPU time of all stages together: how many CPUs' worth, such as 1.5
    #[arg(long, value_name = "CPUS", value_parser = cpu_limit)]
    pub(crate) cpu_limit: Option<f64>,

    /// Build although this part of the sandbox cannot be had on this machine: seccomp, limits, proc or users; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) unsafe_allow: Vec<Guard>,

    /// Open a shell in the box before this stage (name or id) runs, or before each one
    #[arg(long = "break", value_name = "STAGE", num_args = 0..=1, default_missing_value = "*")]
    pub(crate) debug_break: Option<String>,

    /// Write what is in the image, packages and files, as SPDX 2.3: to this file, or into this directory (`DIR/`) as
    /// NAME.spdx.json
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub(crate) sbom: Option<PathBuf>,

    /// Write where the image comes from, an in-toto statement to be signed: to this file, or into this directory as
    /// NAME.intoto.json
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub(crate) provenance: Option<PathBuf>,

    /// Base address of the repository ID that a manifest names; repeatable
    #[arg(long, value_name = "ID=URL", value_parser = repository)]
    pub(crate) repo: Vec<(String, String)>,

    /// Run the stages of this pipeline in a virtual machine with the kernel of its build tree; repeatable
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) in_vm: Vec<String>,

    /// Accepted; nothing is kept outside the store and the box
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) rundir: Option<OsString>,

    /// Print the version
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) version: bool,
}

/// A limit of the store's size, in bytes; `None`: unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<u64>);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    Build,
    Plan,
    Modules(Option<String>),
}

impl Options {
    /// The limit for each stage.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.stage_timeout
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }

    /// How many pipelines may be built at a time.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        let cpus = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.jobs.unwrap_or_else(cpus)
    }

    /// What is asked of the boxes.
    pub(crate) fn boundary(&self) -> Boundary {
        Boundary {
            limits: Limits {
                memory: self.memory_limit,
                processes: self.pids_limit,
                cpus: self.cpu_limit,
            },
            optional: self.unsafe_allow.clone(),
        }
    }

    /// Repository ids and their addresses.
    pub(crate) fn repos(&self) -> BTreeMap<String, String> {
        self.repo.iter().cloned().collect()
    }

    /// Takes the words that stand before a manifest.
    fn task(&mut self) -> Result<Task, String> {
        let argument = self.argument.take();
        match (self.manifest.to_str(), argument) {
            (Some("plan"), Some(manifest)) => {
                self.manifest = manifest.into();
                Ok(Task::Plan)
            }
            (Some("plan"), None) => {
                Err("`osbuild plan` needs a MANIFEST (a manifest called plan is ./plan)".into())
            }
            (Some("modules"), name) => Ok(Task::Modules(
                name.map(|name| name.to_string_lossy().into_owned()),
            )),
            (_, Some(word)) => Err(format!("unrecognized arguments: {}", word.display())),
            (_, None) => Ok(Task::Build),
        }
    }
}

/// Paths; an empty one is the current directory, which callers rely on.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|text| {
        if text.is_empty() {
            PathBuf::from(".")
        } else {
            text.into()
        }
    })
}

fn size_limit(text: &str) -> Result<Limit, String> {
    size::parse(text).map(Limit)
}

fn memory_limit(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("it must be more than nothing, and have an end".into()),
    }
}

fn cpu_limit(text: &str) -> Result<f64, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number: &f64| (0.01..65_536.0).contains(number));
    number.ok_or_else(|| "it must be a number of CPUs, such as 1.5".to_owned())
}

fn repository(text: &str) -> Result<(String, String), String> {
    let (id, url) = text.split_once('=').ok_or("it must have the form ID=URL")?;
    Ok((id.to_owned(), url.trim_end_matches('/').to_owned()))
}

/// The place of the first argument that is no option and no option's value.
pub(crate) fn first_word(args: &[OsString]) -> Option<usize> {
    use clap::CommandFactory;
    let command = Options::command();
    let takes_value = |arg: &str| {
        let option = command
            .get_arguments()
            .find(|option| match arg.strip_prefix("--") {
                Some(long) => {
                    option.get_long() == Some(long)
                        || option.get_all_aliases().unwrap_or_default().contains(&long)
                }
                None => arg.len() == 2 && option.get_short() == arg.chars().nth(1),
            });
        option.is_some_and(|option| option.get_action().takes_values())
    };
    let mut at = 0;
    loop {
        let arg = args.get(at)?.to_str().unwrap_or_default();
        match arg {
            "--" => return None,
            "-" => return Some(at),
            option if option.starts_with('-') => at += 1 + usize::from(takes_value(option)),
            _ => return Some(at),
        }
    }
}

/// Reads the arguments. The error is the exit code, after help, version or usage was printed.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<(Options, Task), ExitCode> {
    let args: Vec<OsString> = std::iter::once("osbuild".into()).chain(args).collect();
    if args
        .iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--version")
    {
        let major = env!("CARGO_PKG_VERSION_MAJOR");
        crate::print::stdout(&format!("osbuild {major}\n"));
        return Err(ExitCode::SUCCESS);
    }
    let parsed = Options::try_parse_from(args).and_then(|mut options| {
        let task = options.task().map_err(|message| {
            use clap::CommandFactory;
            Options::command().error(clap::error::ErrorKind::UnknownArgument, message)
        })?;
        Ok((options, task))
    });
    parsed.map_err(|error| {
        let code = if error.use_stderr() { 2 } else { 0 };
        // a closed pipe is no reason to fail
        let _ = error.print();
        ExitCode::from(code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefixes;

    fn parsed(line: &str) -> Result<(Options, Task), ExitCode> {
        parse(prefixes::expand(words(line).into_iter()))
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ')
            .map(|word| OsString::from(word.trim_matches('\'')))
            .collect()
    }

    fn build(line: &str) -> Options {
        parsed(line).unwrap().0
    }

    #[test]
    fn the_lines_of_known_callers_are_understood() {
        let images = build(
            "--store S --output-directory O --cache-max-size=21474836480 - --export a --export b --in-vm image \
             --checkpoint c --monitor=JSONSeqMonitor --monitor-fd=3 --json",
        );
        assert_eq!(
            (images.export.len(), images.monitor_fd, images.json),
            (2, Some(3), true)
        );
        assert_eq!(images.cache_max_size, Some(Limit(Some(20 << 30))));
        assert_eq!(images.manifest, PathBuf::from("-"));
        let executor = build("--export X --output-dir O --store S --json d/manifest.json");
        assert_eq!(executor.output_directory, Some("O".into()));
        let cosa = build(
            "--out D --store S --cache-max-size 20GiB --checkpoint tree --checkpoint raw --export=qemu p.json",
        );
        assert_eq!(
            (cosa.checkpoint.len(), cosa.output_directory),
            (2, Some("D".into()))
        );
        assert_eq!(
            build("--output-directory '' -").output_directory,
            Some(".".into())
        );
    }

    #[test]
    fn habits_of_argparse() {
        assert_eq!(build("--store A --cache B m").store, PathBuf::from("B"));
        assert!(build("--json --json m").json);
        assert_eq!(build("-lD m").libdir, [PathBuf::from("D")]);
        assert_eq!(build("--json -- --json").manifest, PathBuf::from("--json"));
        assert_eq!(build("m --break").debug_break.as_deref(), Some("*"));
        assert_eq!(build("m --break x").debug_break.as_deref(), Some("x"));
        assert_eq!(build("--break=x m").debug_break.as_deref(), Some("x"));
        for wrong in [
            "--break m",
            "--st m",
            "--nope m",
            "--json",
            "m --cache-max-size 12QB",
            "m --monitor-fd x",
            "m n",
            "m --export",
        ] {
            assert_eq!(
                format!("{:?}", parsed(wrong).err()),
                format!("{:?}", Some(ExitCode::from(2))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_first_word_is_no_options_value() {
        for (line, word) in [
            ("store ls", Some(0)),
            ("--store store store ls", Some(2)),
            ("--store=store --json -q store", Some(3)),
            ("-l store store", Some(2)),
            ("--json", None),
            ("-- store", None),
            ("./store", Some(0)),
        ] {
            assert_eq!(first_word(&words(line)), word, "{line}");
        }
    }

    #[test]
    fn words_before_a_manifest() {
        assert_eq!(parsed("plan m").unwrap().1, Task::Plan);
        assert_eq!(
            parsed("--store S plan m --json").unwrap().0.manifest,
            PathBuf::from("m")
        );
        assert_eq!(parsed("./plan").unwrap().1, Task::Build);
        assert_eq!(parsed("modules").unwrap().1, Task::Modules(None));
        assert_eq!(
            parsed("modules org.osbuild.tar").unwrap().1,
            Task::Modules(Some("org.osbuild.tar".into()))
        );
        assert!(parsed("plan").is_err());
    }
}
