//! [`line_of`]: a JSON path back to its line in the text.

use crate::path::{Path, Step};
use crate::syntax::{position, string_end};

/// Line and column, both from 1, of what `path` names in the JSON `text`: of the key of a member, of the first
/// character of an element. `None` where the text has no such thing.
pub fn line_of(text: &str, path: &Path) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut value = skip_space(bytes, 0);
    let mut found = value;
    for step in path.steps() {
        (found, value) = match step {
            Step::Key(key) => member(text, value, key)?,
            Step::Index(index) => element(bytes, value, *index)?,
        };
    }
    (found < bytes.len()).then(|| position(text, found))
}

/// The offsets of the key and the value of the last member called `key` of the object at `start`.
fn member(text: &str, start: usize, key: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    if bytes.get(start) != Some(&b'{') {
        return None;
    }
    let mut found = None;
    let mut i = skip_space(bytes, start + 1);
    while bytes.get(i) == Some(&b'"') {
        let end = string_end(bytes, i);
        let colon = skip_space(bytes, end);
        if bytes.get(colon) != Some(&b':') {
            break;
        }
        let value = skip_space(bytes, colon + 1);
        let name = text
            .get(i..end)
            .and_then(|raw| serde_json::from_str::<String>(raw).ok());
        if name.as_deref() == Some(key) {
            found = Some((i, value));
        }
        i = skip_space(bytes, value_end(bytes, value));
        if bytes.get(i) != Some(&b',') {
            break;
        }
        i = skip_space(bytes, i + 1);
    }
    found
}

/// The offset, twice, of an element of the array at `start`.
fn element(bytes: &[u8], start: usize, index: usize) -> Option<(usize, usize)> {
    if bytes.get(start) != Some(&b'[') {
        return None;
    }
    let mut i = skip_space(bytes, start + 1);
    for _ in 0..index {
        i = skip_space(bytes, value_end(bytes, i));
        if bytes.get(i) != Some(&b',') {
            return None;
        }
        i = skip_space(bytes, i + 1);
    }
    (i < bytes.len() && bytes[i] != b']').then_some((i, i))
}

fn skip_space(bytes: &[u8], mut i: usize) -> usize {
    while matches!(bytes.get(i), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        i += 1;
    }
    i
}

/// The offset behind the value at `start`.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut i = start;
    let mut depth = 0usize;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => {
                i = string_end(bytes, i);
                if depth == 0 {
                    return i;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 1 { i + 1 } else { i },
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return i,
            _ => {}
        }
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n  \"pipelines\": [\n    {\"n\\u0061me\": \"é]}\", \"x\": 1},\n    {\"name\": {\"a\": [[], {}, -1]}}\n  ],\n  \"d\": 1, \"d\": [2]\n}";

    #[test]
    fn keys_and_elements_are_found() {
        let pipelines = Path::root().key("pipelines");
        assert_eq!(line_of(TEXT, &Path::root()), Some((1, 1)));
        assert_eq!(line_of(TEXT, &pipelines), Some((2, 3)));
        assert_eq!(line_of(TEXT, &pipelines.index(0).key("name")), Some((3, 6)));
        assert_eq!(line_of(TEXT, &pipelines.index(0).key("x")), Some((3, 26)));
        assert_eq!(line_of(TEXT, &pipelines.index(1)), Some((4, 5)));
        let list = pipelines.index(1).key("name").key("a");
        assert_eq!(line_of(TEXT, &list.index(2)), Some((4, 29)));
        assert_eq!(line_of(TEXT, &list.index(3)), None);
        // the last of equal keys is the one that counts
        assert_eq!(line_of(TEXT, &Path::root().key("d").index(0)), Some((6, 17)));
    }

    #[test]
    fn broken_text_gives_nothing() {
        let path = Path::root()
            .key("pipelines")
            .index(1)
            .key("name")
            .key("a")
            .index(2);
        for end in (0..TEXT.len()).filter(|end| TEXT.is_char_boundary(*end)) {
            line_of(&TEXT[..end], &path);
        }
        assert_eq!(line_of("", &Path::root()), None);
        assert_eq!(line_of("3", &path), None);
    }
}
