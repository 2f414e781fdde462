//! Ids of manifests that nobody wrote are those that Python computes.

mod dice;
mod json;
mod manifest;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use self::dice::Dice;
use crate::{load, parse, python_json};

const ORACLE: &str = include_str!("random/oracle.py");
/// Bits of floats, as hexadecimal digits, one a line, to what Python writes.
const FLOATS: &str = "import struct, sys
for line in sys.stdin: print(repr(struct.unpack('>d', bytes.fromhex(line.strip()))[0]))";
/// Of each format.
const HOW_MANY: u64 = 1000;

#[test]
fn two_thousand_manifests_have_the_ids_that_python_computes() {
    let texts: Vec<String> = (0..HOW_MANY)
        .flat_map(|seed| {
            [
                manifest::format_1(&mut Dice::new(seed)),
                manifest::format_2(&mut Dice::new(seed)),
            ]
        })
        .collect();
    same_as_there(&texts, None);
    if let Ok(checkout) = std::env::var("PEER_OSBUILD") {
        same_as_there(&texts, Some(&checkout));
    }
}

#[test]
fn floats_are_written_and_read_as_python_does() {
    let mut dice = Dice::new(1);
    let mut floats: Vec<f64> = (0..50_000).map(|_| f64::from_bits(dice.bits())).collect();
    // the edges, where the next float below is nearer than the one above; and halves of all sizes
    let edges =
        (0..2046u64).flat_map(|exponent| (-1..=1).map(move |n| (exponent << 52).wrapping_add_signed(n)));
    floats.extend(edges.map(f64::from_bits));
    floats.extend(
        (0..50_000).map(|_| (dice.bits() >> dice.below(64)) as f64 / 2f64.powi(dice.below(12) as i32)),
    );
    floats.retain(|float| float.is_finite());
    let lines: Vec<String> = floats
        .iter()
        .map(|float| format!("{:016x}", float.to_bits()))
        .collect();
    let Some(theirs) = python(&[FLOATS], lines.join("\n")) else {
        return println!("skipped: there is no python3");
    };
    assert_eq!(theirs.lines().count(), floats.len());
    for (float, theirs) in floats.iter().zip(theirs.lines()) {
        assert_eq!(
            python_json(&Value::from(*float)),
            theirs,
            "{:016x}",
            float.to_bits()
        );
    }
}

/// Compares with the recipe, or with the code of a checkout.
fn same_as_there(texts: &[String], checkout: Option<&str>) {
    let script: Vec<&str> = std::iter::once(ORACLE).chain(checkout).collect();
    let Some(theirs) = python(&script, texts.join("\n")) else {
        return println!("skipped: there is no python3");
    };
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(theirs.len(), texts.len());
    let mut stages = 0;
    for (text, theirs) in texts.iter().zip(theirs) {
        let ours = ids(text);
        stages += ours
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p[2].as_array().unwrap().len())
            .sum::<usize>();
        assert_eq!(ours, parse(theirs).unwrap(), "{text}");
    }
    println!("{} manifests with {stages} stages have the same ids", texts.len());
}

/// As the oracle writes them.
fn ids(text: &str) -> Value {
    let value = parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let manifest = load(&value, None).unwrap_or_else(|problems| panic!("{problems:?}: {text}"));
    let pipelines = manifest.pipelines.iter().map(|pipeline| {
        let stages: Vec<String> = pipeline.stages.iter().map(|stage| stage.id.to_string()).collect();
        json!([pipeline.name, pipeline.id(), stages])
    });
    pipelines.collect()
}

/// What a script says of its input; `None` where there is no Python.
fn python(script: &[&str], input: String) -> Option<String> {
    let mut child = Command::new("python3")
        .arg("-c")
        .args(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // a script that fails reads no more; its status tells
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "the script fails");
    Some(String::from_utf8(output.stdout).unwrap())
}
