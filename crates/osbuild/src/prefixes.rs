//! Abbreviated options: any prefix that only one of the Python osbuild's options has means that option.
//!
//! Its callers rely on that: `--out` and `--output-dir` are `--output-directory`, although we have an `--output`.

use std::ffi::OsString;

/// The Python osbuild's long options (version 191).
const THEIRS: [&str; 18] = [
    "break",
    "cache",
    "cache-max-size",
    "checkpoint",
    "export",
    "help",
    "in-vm",
    "inspect",
    "json",
    "libdir",
    "monitor",
    "monitor-fd",
    "output-directory",
    "quiet",
    "rundir",
    "stage-timeout",
    "store",
    "version",
];

/// Ours beside them.
const OURS: [&str; 11] = [
    "cpu-limit",
    "jobs",
    "memory-limit",
    "output",
    "pids-limit",
    "provenance",
    "repo",
    "sbom",
    "stand-in",
    "trace",
    "unsafe-allow",
];

/// Writes abbreviations in full. What is ambiguous or unknown stays as it is, to be refused later.
pub(crate) fn expand(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut options = true;
    args.map(move |arg| {
        options &= arg != "--";
        match arg.to_str().filter(|_| options).and_then(full) {
            Some(full) => full.into(),
            None => arg,
        }
    })
}

fn full(arg: &str) -> Option<String> {
    let word = arg.strip_prefix("--").filter(|word| !word.is_empty())?;
    let (name, value) = word.find('=').map_or((word, ""), |at| word.split_at(at));
    if THEIRS.contains(&name) || OURS.contains(&name) {
        return None;
    }
    let fit = |list: &[&'static str]| -> Vec<&'static str> {
        let fit = list.iter().filter(|option| option.starts_with(name));
        fit.copied().collect()
    };
    // what may be two of theirs is none of ours
    let fit = match fit(&THEIRS) {
        theirs if theirs.is_empty() => fit(&OURS),
        theirs => theirs,
    };
    let [option] = fit[..] else { return None };
    Some(format!("--{option}{value}"))
}

#[cfg(test)]
mod tests {
    use super::full;

    #[test]
    fn a_prefix_means_the_option_the_callers_know() {
        assert_eq!(full("--out").as_deref(), Some("--output-directory"));
        assert_eq!(full("--output-dir=x").as_deref(), Some("--output-directory=x"));
        assert_eq!(full("--output"), None);
        assert_eq!(full("--st"), None, "--store or --stage-timeout");
        assert_eq!(full("--stan").as_deref(), Some("--stand-in"));
        assert_eq!(full("--rep").as_deref(), Some("--repo"));
        assert_eq!(full("-o"), None);
        assert_eq!(full("--"), None);
    }
}
