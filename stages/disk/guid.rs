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

/// The type of a partition in a GPT: a GUID, or one of sfdisk's short forms.
pub fn type_guid(text: Option<&str>) -> Result<Uuid> {
    const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
    let text = text.unwrap_or(LINUX);
    let guid = match text.to_ascii_lowercase().as_str() {
        "l" | "linux" => LINUX,
        "s" | "swap" => "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
        "h" | "home" => "933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
        "u" | "uefi" => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "r" | "raid" => "A19D880F-05FC-4D3B-A006-743F0F84911E",
        "v" | "lvm" => "E6D6D379-F507-44C2-A23C-238F2A3DF928",
        _ => text,
    };
    uuid(guid, "type")
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
    fn types_by_guid_or_short_form() {
        let swap = type_guid(Some("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f")).unwrap();
        assert_eq!(type_guid(Some("S")).unwrap(), swap);
        assert!(type_guid(Some("83")).is_err());
        assert!(label(Some("äöü"), 5).is_err());
        assert_eq!(label(Some(""), 5).unwrap(), None);
    }
}
