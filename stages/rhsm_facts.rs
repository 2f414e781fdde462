//! Write facts for the Red Hat Subscription Manager.
//!
//! They go to `/etc/rhsm/facts/osbuild.facts` as JSON; the file must not be there yet.

use std::io;

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, ser};

use crate::common;

/// Options of `org.osbuild.rhsm.facts`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    /// The facts: names and values.
    facts: Option<Map<String, Value>>,
}

module::stage! {
    file: "rhsm_facts.rs", name: "org.osbuild.rhsm.facts", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let facts = args.options.facts.as_ref().context("`facts` is missing")?;
    args.tree.mkdir_all("etc/rhsm/facts")?;
    common::create_new(&args.tree, "etc/rhsm/facts/osbuild.facts", &spaced(facts)?)
}

/// JSON in one line, a space after each comma and colon, ASCII alone.
fn spaced(facts: &Map<String, Value>) -> Result<String> {
    let mut bytes = Vec::new();
    facts.serialize(&mut ser::Serializer::with_formatter(&mut bytes, Spaced))?;
    Ok(String::from_utf8(bytes)?)
}

struct Spaced;

impl ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        for unit in text.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => writer.write_all(&[byte])?,
                _ => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_ascii() {
        let facts = serde_json::json!({"a": ["ä", "😀"], "b": {}, "c": "\"\n"});
        let text = spaced(facts.as_object().unwrap()).unwrap();
        assert_eq!(text, r#"{"a": ["\u00e4", "\ud83d\ude00"], "b": {}, "c": "\"\n"}"#);
    }
}
