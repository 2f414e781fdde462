//! JSON text as Python's `json.dumps` writes it, byte for byte: with sorted keys the text that ids are made of, with
//! keys in their own order the text of result documents.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// The JSON text of `value`: keys sorted, separators `", "` and `": "`, ASCII only, Python's layout of floats.
pub fn python_json(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, true, &mut text);
    text
}

/// The same with the keys in their own order.
pub fn python_text(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, false, &mut text);
    text
}

/// The JSON text of an object.
pub(crate) fn python_json_map(map: &Map<String, Value>) -> String {
    let mut text = String::new();
    write_map(map, true, &mut text);
    text
}

fn write_value(value: &Value, sorted: bool, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(list) => {
            out.push('[');
            for (n, item) in list.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                write_value(item, sorted, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_map(map, sorted, out),
    }
}

fn write_map(map: &Map<String, Value>, sorted: bool, out: &mut String) {
    let mut members: Vec<_> = map.iter().collect();
    if sorted {
        // UTF-8 sorts as code points do
        members.sort_unstable_by_key(|(key, _)| *key);
    }
    out.push('{');
    for (n, (key, value)) in members.into_iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        write_string(key, out);
        out.push_str(": ");
        write_value(value, sorted, out);
    }
    out.push('}');
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // writing to a string cannot fail
                    write!(out, "\\u{unit:04x}").ok();
                }
            }
        }
    }
    out.push('"');
}

fn write_number(number: &Number, out: &mut String) {
    match number.as_f64() {
        Some(float) if number.is_f64() => out.push_str(&python_float(float)),
        _ => out.push_str(&number.to_string()),
    }
}

/// The shortest text that reads back as `float`, in scientific notation; of several that are as short the nearest one, of
/// two as near the even one.
fn shortest(float: f64) -> String {
    let short = format!("{float:e}");
    let digits = short
        .bytes()
        .take_while(|byte| *byte != b'e')
        .filter(u8::is_ascii_digit);
    // Rust is free in its choice among the short ones, but exact and even with a given number of digits
    let nearest = format!("{float:.*e}", digits.count().saturating_sub(1));
    if nearest.parse() == Ok(float) {
        nearest
    } else {
        short
    }
}

/// The shortest text that reads back as `float`, laid out as Python's `repr` does.
fn python_float(float: f64) -> String {
    let scientific = shortest(float.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if float.is_sign_negative() { "-" } else { "" };
    let (first, rest) = digits.split_at(1);
    match exponent {
        -4..0 => format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
        0..16 => {
            let whole = exponent as usize + 1;
            match digits.len() > whole {
                true => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
                false => format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len())),
            }
        }
        _ => {
            let point = if rest.is_empty() { "" } else { "." };
            let direction = if exponent < 0 { '-' } else { '+' };
            format!("{sign}{first}{point}{rest}e{direction}{:02}", exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_laid_out_as_python_does() {
        let cases = [
            ("1.0", "1.0"),
            ("1E5", "100000.0"),
            ("-0.0", "-0.0"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e-7", "1e-07"),
            ("123456789012345.6", "123456789012345.6"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("1e16", "1e+16"),
            ("1.5e22", "1.5e+22"),
            ("1e-300", "1e-300"),
            ("2.5", "2.5"),
            ("0.1", "0.1"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ];
        for (text, expected) in cases {
            let value = crate::parse(text).unwrap();
            assert_eq!(python_json(&value), expected, "{text}");
        }
    }

    #[test]
    fn halfway_between_two_shortest_texts_the_even_digit_is_taken() {
        for (float, text) in [
            (969_598_177_383_877.0 + 0.25, "969598177383877.2"),
            (969_598_177_383_877.0 + 0.75, "969598177383877.8"),
            (-2f64.powi(-44), "-5.684341886080802e-14"),
            (f64::from_bits(1), "5e-324"),
        ] {
            assert_eq!(python_float(float), text);
        }
    }

    #[test]
    fn integers_stay_whole_and_minus_zero_is_zero() {
        let value = crate::parse("[-0, -1, 18446744073709551615, -9223372036854775808]").unwrap();
        assert_eq!(
            python_json(&value),
            "[0, -1, 18446744073709551615, -9223372036854775808]"
        );
    }

    #[test]
    fn keys_are_sorted_and_text_is_ascii() {
        let value =
            serde_json::json!({"b": "\u{7f}/\u{1f600}\u{1}\u{8}", "B": {"é": null, "z": []}, "a": {}});
        assert_eq!(
            python_json(&value),
            r#"{"B": {"z": [], "\u00e9": null}, "a": {}, "b": "\u007f/\ud83d\ude00\u0001\b"}"#
        );
    }
}
