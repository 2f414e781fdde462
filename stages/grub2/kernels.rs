//! The kernels of a Debian tree, newest first.

use std::cmp::Ordering;

use module::Result;
use tree::Tree;

/// A kernel in `/boot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What follows `vmlinuz-`, such as `6.1.0-31-amd64`.
    pub version: String,
    /// The name of its initramfs in `/boot`, where it has one.
    pub initrd: Option<String>,
}

/// The kernels `/boot/vmlinuz-*`, newest first.
pub fn find(tree: &Tree) -> Result<Vec<Kernel>> {
    if !tree.is_dir("boot") {
        return Ok(Vec::new());
    }
    let mut kernels = Vec::new();
    for name in tree.list("boot")? {
        let Some(version) = name.to_str().and_then(|name| name.strip_prefix("vmlinuz-")) else {
            continue;
        };
        // such a name would need quoting in grub.cfg, and no package has it
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        if !version.chars().all(plain)
            || version.ends_with(".old")
            || !tree.is_file(format!("boot/vmlinuz-{version}"))
        {
            continue;
        }
        let initrd = [format!("initrd.img-{version}"), format!("initrd-{version}.img")]
            .into_iter()
            .find(|name| tree.is_file(format!("boot/{name}")));
        kernels.push(Kernel {
            version: version.to_owned(),
            initrd,
        });
    }
    kernels.sort_by(|a, b| compare(&b.version, &a.version));
    Ok(kernels)
}

/// Compares versions as dpkg does: runs of digits as numbers, letters before other characters, `~` before the end
/// (Debian policy, 5.6.12).
fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let weights = |text: &str| {
            let mut weights: Vec<i32> = text.bytes().map(weight).collect();
            weights.push(0);
            weights
        };
        let (number_a, next_a) = split(rest_a, |c| c.is_ascii_digit());
        let (number_b, next_b) = split(rest_b, |c| c.is_ascii_digit());
        let digits = |number: &str| number.trim_start_matches('0').to_owned();
        let (digits_a, digits_b) = (digits(number_a), digits(number_b));
        let order = weights(text_a)
            .cmp(&weights(text_b))
            .then(digits_a.len().cmp(&digits_b.len()))
            .then(digits_a.cmp(&digits_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
    Ordering::Equal
}

fn split(text: &str, inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !inside(c)).unwrap_or(text.len()))
}

fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        byte if byte.is_ascii_alphabetic() => byte.into(),
        byte => i32::from(byte) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_dpkg_does() {
        for (less, more) in [
            ("6.1.0-9-amd64", "6.1.0-31-amd64"),
            ("6.1.0~rc1", "6.1.0"),
            ("6.9", "6.10"),
            ("6.1.0-31-amd64", "6.12.3-1"),
        ] {
            assert_eq!(compare(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(compare(more, less), Ordering::Greater, "{less} {more}");
        }
        assert_eq!(compare("6.01", "6.1"), Ordering::Equal);
    }
}
