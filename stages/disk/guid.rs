//! Identifiers in options.

use module::{Args, Context, Result, ensure};
use uuid::Uuid;

/// The UUID that an option is to be.
pub fn uuid(text: &str, option: &str) -> Result<Uuid> {
    Uuid::parse_str(text).with_context(|| format!("`{option}` is no UUID: `{text}`"))
}

/// An identity for `what`, where nobody gave one: the same stage gives the same.
pub fn derived<O>(args: &Args<O>, what: &str) -> Uuid {
    let stage = Uuid::new_v5(
        &Uuid::NAMESPACE_OID,
        args.meta.id.as_deref().unwrap_or_default().as_bytes(),
    );
    Uuid::new_v5(&stage, what.as_bytes())
}

/// A label that has at most `most` bytes: schemas count characters.
pub fn label(text: Option<&str>, most: usize) -> Result<Option<String>> {
    let text = text.filter(|text| !text.is_empty());
    if let Some(text) = text {
        ensure!(
            text.len() <= most,
            "the label `{text}` has more than {most} bytes"
        );
    }
    Ok(text.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_counted_in_bytes() {
        assert!(label(Some("äöü"), 5).is_err());
        assert_eq!(label(Some(""), 5).unwrap(), None);
    }
}
