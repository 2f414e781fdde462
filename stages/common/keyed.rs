//! Objects whose keys are names chosen by the manifest.

use std::fmt;
use std::marker::PhantomData;

use schemars::Schema;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::json;

/// The members of an object in the manifest's order: what is made first gets the lower id.
#[derive(Debug, Clone)]
pub struct Keyed<V>(Vec<(String, V)>);

impl<V> Default for Keyed<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Keyed<V> {
    /// Name and value of each member.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Keyed<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
    type Value = Keyed<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Keyed(members))
    }
}

/// Turns the schema of a map into one whose keys match `pattern`, and no others are allowed:
/// `#[schemars(with = "BTreeMap<String, V>", transform = keys("^…$"))]`.
pub fn keys(pattern: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        if let Some(values) = schema.remove("additionalProperties") {
            schema.insert("patternProperties".into(), json!({pattern: values}));
            schema.insert("additionalProperties".into(), false.into());
        }
    }
}
