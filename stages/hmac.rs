//! Write checksums by which a system in FIPS mode checks its kernel.
//!
//! For each file `NAME`, `.NAME.hmac` beside it: what `sha512hmac NAME` and its kind print, which is the HMAC of the
//! file with a key that everybody knows, and its name. The tools (hmaccalc, libkcapi) are not needed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// The key of hmaccalc, which libkcapi's tools of these names have taken over.
const KEY: &[u8] = b"FIPS-FTW-RHT2009";

/// Options of `org.osbuild.hmac`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The files.
    #[schemars(length(min = 1))]
    paths: Vec<String>,
    /// The hash function.
    algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Algorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

module::stage! { file: "hmac.rs", name: "org.osbuild.hmac", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    for path in &options.paths {
        write(&args.tree, path, options.algorithm).with_context(|| format!("options: paths: {path}"))?;
    }
    Ok(())
}

fn write(tree: &Tree, path: &str, algorithm: Algorithm) -> Result<()> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut file = tree.open_file(path)?;
    let digest = match algorithm {
        Algorithm::Sha1 => hmac::<Sha1>(64, &mut file),
        Algorithm::Sha224 => hmac::<Sha224>(64, &mut file),
        Algorithm::Sha256 => hmac::<Sha256>(64, &mut file),
        Algorithm::Sha384 => hmac::<Sha384>(128, &mut file),
        Algorithm::Sha512 => hmac::<Sha512>(128, &mut file),
    };
    let digest = hex::encode(digest.context("cannot read the file")?);
    let place = Path::new(dir).join(format!(".{name}.hmac"));
    Ok(tree.write(place, format!("{digest}  {name}\n"))?)
}

/// HMAC of RFC 2104 with [`KEY`], for a hash function with blocks of `block` bytes.
fn hmac<D: Digest>(block: usize, file: &mut File) -> std::io::Result<Vec<u8>> {
    let pad = |byte: u8| {
        let mut key = KEY.to_vec();
        key.resize(block, 0);
        key.iter().map(|k| k ^ byte).collect::<Vec<u8>>()
    };
    let mut inner = D::new();
    inner.update(pad(0x36));
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => inner.update(&buffer[..read]),
        }
    }
    let mut outer = D::new();
    outer.update(pad(0x5c));
    outer.update(inner.finalize());
    Ok(outer.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Oracle: openssl, where it is there.
    #[test]
    fn the_sums_are_those_of_openssl() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("boot").unwrap();
        tree.write("boot/vmlinuz", vec![7; 100_000]).unwrap();
        for algorithm in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
            let options = json!({"paths": ["/boot/vmlinuz"], "algorithm": algorithm});
            (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
            let text = tree.read_text("boot/.vmlinuz.hmac").unwrap();
            let (sum, name) = text.split_once("  ").unwrap();
            assert_eq!(name, "vmlinuz\n");
            let openssl = std::process::Command::new("openssl")
                .args([
                    "dgst",
                    "-hmac",
                    "FIPS-FTW-RHT2009",
                    "-r",
                    &format!("-{algorithm}"),
                ])
                .arg(dir.path().join("boot/vmlinuz"))
                .output();
            match openssl {
                Ok(output) => assert_eq!(
                    String::from_utf8_lossy(&output.stdout).split(' ').next(),
                    Some(sum)
                ),
                Err(error) => eprintln!("not compared: openssl: {error}"),
            }
        }
    }
}
