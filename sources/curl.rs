//! Download files.
//!
//! Each item is a checksum and the URL of the file that has it: `http`, `https` or `file`. Files are downloaded
//! several at a time; a transfer that breaks off is taken up where it stopped, also by the next run; what fails for a
//! passing reason is tried again. `mirrors` names other places of the same file.
//!
//! With `insecure` the server's certificate is not checked; the content is, always. `secrets` name a client
//! certificate: `org.osbuild.mtls` takes it from the environment variables `OSBUILD_SOURCES_CURL_SSL_CLIENT_CERT` and
//! `OSBUILD_SOURCES_CURL_SSL_CLIENT_KEY`, with the authorities of `OSBUILD_SOURCES_CURL_SSL_CA_CERT` if that is set;
//! `org.osbuild.rhsm` from the machine's Red Hat subscription.
//!
//! Authorities are otherwise the machine's, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Proxies come from
//! `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, or from `OSBUILD_SOURCES_CURL_PROXY`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::access::Access;
use crate::attempts::Location;
use crate::machine::Machine;
use crate::session::Session;
use crate::{Outcome, Request, SourceModule, describe};

const NAME: &str = "org.osbuild.curl";
const ALIASES: &[&str] = &["org.osbuild.files"];

/// This file as a source.
pub(crate) static SOURCE: SourceModule = SourceModule {
    name: NAME,
    aliases: ALIASES,
    fetch: |request| fetch(request, &Machine::this()),
    meta: || describe(NAME, ALIASES, include_str!("curl.rs"), schema()),
};

#[derive(Deserialize)]
struct Object {
    url: String,
    #[serde(default)]
    mirrors: Vec<String>,
    #[serde(default)]
    insecure: bool,
    secrets: Option<Secrets>,
}

/// The name of secrets that an item or a mirror needs.
#[derive(Deserialize)]
pub(crate) struct Secrets {
    pub(crate) name: String,
}

pub(crate) fn fetch(request: &Request<'_>, machine: &Machine) -> Outcome {
    let session = Session::begin(request, machine);
    let places = |index: usize| {
        let (item, description) = &request.items[index];
        locations(description, machine).map_err(|e| format!("cannot fetch {item}: {e}"))
    };
    let all = session.missing().iter().map(|m| places(m.index)).collect();
    session.download(all)
}

fn locations(description: &Value, machine: &Machine) -> Result<Vec<Location>, String> {
    let object = match description {
        Value::String(url) => Object {
            url: url.clone(),
            mirrors: Vec::new(),
            insecure: false,
            secrets: None,
        },
        other => Object::deserialize(other)
            .map_err(|_| "its description is neither a URL nor an object with `url`".to_owned())?,
    };
    let secrets = object.secrets.as_ref().map(|s| s.name.as_str());
    let location = |url: String| {
        let access = Access::new(machine, &url, object.insecure, secrets)?;
        Ok(Location { url, access })
    };
    std::iter::once(object.url)
        .chain(object.mirrors)
        .map(location)
        .collect()
}

fn schema() -> Map<String, Value> {
    let item = json!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": {
            "(md5|sha1|sha256|sha384|sha512):[0-9a-f]{32,128}": {
                "oneOf": [
                    {"type": "string", "description": "Where the file is."},
                    {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["url"],
                        "properties": {
                            "url": {"type": "string", "description": "Where the file is."},
                            "mirrors": {
                                "type": "array",
                                "description": "Other places, tried in this order. The Python osbuild has none.",
                                "items": {"type": "string"}
                            },
                            "insecure": {
                                "type": "boolean",
                                "description": "Do not check the server's certificate.",
                                "default": false
                            },
                            "secrets": {
                                "type": "object",
                                "additionalProperties": false,
                                "required": ["name"],
                                "properties": {
                                    "name": {
                                        "type": "string",
                                        "description": "org.osbuild.mtls or org.osbuild.rhsm."
                                    }
                                }
                            }
                        }
                    }
                ]
            }
        }
    });
    let schema = json!({
        "additionalProperties": false,
        "definitions": {"item": item},
        "properties": {
            "items": {"$ref": "#/definitions/item"},
            "urls": {"$ref": "#/definitions/item"}
        },
        "oneOf": [{"required": ["items"]}, {"required": ["urls"]}]
    });
    Map::from_iter([("schema".to_owned(), schema)])
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
