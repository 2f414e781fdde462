//! Changing the text of a volume group without taking it apart.

use crate::{Error, Result};

/// What is changed; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: String,
    pub description: Option<String>,
    pub creation_host: Option<String>,
    pub creation_time: Option<u64>,
}

/// `text` with the changes. All of them are on the outermost level: the group's section, and settings beside it.
///
/// # Errors
/// The text has no section.
pub fn changed(text: &str, change: &Change) -> Result<String> {
    let mut settings = vec![
        ("description", change.description.as_deref().map(quoted)),
        ("creation_host", change.creation_host.as_deref().map(quoted)),
        ("creation_time", change.creation_time.map(|time| time.to_string())),
    ];
    let mut lines: Vec<String> = Vec::new();
    let (mut depth, mut renamed) = (0_usize, false);
    for line in text.lines() {
        let is_outermost = depth == 0;
        depth = depth_behind(line, depth);
        let mut line = line.to_owned();
        if is_outermost && depth == 1 && !renamed {
            renamed = true;
            line = format!("{} {{", change.name);
        } else if is_outermost && let Some(setting) = setting_of(&line, &mut settings) {
            line = setting;
        }
        lines.push(line);
    }
    if !renamed {
        return Err(Error::unsuitable("the LVM metadata has no volume group"));
    }
    let missing = settings
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    lines.extend(missing.map(|(name, value)| format!("{name} = {value}")));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// The line in place of `line`, where it sets what is to be changed; that then is done.
fn setting_of(line: &str, settings: &mut [(&str, Option<String>)]) -> Option<String> {
    let name = line.split('=').next()?.trim();
    let setting = settings.iter_mut().find(|(wanted, _)| *wanted == name)?;
    Some(format!("{name} = {}", setting.1.take()?))
}

/// How many sections are open behind a line; braces in texts and comments are none.
fn depth_behind(line: &str, mut depth: usize) -> usize {
    let (mut in_text, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '#' if !in_text => break,
            '{' if !in_text => depth += 1,
            '}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth
}

/// A text in quotation marks.
pub(super) fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace(['\n', '\0'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_level_changes() {
        let text = "old {\nid = \"x\"\nlv {\ncreation_host = \"a\" # {\n}\n}\n# by LVM {\n\
                    description = \"vgcreate {\\\" old\"\ncreation_host = \"b\"\t# Linux\n";
        let change = Change {
            name: "new".into(),
            description: Some("a \"b\"".into()),
            creation_host: None,
            creation_time: Some(7),
        };
        assert_eq!(
            changed(text, &change).unwrap(),
            "new {\nid = \"x\"\nlv {\ncreation_host = \"a\" # {\n}\n}\n# by LVM {\n\
             description = \"a \\\"b\\\"\"\ncreation_host = \"b\"\t# Linux\ncreation_time = 7\n"
        );
        assert!(changed("version = 1\n", &change).is_err());
    }
}
