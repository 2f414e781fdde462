//! Reading JSON objects that may be anything: what is not as it must be is reported, never trusted.

use serde_json::{Map, Value};

use crate::path::Path;
use crate::problem::{Problem, Report};
use crate::words::wrong_type;

/// A JSON object and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    pub map: &'a Map<String, Value>,
    pub path: Path,
}

impl<'a> Object<'a> {
    /// `value` as an object; anything else is reported.
    pub(crate) fn new(value: &'a Value, path: Path, report: &mut Report) -> Option<Self> {
        let map = expect(value, "object", Value::as_object, &path, report)?;
        Some(Self { map, path })
    }

    /// The member `key`, which must be there and a string.
    pub(crate) fn text(&self, key: &str, report: &mut Report) -> Option<&'a str> {
        if !self.map.contains_key(key) {
            let problem = Problem::new(self.path.clone(), format!("`{key}` is missing"));
            report.shape.push(problem);
        }
        self.optional_text(key, report)
    }

    /// The member `key`, a string if it is there.
    pub(crate) fn optional_text(&self, key: &str, report: &mut Report) -> Option<&'a str> {
        self.member(key, "string", Value::as_str, report)
    }

    /// The member `key`, a whole number if it is there.
    pub(crate) fn integer(&self, key: &str, report: &mut Report) -> Option<i64> {
        self.member(key, "integer", Value::as_i64, report)
    }

    /// The member `key`, an object if it is there.
    pub(crate) fn object(&self, key: &str, report: &mut Report) -> Option<Self> {
        let map = self.member(key, "object", Value::as_object, report)?;
        Some(Self {
            map,
            path: self.path.key(key),
        })
    }

    /// The member `key`, a list if it is there; else an empty one.
    pub(crate) fn list(&self, key: &str, report: &mut Report) -> &'a [Value] {
        let list = self.member(key, "array", Value::as_array, report);
        list.map_or(&[], Vec::as_slice)
    }

    /// The elements of the list `key` with their paths.
    pub(crate) fn elements(&self, key: &str, report: &mut Report) -> Vec<Object<'a>> {
        let path = self.path.key(key);
        let list = self.list(key, report).iter().enumerate();
        list.filter_map(|(n, value)| Object::new(value, path.index(n), report))
            .collect()
    }

    /// The members of the object `key`: their names and values, the latter objects.
    pub(crate) fn members(&self, key: &str, report: &mut Report) -> Vec<(&'a String, Object<'a>)> {
        let Some(object) = self.object(key, report) else {
            return Vec::new();
        };
        let members = object.map.iter();
        members
            .filter_map(|(name, value)| Some((name, Object::new(value, object.path.key(name), report)?)))
            .collect()
    }

    /// The member `options`: absent and `null` are no options.
    pub(crate) fn options(&self, report: &mut Report) -> Map<String, Value> {
        match self.map.get("options") {
            Some(Value::Null) => Map::new(),
            _ => self
                .object("options", report)
                .map(|options| options.map.clone())
                .unwrap_or_default(),
        }
    }

    fn member<T>(
        &self,
        key: &str,
        kind: &str,
        get: impl Fn(&'a Value) -> Option<T>,
        report: &mut Report,
    ) -> Option<T> {
        expect(self.map.get(key)?, kind, get, &self.path.key(key), report)
    }
}

fn expect<'a, T>(
    value: &'a Value,
    kind: &str,
    get: impl Fn(&'a Value) -> Option<T>,
    path: &Path,
    report: &mut Report,
) -> Option<T> {
    let got = get(value);
    if got.is_none() {
        let message = wrong_type(&[kind], value);
        report.shape.push(Problem::new(path.clone(), message));
    }
    got
}

/// Whether Python takes `value` for true.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}
