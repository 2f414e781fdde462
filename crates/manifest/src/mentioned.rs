//! Which modules a document speaks of, found without understanding it.

use std::collections::BTreeSet;

use serde_json::Value;

/// The keys below which stages and assemblers stand, in both formats.
const WAY: [&str; 5] = ["pipelines", "pipeline", "build", "stages", "assembler"];

/// The names of the stages and assemblers of a document, valid or not. Some may be no module's.
pub fn mentioned(document: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut todo = vec![document];
    while let Some(value) = todo.pop() {
        match value {
            Value::Array(items) => todo.extend(items),
            Value::Object(map) => {
                let named = [map.get("type"), map.get("name")].into_iter().flatten();
                names.extend(named.filter_map(Value::as_str).map(str::to_owned));
                todo.extend(WAY.iter().filter_map(|key| map.get(*key)));
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_formats_and_nonsense() {
        let one = json!({"pipeline": {
            "build": {"pipeline": {"stages": [{"name": "a"}]}, "runner": "r"},
            "stages": [{"name": "b", "options": {"name": "not"}}], "assembler": {"name": "c"},
        }});
        assert_eq!(mentioned(&one), ["a", "b", "c"].map(str::to_owned).into());
        let two = json!({"version": "2", "pipelines": [{"name": "os", "stages": [{"type": "d"}, 5]}], "sources": {"x": {}}});
        assert_eq!(mentioned(&two), ["d", "os"].map(str::to_owned).into());
        assert!(mentioned(&json!([null, "x"])).is_empty());
    }
}
