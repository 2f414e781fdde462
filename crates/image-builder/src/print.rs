//! What goes to stdout and stderr.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use crate::distro::DISTROS;
use crate::error::{Failure, OrFail, Result};
use crate::image_type::ImageType;

/// A manifest as text: indented, with a line break at the end.
pub fn text(manifest: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(manifest).or_fail(|| "cannot write the manifest".to_owned())?;
    Ok(text + "\n")
}

/// Prints a manifest.
pub fn manifest(manifest: &Value) -> Result<()> {
    stdout(&text(manifest)?)
}

/// Prints the distributions and the types of images.
pub fn list() -> Result<()> {
    let mut text = String::from("distributions\n");
    for distro in DISTROS {
        // writing into a string does not fail
        writeln!(text, "  {:<14} {}", distro.id, distro.title).ok();
    }
    text.push_str("types\n");
    for image in ImageType::value_variants() {
        let value = image.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help());
        let help = help.map(ToString::to_string).unwrap_or_default();
        writeln!(text, "  {:<14} {help}", image.name()).ok();
    }
    stdout(&text)
}

/// Tells on stderr what happens; that nobody reads on is no failure.
pub fn note(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Prints to stdout; that nobody reads on is no failure.
pub fn stdout(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
