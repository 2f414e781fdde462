//! [`Path`]: where in a JSON document something is.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// One step into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// The steps from the root of a JSON document to one of its values.
///
/// Shown as `.pipelines[0].stages[2].options`: a key with a space stands in single quotes, the root is `.`.
/// Serialised as the list of its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The member `key` of what is here.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.with(Step::Key(key.into()))
    }

    /// The element `index` (from 0) of what is here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// `other`, taken from here on.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path without its last step; `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    /// The rest of the path below `top`; the path itself where it does not lead there.
    pub(crate) fn below(&self, top: &Self) -> Self {
        Self(self.0.strip_prefix(&top.0[..]).unwrap_or(&self.0).to_vec())
    }

    /// The value at this path of `document`.
    pub fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.as_object()?.get(key),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }

    /// The path of a JSON pointer into `document`, which tells keys made of digits from indices.
    pub(crate) fn from_pointer(pointer: &str, document: &Value) -> Self {
        let mut path = Self::root();
        let mut value = Some(document);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            match (value.and_then(Value::as_array), token.parse::<usize>()) {
                (Some(list), Ok(index)) => {
                    value = list.get(index);
                    path.0.push(Step::Index(index));
                }
                _ => {
                    value = value.and_then(|v| v.get(&token));
                    path.0.push(Step::Key(token));
                }
            }
        }
        path
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for step in &self.0 {
            match step {
                Step::Key(key) if key.contains(' ') => write!(f, ".'{key}'")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Key(key) => serializer.serialize_str(key),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_as_the_field_does() {
        let path = Path::root().key("pipelines").index(0).key("a b").key("c");
        assert_eq!(path.to_string(), ".pipelines[0].'a b'.c");
        assert_eq!(Path::root().to_string(), ".");
        assert_eq!(
            serde_json::to_value(&path).unwrap(),
            serde_json::json!(["pipelines", 0, "a b", "c"])
        );
    }

    #[test]
    fn pointers_tell_keys_from_indices() {
        let document = serde_json::json!({"0": [{"a/b": 1}]});
        let path = Path::from_pointer("/0/0/a~1b", &document);
        assert_eq!(path, Path::root().key("0").index(0).key("a/b"));
        assert_eq!(path.get(&document), Some(&serde_json::json!(1)));
    }
}
