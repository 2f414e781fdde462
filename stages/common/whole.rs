//! Numbers that schemas call `number` although only whole ones make sense.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

/// A whole number from 0 to 2³²−1: an id, a mode, a count. `7.0` is taken as 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whole(pub u32);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if number.fract() != 0.0 || number < 0.0 || number > f64::from(u32::MAX) {
            return Err(D::Error::custom(format!(
                "{number} is not a whole number from 0 to {}",
                u32::MAX
            )));
        }
        Ok(Self(number as u32))
    }
}

impl JsonSchema for Whole {
    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number"})
    }
}

#[cfg(test)]
mod tests {
    use super::Whole;

    #[test]
    fn whole_numbers_only() {
        let read = |text| serde_json::from_str::<Whole>(text);
        assert_eq!(read("7.0").unwrap(), Whole(7));
        assert_eq!(read("4294967295").unwrap(), Whole(u32::MAX));
        for text in ["-1", "1.5", "4294967296", "\"1\""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
