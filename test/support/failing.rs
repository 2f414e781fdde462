//! Builds that must fail.

use serde_json::{Value, json};

use crate::{Run, TestEnv};

impl TestEnv {
    /// Builds twice, for people and with `--json`: what people see, and the document.
    ///
    /// # Panics
    /// The exit code is another one; people are not told of an error; or with `--json` there is more than one document on
    /// stdout, or anything on stderr.
    pub fn fails(&self, manifest: &Value, args: &[&str], code: i32) -> (Run, Value) {
        let people = self.build(manifest, args).expect(code);
        assert!(people.stderr.starts_with("error: "), "{people}");
        let machine = self.build(manifest, &[args, &["--json"]].concat()).expect(code);
        let document = machine.json();
        assert_eq!(machine.stderr, "", "{machine}");
        assert_eq!(
            (&document["success"], &document["type"]),
            (&json!(false), &json!("error")),
            "{machine}"
        );
        (people, document)
    }
}
