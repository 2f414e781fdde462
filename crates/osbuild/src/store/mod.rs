//! `osbuild store`: what an administrator asks of a store.

mod diff;
mod du;
mod fsck;
mod gc;
mod ls;
mod options;
mod rm;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use manifest::python_text;
use serde_json::Value;
use store::{Match, Store};

use crate::words::{age, short};
use crate::{fail, print};

use options::{StoreOptions, StoreTask};

/// What is told, and the exit code.
struct Told {
    text: String,
    document: Value,
    code: u8,
}

/// Why nothing came of it: what is said, a hint, and the exit code.
struct Trouble {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self {
            message: error.to_string(),
            hint: None,
            code: fail::FAILED,
        }
    }
}

impl Trouble {
    /// What was asked for makes no sense.
    fn usage(message: String, hint: &str) -> Self {
        Self {
            message,
            hint: Some(hint.to_owned()),
            code: fail::INVALID,
        }
    }
}

/// Reads the command line, in which the word `store` stands at the place `word`, and does what it asks.
pub(crate) fn called(mut args: Vec<OsString>, word: usize) -> ExitCode {
    args.remove(word);
    let args: Vec<OsString> = std::iter::once("osbuild store".into()).chain(args).collect();
    match StoreOptions::try_parse_from(args) {
        Ok(options) => run(&options),
        Err(error) => {
            // a closed pipe is no reason to fail
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { fail::INVALID } else { 0 })
        }
    }
}

/// Does what is asked.
fn run(options: &StoreOptions) -> ExitCode {
    let entered = executor::enter().map_err(|error| Trouble {
        message: error.to_string(),
        hint: error.hint().map(str::to_owned),
        code: fail::FAILED,
    });
    let code = match entered.and_then(|()| carry_out(options)) {
        Ok(told) => {
            match options.json {
                true => print::stdout(&format!("{}\n", python_text(&told.document))),
                false => print::stdout(&told.text),
            }
            told.code
        }
        Err(trouble) => {
            if options.json {
                let document = fail::fatal_document(&trouble.message);
                print::stdout(&format!("{}\n", python_text(&document)));
            } else {
                print::error(&trouble.message, trouble.hint.as_deref());
            }
            trouble.code
        }
    };
    ExitCode::from(code)
}

fn carry_out(options: &StoreOptions) -> Result<Told, Trouble> {
    match &options.task {
        StoreTask::Fsck { deep, repair } => fsck::run(options, *deep, *repair),
        StoreTask::Ls => ls::run(options),
        StoreTask::Du => du::run(options),
        StoreTask::Gc { dry_run } => gc::run(options, *dry_run),
        StoreTask::Diff { from, to } => diff::run(options, from, to),
        StoreTask::Rm { ids } => rm::run(options, ids),
    }
}

/// The store, to look at it.
fn look(options: &StoreOptions) -> Result<Store, Trouble> {
    match Store::look(&options.store)? {
        Some(store) if store.path().join("objects").is_dir() => Ok(store),
        _ => Err(Trouble::usage(
            format!("there is no store in {}", options.store.display()),
            "`--store DIR` names one",
        )),
    }
}

/// The store, to change it.
fn open(options: &StoreOptions) -> Result<Store, Trouble> {
    // opening one would make it
    look(options)?;
    Ok(Store::open_as_left(&options.store)?)
}

/// What `word` means; `one` says whether two things are the same to the asker.
fn find(store: &Store, word: &str, one: impl Fn(&Match, &Match) -> bool) -> Result<Match, Trouble> {
    let found = store.find(word)?;
    let Some(first) = found.first() else {
        return Err(Trouble::usage(
            format!("nothing in the store is called {word}"),
            "`osbuild store ls` lists what there is",
        ));
    };
    if found.iter().all(|other| one(first, other)) {
        return Ok(first.clone());
    }
    let lines: Vec<String> = found.iter().map(line).collect();
    Err(Trouble::usage(
        format!("{word} can mean\n{}", lines.concat().trim_end()),
        "more of the id tells them apart",
    ))
}

fn line(found: &Match) -> String {
    match &found.stage {
        Some(stage) => {
            let name = stage.name.as_deref().unwrap_or("a stage");
            let used = stage.used.map(age).unwrap_or_default();
            format!("  {}  {name}  {used}\n", short(&stage.id))
        }
        None => format!("  {}  a tree\n", short(&found.tree.to_string())),
    }
}

/// Words in columns, as wide as they need to be, two spaces between; `right` are those that are flush right.
fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            match right.contains(&column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
