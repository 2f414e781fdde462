//! What only Python can do as templates want it: rendering with Mako, and its regular expressions.
//!
//! Python sees texts alone, no paths of the tree.

use std::path::Path;

use module::{Context, Result, Tool};
use serde_json::{Value, json};

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("python.rs");

/// Reads `{template, values}`, prints the rendered text. Objects become objects with attributes.
const RENDER: &str = r"
import json, sys, types
import mako.template
call = json.load(sys.stdin)
values = {name: types.SimpleNamespace(**value) if isinstance(value, dict) else value
          for name, value in call['values'].items()}
with open(call['template'], encoding='utf8') as template:
    text = template.read()
sys.stdout.write(mako.template.Template(text=text, filename=call['template']).render(**values))
";

/// Reads `{pattern, replacement, text}`, prints the text with each line replaced.
const REPLACE: &str = r"
import json, re, sys
call = json.load(sys.stdin)
pattern = re.compile(call['pattern'])
for line in call['text'].splitlines(keepends=True):
    sys.stdout.write(pattern.sub(call['replacement'], line))
";

/// The text of a template for these values.
pub fn render(template: &Path, values: &Value) -> Result<String> {
    run(RENDER, &json!({"template": template, "values": values}))
}

/// The text with what matches the regular expression replaced, line by line.
pub fn replace(pattern: &str, replacement: &str, text: &str) -> Result<String> {
    let call = json!({"pattern": pattern, "replacement": replacement, "text": text});
    run(REPLACE, &call)
}

fn run(program: &str, call: &Value) -> Result<String> {
    let output = Tool::new("python3")
        .args(["-B", "-c", program])
        .env("PYTHONIOENCODING", "utf8")
        .input(call.to_string())
        .output()
        .context("the build root's Python (with mako)")?;
    String::from_utf8(output).context("what Python printed is not UTF-8")
}
