//! Identifiers that look random and are not.

use serde_json::Value;
use uuid::Uuid;

use super::Request;

/// Our own name space for version 5 UUIDs.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f73_6275_696c_5d00_8069_6d61_6765_0200);

/// The identifiers of an image.
#[derive(Debug, PartialEq, Eq)]
pub struct Ids {
    pub root_fs: String,
    pub partition_table: String,
}

impl Ids {
    /// Derives them from the content: an image with something else in it has other ones.
    pub fn of(request: &Request<'_>, epoch: i64, stages: &[Value]) -> Self {
        let seed = format!(
            "{} {} {epoch} {}",
            request.distro.id,
            request.image.name(),
            Value::from(stages)
        );
        let seed = Uuid::new_v5(&NAMESPACE, seed.as_bytes());
        let id = |purpose: &str| Uuid::new_v5(&seed, purpose.as_bytes()).to_string();
        Self {
            root_fs: id("root file system"),
            partition_table: id("partition table"),
        }
    }
}
