//! What a host service is asked, and what it answers.

use serde_json::{Value, json};

/// An answer of a service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Reply(Value),
    /// Comes before the reply; nobody here waits for one.
    Signal,
    /// What the service raised, as one line or more.
    Exception(String),
}

/// The call of a method.
pub(crate) fn call(method: &str, args: &Value) -> Value {
    json!({"type": "method", "data": {"name": method, "args": args}})
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn answer(value: &Value) -> Result<Answer, String> {
    let kind = value["type"].as_str().filter(|kind| !kind.is_empty());
    let kind = kind.ok_or("its answer has no `type`")?;
    let data = value["data"].as_object().filter(|data| !data.is_empty());
    let data = data.ok_or("its answer has no `data`")?;
    match kind {
        "signal" => Ok(Answer::Signal),
        "reply" => match data.get("reply") {
            Some(reply) => Ok(Answer::Reply(reply.clone())),
            None => Err("its answer has no `reply`".into()),
        },
        "exception" => {
            let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
            Ok(Answer::Exception(format!("{}: {}", text("name"), text("value"))))
        }
        other => Err(format!("its answer is of the unknown type {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_all_kinds() {
        let read = |value: Value| answer(&value);
        assert_eq!(
            read(json!({"type": "reply", "data": {"reply": null}})),
            Ok(Answer::Reply(Value::Null))
        );
        assert_eq!(
            read(json!({"type": "signal", "data": {"reply": 1}})),
            Ok(Answer::Signal)
        );
        assert_eq!(
            read(
                json!({"type": "exception", "data": {"name": "ValueError", "value": "no", "backtrace": ""}})
            ),
            Ok(Answer::Exception("ValueError: no".into()))
        );
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            json!({"type": ""}),
            json!({"type": "reply", "data": {}}),
            json!({"type": "reply", "data": {"answer": 1}}),
            json!({"type": "nonsense", "data": {"a": 1}}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
