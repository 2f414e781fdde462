//! The multi-call executable's `main`: which module, run it, how it ends.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use crate::Module;

/// An error that ends the module with this exit code, after a message or none.
#[derive(Debug)]
pub struct Exit(pub u8);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// Runs the module that the program was called as, or the one named by its first argument.
///
/// `--describe [NAME]...` prints what modules say of themselves; `--list` the names of all.
pub fn run_main(modules: &[&Module]) -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let called = Path::new(&called)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let first = args.next().map(|arg| arg.to_string_lossy().into_owned());
    let result = match (find(modules, &called), first.as_deref()) {
        (Some(module), _) => run(module),
        (None, Some("--describe")) => {
            let names: Vec<String> = args.map(|name| name.to_string_lossy().into_owned()).collect();
            print(&format!("{}\n", crate::describe(modules, &names)))
        }
        (None, Some("--list")) => modules
            .iter()
            .try_for_each(|module| print(&format!("{}\n", module.name))),
        (None, Some(name)) => find(modules, name)
            .ok_or_else(|| anyhow!("there is no module `{name}`"))
            .and_then(run),
        (None, None) => Err(anyhow!(
            "usage: {called} MODULE < arguments.json, or {called} --describe [NAME]... | --list"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(Exit(code)) => ExitCode::from(*code),
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Where the executor has put the beginning of its trace, if it keeps one, and finds this process's part of it.
const TRACE: &str = "/run/osbuild/trace";

/// Runs `module` on the argument document on stdin.
pub fn run(module: &Module) -> Result<()> {
    let zero = std::fs::read_to_string(TRACE).ok();
    let Some(zero) = zero.and_then(|text| text.trim().parse().ok()) else {
        return run_plain(module);
    };
    trace::begin_part(zero);
    trace::track("main");
    let span = trace::span("module");
    let result = run_plain(module);
    drop(span);
    // in place: the file is a mount of its own. What is lost with it is a picture
    std::fs::write(TRACE, trace::end_part()).ok();
    result
}

fn run_plain(module: &Module) -> Result<()> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the arguments from stdin")?;
    let document = serde_json::from_str(&text).context("the arguments on stdin are not JSON")?;
    (module.run)(document)
}

fn find<'a>(modules: &[&'a Module], name: &str) -> Option<&'a Module> {
    modules
        .iter()
        .copied()
        .find(|module| module.name == name || module.aliases.contains(&name))
}

fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
