//! JSON texts of every spelling.

use super::dice::Dice;

/// Any value, nested at most `depth` times.
pub fn value(dice: &mut Dice, depth: usize) -> String {
    match dice.below(if depth == 0 { 6 } else { 8 }) {
        0 => dice.pick(&["null", "true", "false"]).to_owned(),
        1 => integer(dice),
        2 | 3 => float(dice),
        4 | 5 => text(dice),
        6 => {
            let items: Vec<String> = (0..dice.below(4)).map(|_| value(dice, depth - 1)).collect();
            format!("[{}]", items.join(dice.pick(&[",", ", ", " ,\t"])))
        }
        _ => object(dice, depth - 1),
    }
}

/// Any object; now and then two of its members have one name.
pub fn object(dice: &mut Dice, depth: usize) -> String {
    let mut members = Vec::new();
    for _ in 0..dice.below(5) {
        members.push(format!(
            "{}{}{}",
            text(dice),
            dice.pick(&[":", ": ", " : "]),
            value(dice, depth)
        ));
    }
    if dice.once_in(20) {
        members.extend(members.first().cloned());
        members.push(format!("\"twice\": {}, \"twice\": 1", value(dice, 0)));
    }
    format!("{{{}}}", members.join(", "))
}

fn integer(dice: &mut Dice) -> String {
    let bits = dice.bits();
    match dice.below(5) {
        0 => (bits % 100).to_string(),
        1 => "-0".to_owned(),
        2 => (bits as i64).to_string(),
        3 => bits.to_string(),
        _ => dice
            .pick(&[
                "9223372036854775807",
                "-9223372036854775808",
                "18446744073709551615",
                "0",
                "-1",
            ])
            .to_owned(),
    }
}

/// A float: every bit pattern, few digits, too many of them, the edges of the notations.
fn float(dice: &mut Dice) -> String {
    let bits = dice.bits();
    let any = f64::from_bits(bits);
    match dice.below(6) {
        0 if any.is_finite() => format!("{any:e}"),
        1 => format!("{}.{}", bits % 1000, dice.below(100)),
        2 => format!("{}.{:019}", bits >> 40, dice.bits() % 10_000_000_000_000_000_000),
        3 => format!(
            "{}{}{}{}",
            dice.below(100),
            dice.pick(&["e", "E"]),
            dice.pick(&["", "+", "-"]),
            dice.below(25)
        ),
        4 => format!("-{}.{}e-{}", dice.below(10), bits, dice.below(340)),
        _ => dice
            .pick(&[
                "-0.0",
                "0.0001",
                "0.00001",
                "1e16",
                "9999999999999999.0",
                "1e-400",
                "5e-324",
                "2.2250738585072011e-308",
                "1.7976931348623157e308",
                "0.1e1",
                "9007199254740993.0",
                "123456789012345680.0",
            ])
            .to_owned(),
    }
}

/// A text: plain, of any characters, raw or escaped.
pub fn text(dice: &mut Dice) -> String {
    let mut text = String::from("\"");
    for _ in 0..dice.below(8) {
        match dice.below(8) {
            0..=2 => text.push(char::from(b'a' + dice.below(26) as u8)),
            3 => text.push_str(dice.pick(&[
                "\\\"", "\\\\", "\\/", "/", "\\b", "\\f", "\\n", "\\r", "\\t", "\u{7f}", "\\u0000",
            ])),
            4 => text.push_str(dice.pick(&[
                "é",
                "ß",
                "\u{2028}",
                "\u{fffd}",
                "\u{ffff}",
                "😀",
                "\u{10ffff}",
                "\u{80}",
                "ﬁ",
            ])),
            5 => {
                let unit = dice.bits() as u16;
                let surrogate = (0xd800..0xe000).contains(&unit);
                text.push_str(&format!("\\u{:04X}", if surrogate { unit & 0xff } else { unit }));
            }
            // a character outside the first plane, as a pair
            6 => {
                let (high, low) = (0xd800 + dice.below(0x400), 0xdc00 + dice.below(0x400));
                text.push_str(&format!("\\u{high:04x}\\u{low:04X}"));
            }
            _ => text.extend(char::from_u32(0xa0 + dice.below(0xd000) as u32)),
        }
    }
    text.push('"');
    text
}
