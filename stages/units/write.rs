//! The text of a unit file.

use module::{Context, Result};
use serde_json::Value;

use crate::common::{self, InOrder, Ini};

/// The sections of `config` with their settings, in the manifest's order: a list makes one line for each item, an
/// environment variable, `{key, value}`, is written `"KEY=VALUE"`, and booleans are `True` and `False`.
pub fn text<T>(config: &InOrder<T>) -> Result<String> {
    let mut ini = Ini::default();
    for (name, settings) in config.iter() {
        let section = ini.section(name);
        for (key, value) in settings.as_object().into_iter().flatten() {
            match value {
                Value::Array(items) => {
                    for item in items {
                        section.add(
                            key,
                            self::item(item).with_context(|| format!("options: config: {name}: {key}"))?,
                        );
                    }
                }
                value => section.add(key, self::item(value)?),
            }
        }
    }
    Ok(ini.text("="))
}

fn item(value: &Value) -> Result<String> {
    let Value::Object(variable) = value else {
        return Ok(common::plain(value, ("False", "True"), " "));
    };
    let text = |name: &str| {
        let value = variable.get(name).and_then(Value::as_str);
        value.with_context(|| format!("an environment variable needs a `{name}`"))
    };
    Ok(format!("\"{}={}\"", text("key")?, text("value")?))
}
