//! Make an Ed25519 key pair for OSTree signatures.
//!
//! Both files hold base64, as `ostree sign` reads it: the public key, and the seed followed by the public key.

use module::{Args, Context, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.ostree.genkey`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file for the public key.
    #[schemars(extend("pattern" = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
    publickey: String,
    /// The file for the secret key.
    #[schemars(extend("pattern" = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
    secretkey: String,
}

module::stage! {
    file: "ostree_genkey.rs", name: "org.osbuild.ostree.genkey", options: Options, run: run,

    needs: [Tools],
}

/// The length of a seed and of a public key, at the end of what openssl prints of them (RFC 8410).
const LENGTH: usize = 32;

fn run(args: Args<Options>) -> Result<()> {
    let pem = Tool::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-outform", "PEM"])
        .output()?;
    let public = part(&pem, &["-pubout"])?;
    let secret = [part(&pem, &[])?, public.clone()].concat();
    args.tree.write(&args.options.publickey, base64(&public))?;
    Ok(args.tree.write(&args.options.secretkey, base64(&secret))?)
}

fn part(pem: &[u8], which: &[&str]) -> Result<Vec<u8>> {
    let der = Tool::new("openssl")
        .args(["pkey", "-outform", "DER"])
        .args(which)
        .input(pem)
        .output()?;
    let start = der
        .len()
        .checked_sub(LENGTH)
        .context("openssl made no Ed25519 key")?;
    Ok(der[start..].to_vec())
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0usize, |bits, i| {
            bits << 8 | usize::from(*chunk.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            text.push(match i <= chunk.len() {
                true => char::from(ALPHABET[bits >> (18 - 6 * i) & 63]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
