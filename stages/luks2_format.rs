//! Make an encrypted device (LUKS 2), opened by a passphrase.
//!
//! With `cryptsetup` of the build root, without the kernel's device mapper. Sectors of the encryption are as large as the
//! device's, unless `sector-size` says otherwise, whatever disk the build runs on. The key is random, and so the bytes differ
//! from one build to the next. `integrity` needs the device mapper, and a device that is the kernel's.

use std::ffi::OsString;

use module::{Args, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk::{self, Target};

/// Options of `org.osbuild.luks2.format`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The passphrase.
    passphrase: String,
    /// The device's UUID.
    uuid: String,
    /// The cipher, such as `aes-xts-plain64`.
    cipher: Option<String>,
    /// How a key is derived from the passphrase.
    pbkdf: Pbkdf,
    /// Its label.
    label: Option<String>,
    /// A further label, where there is a first one.
    #[serde(default)]
    subsystem: String,
    /// Bytes of a sector of the encryption.
    #[serde(rename = "sector-size")]
    sector_size: Option<i64>,
    /// Have the device notice changed sectors.
    integrity: Option<Integrity>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
enum Pbkdf {
    /// PBKDF2.
    Pbkdf2 {
        /// How often.
        #[schemars(range(min = 1000, max = 4_294_967_295_u64))]
        iterations: i64,
    },
    /// Argon2, data-independent.
    Argon2i(Argon2),
    /// Argon2, the hybrid.
    Argon2id(Argon2),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Argon2 {
    /// KiB of memory.
    #[schemars(range(min = 32, max = 4_194_304))]
    memory: Option<i64>,
    /// How often.
    #[schemars(range(min = 4, max = 4_294_967_295_u64))]
    iterations: i64,
    /// Threads.
    #[schemars(range(min = 1, max = 4))]
    parallelism: Option<i64>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
enum Integrity {
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

module::stage! {
    file: "luks2_format.rs", name: "org.osbuild.luks2.format", options: Options, run: run,
    takes: {"devices": crate::one_device!()},
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let target = Target::open(&args, "device")?;
    let words = args.options.words(target.sector);
    target.make_whole(|whole| {
        let path = target.node.clone().unwrap_or_else(|| whole.path());
        Tool::new("cryptsetup")
            .args(&words)
            .arg(path)
            .input(args.options.passphrase.as_bytes())
            .run()
    })
}

impl Options {
    fn words(&self, sector: u64) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
        add(&[
            "-q",
            "--uuid",
            &self.uuid,
            "luksFormat",
            "--type",
            "luks2",
            "--force-password",
        ]);
        if let Some(cipher) = given(self.cipher.as_deref()) {
            add(&["--cipher", cipher]);
        }
        if let Some(label) = given(self.label.as_deref()) {
            add(&["--label", label, "--subsystem", &self.subsystem]);
        }
        let given = self.sector_size.filter(|size| *size != 0);
        let size = given.map_or_else(|| sector.to_string(), |size| size.to_string());
        add(&["--sector-size", &size]);
        if let Some(Integrity::HmacSha256) = self.integrity {
            add(&["--integrity", "hmac-sha256"]);
        }
        let (method, iterations, memory, parallelism) = self.pbkdf.costs();
        let [iterations, memory, parallelism] =
            [iterations, memory, parallelism].map(|cost| cost.to_string());
        add(&["--pbkdf", method, "--pbkdf-force-iterations", &iterations]);
        add(&["--pbkdf-memory", &memory, "--pbkdf-parallel", &parallelism]);
        words
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl Pbkdf {
    /// Name, iterations, memory and threads.
    fn costs(&self) -> (&'static str, i64, i64, i64) {
        let argon = |name, argon: &Argon2| {
            (
                name,
                argon.iterations,
                argon.memory.unwrap_or(32),
                argon.parallelism.unwrap_or(1),
            )
        };
        match self {
            Self::Pbkdf2 { iterations } => ("pbkdf2", *iterations, 32, 1),
            Self::Argon2i(costs) => argon("argon2i", costs),
            Self::Argon2id(costs) => argon("argon2id", costs),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_is_the_peers_with_a_sector_size() {
        let options: Options = serde_json::from_value(json!({
            "passphrase": "x", "uuid": "U", "label": "l", "subsystem": "s", "cipher": "aes-xts",
            "sector-size": 4096, "integrity": "hmac-sha256",
            "pbkdf": {"method": "argon2i", "memory": 64, "iterations": 4, "parallelism": 2},
        }))
        .unwrap();
        let words: Vec<_> = options
            .words(512)
            .into_iter()
            .map(|w| w.into_string().unwrap())
            .collect();
        assert_eq!(
            words.join(" "),
            "-q --uuid U luksFormat --type luks2 --force-password --cipher aes-xts --label l --subsystem s \
             --sector-size 4096 --integrity hmac-sha256 --pbkdf argon2i --pbkdf-force-iterations 4 \
             --pbkdf-memory 64 --pbkdf-parallel 2"
        );
        let options: Options = serde_json::from_value(json!({
            "passphrase": "x", "uuid": "U", "pbkdf": {"method": "pbkdf2", "iterations": 1000},
        }))
        .unwrap();
        let words: Vec<_> = options
            .words(512)
            .into_iter()
            .map(|w| w.into_string().unwrap())
            .collect();
        assert_eq!(
            words[7..].join(" "),
            "--sector-size 512 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --pbkdf-memory 32 --pbkdf-parallel 1"
        );
    }
}
