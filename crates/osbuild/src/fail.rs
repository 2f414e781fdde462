//! Every sentence that tells of a failure, and its exit code.

use executor::{Error, Failure, Guard};
use manifest::{Path, Problem, SyntaxError};
use serde_json::{Value, json};

use crate::{print, whole_log};

/// Exit codes: the Python osbuild's.
pub(crate) const FAILED: u8 = 1;
pub(crate) const INVALID: u8 = 2;

/// Says what is wrong with a manifest: each problem with its place, its line and what to do.
pub(crate) fn problems(name: &str, text: &str, problems: &[Problem]) {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        more => format!("{more} problems"),
    };
    let mut out = format!("error: {count} in {name}\n");
    for problem in problems {
        let place = place(text, &problem.at);
        out.push_str(&format!("  {}{place}: {}\n", problem.at, problem.message));
        if let Some(hint) = &problem.hint {
            out.push_str(&format!("    hint: {hint}\n"));
        }
    }
    print::stderr(&out);
}

fn place(text: &str, path: &Path) -> String {
    manifest::line_of(text, path).map_or_else(String::new, |(line, _)| format!(" (line {line})"))
}

/// A text that is no JSON, as the one problem it has.
pub(crate) fn syntax(error: &SyntaxError) -> Problem {
    Problem::new(Path::root(), error.to_string())
}

/// Says why a build failed. The log of a stage is shown `whole` where a person has seen no more than its bars, else its
/// last lines: the rest was printed while it ran.
pub(crate) fn failure(manifest: &str, failure: &Failure, whole: bool) {
    match failure {
        Failure::Source {
            kind,
            item,
            error,
            others,
        } => {
            let more = if *others > 0 {
                format!(" (and {others} more)")
            } else {
                String::new()
            };
            print::error(&format!("source {kind} failed for {item}{more}: {error}"), None);
        }
        Failure::Stage {
            name,
            id,
            path,
            how,
            seconds,
            tail,
            log,
        } => {
            let time = clock(*seconds);
            let mut out = format!("error: stage {name} failed ({how}) after {time}\n");
            out.push_str(&format!(
                "  at {path} of {manifest}, id {}\n",
                &id[..id.len().min(12)]
            ));
            let lines = if whole { whole_log::read(log) } else { None };
            // on a full disk the file may hold less
            let lines = lines.filter(|lines| lines.len() >= tail.len());
            lines
                .unwrap_or_else(|| tail.iter().map(|line| print::tame(line)).collect())
                .iter()
                .for_each(|line| out.push_str(&format!("  | {line}\n")));
            out.push_str(&format!(
                "  full log: {} (kept until the next run)\n",
                log.display()
            ));
            if manifest != "<stdin>" {
                out.push_str(&format!(
                    "  hint: `osbuild {manifest} --break {name}` opens a shell in that tree\n"
                ));
            }
            print::stderr(&out);
        }
    }
}

/// Says which parts of the sandbox stages had to do without, as was allowed.
pub(crate) fn missing(parts: &[Guard]) {
    if !parts.is_empty() {
        let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        print::stderr(&format!(
            "warning: stages ran without these parts of the sandbox: {}\n",
            names.join(", ")
        ));
    }
}

/// Says what ended the build otherwise.
pub(crate) fn fatal(error: &Error) {
    let hint = match error {
        Error::Library { hint, .. } => Some(hint.clone()),
        Error::StorePlace { .. } => Some(
            "give `--store` a directory on ext4, XFS, Btrfs or the like; in a container, a volume".into(),
        ),
        Error::Sandbox(error) => Some(error.hint().map_or_else(
            || {
                "boxes need a kernel with user namespaces and, as root, id-mapped mounts (5.19 or newer)"
                    .into()
            },
            str::to_owned,
        )),
        _ => None,
    };
    print::error(&error.to_string(), hint.as_deref());
}

/// The document for what the Python osbuild tells with a traceback.
pub(crate) fn fatal_document(message: &str) -> Value {
    json!({
        "type": "error", "success": false,
        "error": {"type": "org.osbuild.error.fatal", "details": {"message": message}},
    })
}

/// Minutes and seconds.
pub(crate) fn clock(seconds: f64) -> String {
    let whole = seconds as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}
