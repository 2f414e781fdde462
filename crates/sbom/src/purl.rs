//! Package URLs, by which scanners know a package: `pkg:deb/debian/bash@5.2-1?arch=amd64&distro=debian-12`.

use std::fmt::Write;

use crate::packages::{Package, System};
use crate::release::Release;

/// The URL of a package (the purl specification, types `deb`, `rpm`, `apk` and `alpm`).
pub(crate) fn purl(package: &Package, release: &Release) -> String {
    let (kind, vendor) = match package.system {
        System::Deb => ("deb", "debian"),
        System::Rpm => ("rpm", "fedora"),
        System::Apk => ("apk", "alpine"),
        System::Pacman => ("alpm", "arch"),
    };
    let namespace = encoded(release.id.as_deref().unwrap_or(vendor));
    let (name, version) = (encoded(&package.name), encoded(&package.version));
    let mut url = format!("pkg:{kind}/{namespace}/{name}@{version}");
    // sorted by key, as the specification wants them
    let qualifiers = [
        (
            "arch",
            Some(package.architecture.clone()).filter(|name| !name.is_empty()),
        ),
        ("distro", release.distro()),
        ("epoch", package.epoch.clone()),
    ];
    let mut mark = '?';
    for (key, value) in qualifiers {
        if let Some(value) = value {
            let _ = write!(url, "{mark}{key}={}", encoded(&value));
            mark = '&';
        }
    }
    url
}

/// Percent-encoded; what a purl and any other URL may have stays, the colon too.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                out.push(byte.into())
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_is_encoded() {
        assert_eq!(encoded("1:2+b~1"), "1:2%2Bb~1");
        assert_eq!(encoded("g++ @/"), "g%2B%2B%20%40%2F");
    }
}
