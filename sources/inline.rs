//! Files that stand in the manifest itself.
//!
//! Each item is a checksum and the content that has it: `data`, in the `encoding` `base64`, or `lzma+base64` for
//! content compressed by `xz` and then encoded.

use std::io::Read;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::digest::Checksum;
use crate::machine::Machine;
use crate::session::Session;
use crate::{Outcome, Request, SourceModule, describe};

const NAME: &str = "org.osbuild.inline";

/// This file as a source.
pub(crate) static SOURCE: SourceModule = SourceModule {
    name: NAME,
    aliases: &[],
    fetch,
    meta: || describe(NAME, &[], include_str!("inline.rs"), schema()),
};

#[derive(Deserialize)]
struct Item {
    encoding: Encoding,
    data: String,
}

#[derive(Deserialize)]
enum Encoding {
    #[serde(rename = "base64")]
    Base64,
    #[serde(rename = "lzma+base64")]
    LzmaBase64,
}

fn fetch(request: &Request<'_>) -> Outcome {
    let session = Session::begin(request, &Machine::this());
    let mut results = Vec::with_capacity(session.missing().len());
    for missing in session.missing() {
        let (item, description) = &request.items[missing.index];
        if request.cancelled.load(Ordering::SeqCst) {
            results.push(Err("interrupted".to_owned()));
            continue;
        }
        let result = store(&session, &missing.checksum, description);
        if let Ok(bytes) = result {
            request.events.bytes(bytes);
            request.events.done(item);
        }
        results.push(
            result
                .map(drop)
                .map_err(|e| format!("cannot take {item} from the manifest: {e}")),
        );
    }
    session.end(results)
}

/// Writes one item into the store; how many bytes it has.
fn store(session: &Session<'_>, checksum: &Checksum, description: &Value) -> Result<u64, String> {
    let item = Item::deserialize(description).map_err(|e| e.to_string())?;
    let mut content: Box<dyn Read> = {
        let data: Vec<u8> = item.data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let bytes = BASE64_STANDARD.decode(data).map_err(|e| format!("`data`: {e}"))?;
        let bytes = std::io::Cursor::new(bytes);
        match item.encoding {
            Encoding::Base64 => Box::new(bytes),
            Encoding::LzmaBase64 => {
                // xz, or the older format of lzma alone
                let stream = Stream::new_auto_decoder(u64::MAX, CONCATENATED).map_err(|e| e.to_string())?;
                Box::new(XzDecoder::new_stream(bytes, stream))
            }
        }
    };
    let Some(mut partial) = session.content.partial(checksum, &session.stop)? else {
        return Ok(0);
    };
    partial.reset()?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => partial.write(&buffer[..n])?,
            Err(e) => {
                partial.reset()?;
                return Err(format!("`data` is not a whole xz file: {e}"));
            }
        }
    }
    let bytes = partial.len();
    if let Err(found) = partial.verify() {
        partial.reset()?;
        return Err(format!("wrong content: expected {checksum}, got {found}"));
    }
    partial.commit()?;
    Ok(bytes)
}

fn schema() -> Map<String, Value> {
    let item = json!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": {
            "(md5|sha1|sha256|sha384|sha512):[0-9a-f]{32,128}": {
                "type": "object",
                "additionalProperties": false,
                "required": ["encoding", "data"],
                "properties": {
                    "encoding": {
                        "type": "string",
                        "description": "How the content is encoded.",
                        "enum": ["base64", "lzma+base64"]
                    },
                    "data": {"type": "string", "description": "The encoded content."}
                }
            }
        }
    });
    let schema = json!({
        "definitions": {"item": item},
        "additionalProperties": false,
        "properties": {"items": {"$ref": "#/definitions/item"}}
    });
    Map::from_iter([("schema".to_owned(), schema)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Store, checksum};

    #[test]
    fn both_encodings_enter_the_store() {
        let store = Store::new();
        let text = b"hello, world\n".repeat(100);
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(&text[..], 6)
            .read_to_end(&mut xz)
            .unwrap();
        let (plain, packed) = (b"plain".to_vec(), text);
        let items = [
            (
                checksum(&plain),
                json!({"encoding": "base64", "data": BASE64_STANDARD.encode(&plain)}),
            ),
            (
                checksum(&packed),
                json!({"encoding": "lzma+base64", "data": BASE64_STANDARD.encode(&xz)}),
            ),
        ];
        let outcome = store.fetch(&items, |request, _| fetch(request));
        assert!(outcome.success, "{outcome:?}");
        assert_eq!(store.content(&items[0].0), plain);
        assert_eq!(store.content(&items[1].0), packed);
        assert_eq!(store.names(), store.sorted(&items));
        let again = store.fetch(&items, |request, _| fetch(request));
        assert!(again.results.iter().all(|r| r.cached && r.success));
    }

    #[test]
    fn bad_content_is_refused() {
        let store = Store::new();
        let sum = checksum(b"right");
        let data = BASE64_STANDARD.encode(b"wrong");
        let error = |description: Value| {
            let items = [(sum.clone(), description)];
            let outcome = store.fetch(&items, |request, _| fetch(request));
            assert!(!outcome.success);
            assert!(store.names().is_empty(), "{:?}", store.names());
            outcome.results[0].error.clone()
        };
        let text = error(json!({"encoding": "base64", "data": data}));
        let wrong = checksum(b"wrong");
        assert!(
            text.ends_with(&format!("wrong content: expected {sum}, got {wrong}")),
            "{text}"
        );
        assert!(error(json!({"encoding": "base64", "data": "%"})).contains("`data`"));
        assert!(error(json!({"encoding": "lzma+base64", "data": data})).contains("xz"));
        assert!(error(json!({"encoding": "rot13", "data": data})).contains("rot13"));
    }
}
