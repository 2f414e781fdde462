//! Write a file for tmpfiles.d(5): what is made, changed or removed at boot.
//!
//! The file lies in `/usr/lib/tmpfiles.d`, which the tree must have; what was in it is replaced.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.tmpfilesd`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.conf$"))]
    filename: String,
    /// The lines.
    #[schemars(length(min = 1))]
    config: Vec<Entry>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// What is done.
    #[schemars(regex(pattern = r"^([fwpLcbaA]\+?|[dDevqQCxXrRzZtThH]){1}((!?-?)|(-?!?)){0,1}$"))]
    r#type: String,
    /// To which path.
    path: String,
    /// The mode, four octal digits; with `~` before it, masked by what is there.
    #[schemars(regex(pattern = "^~?[0-7]{4}$"))]
    mode: Option<String>,
    /// The owner.
    user: Option<String>,
    /// The group.
    group: Option<String>,
    /// The age from which on contents are removed.
    age: Option<String>,
    /// What else the type takes.
    argument: Option<String>,
}

module::stage! { file: "tmpfilesd.rs", name: "org.osbuild.tmpfilesd", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let text: String = args.options.config.iter().map(line).collect();
    let path = format!("usr/lib/tmpfiles.d/{}", args.options.filename);
    Ok(args.tree.write(path, text)?)
}

/// A line: `-` for what is not given, nothing for what is not given at its end.
fn line(entry: &Entry) -> String {
    let fields = [
        &entry.mode,
        &entry.user,
        &entry.group,
        &entry.age,
        &entry.argument,
    ];
    let fields = fields.map(|field| field.as_deref().filter(|text| !text.is_empty()));
    let given = fields
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |last| last + 1);
    let mut line = format!("{} {}", entry.r#type, entry.path);
    for field in &fields[..given] {
        line.push(' ');
        line.push_str(field.unwrap_or("-"));
    }
    line.push('\n');
    line
}
