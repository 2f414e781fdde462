//! Passwords in the form they have in `/etc/shadow`.

use sha_crypt::{Algorithm, Params, PasswordHasher, ShaCrypt};
use sha2::{Digest, Sha256};

use crate::error::{OrFail, Result};

/// A password as it is if it is a crypt hash already (they begin with a dollar sign) or locks the account (`!`, `*`),
/// else its SHA-512 crypt hash.
///
/// A manifest must come out the same each time, so the salt cannot be random: it derives from what hashing the password
/// with the user's name as salt yields. Guessing a password by its salt thus costs as much as guessing it by its hash.
pub fn password_hash(user: &str, password: &str) -> Result<String> {
    if password.starts_with(['$', '!', '*']) || password.is_empty() {
        return Ok(password.to_owned());
    }
    let salt = crypt(password, user)?;
    crypt(password, &salt)
}

/// SHA-512 crypt with the usual number of rounds and a salt that derives from `seed`.
fn crypt(password: &str, seed: &str) -> Result<String> {
    let seed = Sha256::digest(seed);
    let hasher = ShaCrypt::new(Algorithm::Sha512Crypt, Params::default());
    // 12 bytes are the 16 letters that crypt takes
    let hash = hasher.hash_password_with_salt(password.as_bytes(), &seed[..12]);
    Ok(hash.or_fail(|| "cannot hash a password".to_owned())?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_stay_as_they_are() {
        assert_eq!(password_hash("ada", "$6$abc$def").unwrap(), "$6$abc$def");
        assert_eq!(password_hash("ada", "!").unwrap(), "!");
    }

    #[test]
    fn a_plain_password_is_hashed_the_same_each_time() {
        let hash = password_hash("ada", "secret").unwrap();
        assert!(hash.starts_with("$6$"), "{hash}");
        assert_eq!(hash, password_hash("ada", "secret").unwrap());
        assert_ne!(hash, password_hash("bob", "secret").unwrap());
        assert_ne!(
            hash.rsplit('$').nth(1),
            password_hash("ada", "other").unwrap().rsplit('$').nth(1)
        );
    }

    #[test]
    fn the_c_library_agrees() {
        let hash = password_hash("ada", "secret").unwrap();
        let script = "print crypt($ARGV[0], $ARGV[1])";
        let output = std::process::Command::new("perl")
            .args(["-e", script, "secret", &hash])
            .output();
        match output {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), hash),
            Err(error) => println!("skipped: no perl: {error}"),
        }
    }
}
