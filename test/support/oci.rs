//! Container images as a registry has them.

use serde_json::json;

use crate::Reply;
use crate::manifests::sha256;

/// The media type of an image's manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct OciImage {
    /// Its id: the digest of its configuration.
    pub id: String,
    pub manifest: Vec<u8>,
    /// The layer and the configuration.
    pub blobs: [Vec<u8>; 2],
}

impl OciImage {
    /// The image whose only layer is this archive.
    pub fn of(layer: Vec<u8>) -> Self {
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&config), "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(&layer), "size": layer.len(),
            }],
        });
        Self {
            id: sha256(&config),
            manifest: manifest.to_string().into_bytes(),
            blobs: [layer, config],
        }
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// What a registry that has it as `test/image` answers.
    pub fn replies(&self) -> Vec<(String, Reply)> {
        let manifest = Reply::Typed(self.manifest.clone(), MANIFEST);
        let mut replies = vec![
            ("/v2/".to_owned(), Reply::Content(b"{}".to_vec())),
            (place("manifests", &self.manifest), manifest),
        ];
        let blobs = self.blobs.iter();
        replies.extend(blobs.map(|blob| (place("blobs", blob), Reply::Content(blob.clone()))));
        replies
    }
}

/// Where a registry has a manifest or blob of `test/image`.
pub fn place(kind: &str, content: &[u8]) -> String {
    format!("/v2/test/image/{kind}/{}", sha256(content))
}
