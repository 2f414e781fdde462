//! Valid manifests of both formats with every field there is.

use super::dice::Dice;
use super::json::{object, text, value};

const STAGES: [&str; 5] = [
    "org.osbuild.noop",
    "org.osbuild.rpm",
    "org.osbuild.ostree",
    "org.osbuild.copy",
    "com.example.étage",
];

/// Names of pipelines, apart from their numbers.
const NAMES: [&str; 4] = ["p", "os ", "é", "name:"];

/// A pipeline that can be referred to.
struct Earlier {
    name: String,
    /// It has no stages, so it has no id.
    empty: bool,
}

/// A manifest of format 2, on one line.
pub fn format_2(dice: &mut Dice) -> String {
    let items: Vec<String> = (0..dice.below(4))
        .map(|n| format!("\"sha256:{n:02x}\""))
        .collect();
    let mut members = vec!["\"version\": \"2\"".to_owned()];
    if !items.is_empty() {
        let described: Vec<String> = items
            .iter()
            .map(|item| format!("{item}: {}", value(dice, 1)))
            .collect();
        let options = optional(dice, "options", |dice| object(dice, 1));
        members.push(format!(
            "\"sources\": {{\"org.osbuild.curl\": {{\"items\": {{{}}}{options}}}}}",
            described.join(", ")
        ));
    }
    if dice.once_in(3) {
        members.push("\"metadata\": {\"generators\": [{\"name\": \"x\", \"version\": \"1\"}]}".to_owned());
    }
    let mut earlier: Vec<Earlier> = Vec::new();
    let mut pipelines = Vec::new();
    for number in 0..dice.below(5) {
        let name = format!("{}{number}", dice.pick(&NAMES));
        let stages = dice.below(4);
        pipelines.push(pipeline(dice, &name, stages, &earlier, &items));
        earlier.push(Earlier {
            name,
            empty: stages == 0,
        });
    }
    members.push(format!("\"pipelines\": [{}]", pipelines.join(", ")));
    shuffled(dice, members)
}

fn pipeline(dice: &mut Dice, name: &str, stages: usize, earlier: &[Earlier], items: &[String]) -> String {
    let mut members = vec![format!("\"name\": \"{name}\"")];
    if !earlier.is_empty() && !dice.once_in(3) {
        members.push(format!(
            "\"build\": \"name:{}\"",
            earlier[dice.below(earlier.len())].name
        ));
    }
    if dice.once_in(3) {
        members.push("\"runner\": \"org.osbuild.linux\"".to_owned());
    }
    if dice.once_in(2) {
        members.push(format!(
            "\"source-epoch\": {}",
            dice.pick(&["0", "1", "-0", "-5", "1659397331", "9223372036854775807"])
        ));
    }
    let stages: Vec<String> = (0..stages).map(|_| stage(dice, earlier, items)).collect();
    members.push(format!("\"stages\": [{}]", stages.join(",")));
    shuffled(dice, members)
}

fn stage(dice: &mut Dice, earlier: &[Earlier], items: &[String]) -> String {
    let mut members = vec![format!("\"type\": \"{}\"", dice.pick(&STAGES))];
    if !dice.once_in(4) {
        members.push(format!("\"options\": {}", object(dice, 3)));
    }
    if dice.once_in(2) {
        let names = ["a", "Z", "b-1", "tree.x_y", "bé"];
        let inputs: Vec<String> = (0..dice.below(names.len()))
            .filter_map(|n| Some(format!("\"{}\": {}", names[n], input(dice, earlier, items)?)))
            .collect();
        members.push(format!("\"inputs\": {{{}}}", inputs.join(", ")));
    }
    if dice.once_in(2) {
        members.extend(disk(dice));
    }
    shuffled(dice, members)
}

/// An input, if there is something to refer to.
fn input(dice: &mut Dice, earlier: &[Earlier], items: &[String]) -> Option<String> {
    let of_source = dice.once_in(2);
    let (origin, mut refs) = match of_source {
        true => ("org.osbuild.source", items.to_vec()),
        false => {
            // what has no id is `null` there, which cannot be sorted among others
            let alone = dice.once_in(3);
            let named = earlier.iter().filter(|pipeline| pipeline.empty == alone);
            let refs = named
                .map(|pipeline| format!("\"name:{}\"", pipeline.name))
                .take(if alone { 1 } else { 9 });
            ("org.osbuild.pipeline", refs.collect())
        }
    };
    if !of_source && !refs.is_empty() && dice.once_in(6) {
        // which is passed over
        refs.push("\"no name\"".to_owned());
    }
    refs.retain(|_| !dice.once_in(3));
    if refs.is_empty() {
        return None;
    }
    let references = match dice.below(2) {
        0 => {
            let list: Vec<String> = refs
                .iter()
                .map(|id| format!("{id}: {}", reference_options(dice)))
                .collect();
            format!("{{{}}}", list.join(", "))
        }
        _ => {
            let list: Vec<String> = refs.iter().map(|id| reference(dice, id)).collect();
            format!("[{}]", list.join(", "))
        }
    };
    let options = optional(dice, "options", |dice| object(dice, 2));
    Some(format!(
        "{{\"type\": \"org.osbuild.files\", \"origin\": \"{origin}\", \"references\": {references}{options}}}"
    ))
}

fn reference(dice: &mut Dice, id: &str) -> String {
    match dice.below(3) {
        0 => id.to_owned(),
        1 => format!("{{\"id\": {id}}}"),
        _ => format!("{{\"options\": {}, \"id\": {id}}}", reference_options(dice)),
    }
}

fn reference_options(dice: &mut Dice) -> String {
    if dice.once_in(4) {
        "null".to_owned()
    } else {
        object(dice, 1)
    }
}

/// Devices, children before and after their parents, and mounts of them.
fn disk(dice: &mut Dice) -> Vec<String> {
    let count = dice.below(4);
    let mut devices: Vec<String> = Vec::new();
    for number in 0..count {
        let parent = match number {
            0 => String::new(),
            _ => optional(dice, "parent", |dice| format!("\"d{}\"", dice.below(number))),
        };
        let options = optional(dice, "options", |dice| object(dice, 1));
        devices.push(format!(
            "\"d{number}\": {{\"type\": \"org.osbuild.loopback\"{parent}{options}}}"
        ));
    }
    if dice.once_in(2) {
        devices.reverse();
    }
    let mounts: Vec<String> = (0..dice.below(4))
        .map(|number| mount(dice, number, count))
        .collect();
    vec![
        format!("\"devices\": {{{}}}", devices.join(", ")),
        format!("\"mounts\": [{}]", mounts.join(", ")),
    ]
}

fn mount(dice: &mut Dice, number: usize, devices: usize) -> String {
    let mut members = vec![
        format!("\"name\": \"m{number}\""),
        "\"type\": \"org.osbuild.ext4\"".to_owned(),
    ];
    if devices > 0 && !dice.once_in(4) {
        members.push(format!("\"source\": \"d{}\"", dice.below(devices)));
    }
    if dice.once_in(2) {
        members.push(format!(
            "\"target\": {}",
            if dice.once_in(4) {
                "\"\"".to_owned()
            } else {
                text(dice)
            }
        ));
    }
    if dice.once_in(2) {
        members.push(format!("\"partition\": {}", dice.pick(&["0", "1", "128", "-0"])));
    }
    if dice.once_in(2) {
        members.push(format!("\"options\": {}", object(dice, 1)));
    }
    shuffled(dice, members)
}

/// A manifest of format 1, on one line.
pub fn format_1(dice: &mut Dice) -> String {
    let pipeline = old_pipeline(dice, 0);
    let sources = match dice.below(3) {
        0 => "",
        1 => ", \"sources\": {\"org.osbuild.files\": {\"urls\": {\"sha256:00\": \"x\"}}}",
        _ => ", \"sources\": {\"org.osbuild.ostree\": {\"commits\": {\"00\": {}}}}",
    };
    format!("{{\"pipeline\": {pipeline}{sources}}}")
}

fn old_pipeline(dice: &mut Dice, depth: usize) -> String {
    let mut members = Vec::new();
    if depth < 3 && dice.once_in(2) {
        let inner = old_pipeline(dice, depth + 1);
        members.push(format!(
            "\"build\": {{\"pipeline\": {inner}, \"runner\": \"org.osbuild.linux\"}}"
        ));
    }
    let stages: Vec<String> = (0..dice.below(4)).map(|_| old_stage(dice)).collect();
    members.push(format!("\"stages\": [{}]", stages.join(", ")));
    if depth == 0 && dice.once_in(2) {
        let options = optional(dice, "options", |dice| object(dice, 2));
        members.push(format!(
            "\"assembler\": {{\"name\": \"org.osbuild.tar\"{options}}}"
        ));
    }
    shuffled(dice, members)
}

fn old_stage(dice: &mut Dice) -> String {
    let name = dice.pick(&STAGES);
    let options = match name {
        "org.osbuild.rpm" => {
            let package = |dice: &mut Dice, number: usize| match dice.below(3) {
                0 => format!("\"sha256:{number}\""),
                1 => format!("{{\"checksum\": \"sha256:{number}\"}}"),
                _ => format!(
                    "{{\"check_gpg\": {}, \"checksum\": \"sha256:{number}\"}}",
                    dice.pick(&["true", "false"])
                ),
            };
            let packages: Vec<String> = (0..dice.below(4)).map(|number| package(dice, number)).collect();
            format!(", \"options\": {{\"packages\": [{}]}}", packages.join(", "))
        }
        "org.osbuild.ostree" => {
            let given = optional(dice, "ref", |dice| {
                dice.pick(&["\"\"", "\"a/b\"", "\"é\""]).to_owned()
            });
            format!(", \"options\": {{\"commit\": \"00\"{given}}}")
        }
        _ => optional(dice, "options", |dice| object(dice, 3)),
    };
    format!("{{\"name\": \"{name}\"{options}}}")
}

/// A member behind others, or nothing.
fn optional(dice: &mut Dice, key: &str, value: impl FnOnce(&mut Dice) -> String) -> String {
    if dice.once_in(2) {
        return String::new();
    }
    format!(", \"{key}\": {}", value(dice))
}

fn shuffled(dice: &mut Dice, mut members: Vec<String>) -> String {
    for last in (1..members.len()).rev() {
        members.swap(last, dice.below(last + 1));
    }
    format!("{{{}}}", members.join(", "))
}
