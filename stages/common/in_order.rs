//! Objects whose members are written in the manifest's order although their type is known.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde_json::{Map, Value};

/// The members of a `T`, as the manifest has them: `T` gives the schema and checks the values, the order is kept.
#[derive(Debug, Clone)]
pub struct InOrder<T>(Map<String, Value>, PhantomData<T>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Map::new(), PhantomData)
    }
}

impl<T> InOrder<T> {
    /// Name and value of each member.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        T::deserialize(Value::Object(members.clone())).map_err(D::Error::custom)?;
        Ok(Self(members, PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for InOrder<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A value as the text of a configuration file: texts without quotes, booleans by `words` (false, true), the items of a
/// list with `between` between them.
pub fn plain(value: &Value, words: (&str, &str), between: &str) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => if *value { words.1 } else { words.0 }.to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| plain(item, words, between)).collect();
            items.join(between)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Known {
        a: Option<u32>,
        b: Option<String>,
    }

    #[test]
    fn the_order_is_the_manifests_and_the_type_is_checked() {
        let read = |text| serde_json::from_str::<InOrder<Known>>(text);
        let names: Vec<_> = read(r#"{"b": "x", "a": 1}"#)
            .unwrap()
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(names, ["b", "a"]);
        assert!(read(r#"{"a": "x"}"#).is_err());
        assert!(read(r#"{"c": 1}"#).is_err());
    }

    #[test]
    fn values_become_text() {
        let text = |value| plain(&value, ("no", "yes"), ",");
        assert_eq!(text(json!("a b")), "a b");
        assert_eq!(text(json!(true)), "yes");
        assert_eq!(text(json!([1, "x", false])), "1,x,no");
    }
}
