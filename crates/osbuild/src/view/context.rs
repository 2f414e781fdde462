//! What a monitor's record belongs to: origin, pipeline, stage; and the id made of these.

use manifest::python_json;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What is going on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    pub(crate) pipeline: Named,
    pub(crate) stage: Named,
}

/// A name and an id, as far as they are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    pub(crate) name: Option<String>,
    pub(crate) id: Option<String>,
}

impl Named {
    pub(crate) fn new(name: impl Into<String>, id: Option<String>) -> Self {
        Self {
            name: Some(name.into()),
            id,
        }
    }
}

impl Context {
    /// The context of something that `origin` says, without its id.
    pub(crate) fn document(&self, origin: Option<&str>) -> Value {
        json!({
            "origin": origin,
            "pipeline": {
                "name": self.pipeline.name,
                "id": self.pipeline.id,
                "stage": {"name": self.stage.name, "id": self.stage.id},
            },
        })
    }
}

/// The id of a context: SHA-256 of its JSON, keys sorted, nulls included.
pub(crate) fn id(document: &Value) -> String {
    hex::encode(Sha256::digest(python_json(document)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_python_osbuild() {
        let nothing = Context::default();
        assert_eq!(
            id(&nothing.document(None)),
            "20bf38c0723b15c2c9a52733c99814c298628526d8b8eabf7c378101cc9a9cf3"
        );
        assert_eq!(
            id(&nothing.document(Some("osbuild.main_cli"))),
            "ede22f789202b9017bd24089276f57f559018c593914632c80206be12f5b3bb0"
        );
        let stage = Context {
            pipeline: Named::new(
                "fs",
                Some("814503efeb92872414b974db66b3a38d8830556303d431982e4ff01388a0a4bf".into()),
            ),
            stage: Named::new(
                "org.osbuild.truncate",
                Some("9df2a924c0218d750244d716161f7f3d9298038c0eb15b9ed823066619295658".into()),
            ),
        };
        assert_eq!(
            id(&stage.document(Some("osbuild.monitor"))),
            "4267aa95409fa6302eb6860830c3541befc06ee37474072e363d950bffb2d223"
        );
    }
}
