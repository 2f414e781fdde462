//! Where the distribution's own repositories are, by the machine's apt sources.
//!
//! `sources.list(5)`: `/etc/apt/sources.list` and `sources.list.d/*.list` have one line an entry, `*.sources` have
//! stanzas of fields.

use std::collections::BTreeMap;
use std::path::Path;

/// An entry of the apt sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// `deb`, `deb-src`
    pub types: Vec<String>,
    /// Base addresses, as they stand there: also `cdrom:`, `mirror+https://` and the like.
    pub uris: Vec<String>,
    pub suites: Vec<String>,
    pub components: Vec<String>,
    /// Keyring, fingerprints, or the key itself.
    pub signed_by: Option<String>,
}

/// The distribution of a machine.
#[derive(Debug, PartialEq, Eq)]
struct Distribution {
    id: &'static str,
    codename: String,
}

/// How sure it is that an entry is the distribution's own; the least is the surest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It is signed by the distribution.
    Signed,
    /// It has the machine's release and a component `main`.
    Named,
    /// The same, but it has a key of its own: a private mirror, signed anew, or somebody else's packages.
    OtherKey,
}

/// The base addresses of the repository `debian`, `debian-security`, `ubuntu` or `ubuntu-security`; none for another
/// id. `root` is the root directory of the machine.
pub fn base_addresses(root: &Path, id: &str) -> Vec<String> {
    let (distribution, security) = match id {
        "debian" => ("debian", false),
        "debian-security" => ("debian", true),
        "ubuntu" => ("ubuntu", false),
        "ubuntu-security" => ("ubuntu", true),
        _ => return Vec::new(),
    };
    let entries = entries(root);
    let machine = Distribution::of(root);
    let ranked: Vec<(Rank, &Entry)> = entries
        .iter()
        .filter_map(|entry| Some((entry.rank(distribution, machine.as_ref())?, entry)))
        .collect();
    let best = ranked.iter().map(|(rank, _)| *rank).min();
    let usable = |rank: Rank| rank < Rank::OtherKey || best == Some(rank);
    let mut found: Vec<(Rank, &str)> = Vec::new();
    for (rank, entry) in ranked {
        for uri in entry.uris.iter().filter(|uri| fetchable(uri)) {
            let uri = uri.trim_end_matches('/');
            if usable(rank) && entry.is_security(uri) == security && !found.iter().any(|(_, f)| *f == uri) {
                found.push((rank, uri));
            }
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    if found.is_empty() && id == "ubuntu-security" {
        // the same pool, only later
        return base_addresses(root, "ubuntu");
    }
    found.into_iter().map(|(_, uri)| uri.to_owned()).collect()
}

/// The enabled binary entries below `root`, in apt's order.
pub fn entries(root: &Path) -> Vec<Entry> {
    let etc = root.join("etc/apt");
    let mut all = Vec::new();
    if let Ok(text) = std::fs::read_to_string(etc.join("sources.list")) {
        all.extend(lines(&text));
    }
    let dir = std::fs::read_dir(etc.join("sources.list.d"));
    let mut files: Vec<_> = dir.into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => all.extend(lines(&text)),
            Some("sources") => all.extend(stanzas(&text)),
            _ => {}
        }
    }
    all.retain(|entry| entry.types.iter().any(|t| t == "deb"));
    all
}

/// Entries of the form `deb [option=value …] uri suite component…`.
fn lines(text: &str) -> Vec<Entry> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let rest = rest.trim_start();
    // cdrom:[Name of the disc]/
    let from = rest.find('[').filter(|_| rest.starts_with("cdrom:"));
    let from = from
        .and_then(|at| rest[at..].find(']').map(|end| at + end))
        .unwrap_or(0);
    let end = rest[from..].find(char::is_whitespace)? + from;
    let mut words = rest[end..].split_whitespace().map(str::to_owned);
    Some(Entry {
        types: vec![kind.to_owned()],
        uris: vec![rest[..end].to_owned()],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned),
    })
}

/// Entries in the form of stanzas, those with `Enabled: no` left out.
fn stanzas(text: &str) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            all.extend(stanza(&std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = fields.get_mut(&last) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            last = name.trim().to_ascii_lowercase();
            fields.insert(last.clone(), value.trim().to_owned());
        }
    }
    all
}

fn stanza(fields: &BTreeMap<String, String>) -> Option<Entry> {
    let words = |name: &str| {
        let value = fields.get(name).map_or("", String::as_str);
        value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let enabled = fields.get("enabled").map_or("yes", String::as_str);
    let off = ["no", "false", "without", "off", "disable", "0"];
    let entry = Entry {
        types: words("types"),
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: fields.get("signed-by").cloned(),
    };
    let given = !entry.uris.is_empty() && !entry.suites.is_empty();
    (given && !off.contains(&enabled.to_ascii_lowercase().as_str())).then_some(entry)
}

impl Entry {
    /// Whether the entry is one of `distribution`, and how sure that is.
    fn rank(&self, distribution: &str, machine: Option<&Distribution>) -> Option<Rank> {
        let key = self.signed_by.as_deref();
        for (id, keyring) in [("debian", "debian-archive"), ("ubuntu", "ubuntu-archive")] {
            if key.is_some_and(|key| key.contains(keyring)) {
                return (id == distribution).then_some(Rank::Signed);
            }
        }
        let machine = machine.filter(|machine| machine.id == distribution)?;
        let named = self.suites.iter().any(|suite| machine.has(release(suite)))
            && self.components.iter().any(|component| component == "main");
        match key {
            _ if !named => None,
            None => Some(Rank::Named),
            Some(_) => Some(Rank::OtherKey),
        }
    }

    /// Whether security updates are at this address of the entry.
    fn is_security(&self, uri: &str) -> bool {
        let by_suite = |suite: &String| suite.ends_with("-security") || suite.ends_with("/updates");
        uri.ends_with("/debian-security") || self.suites.iter().all(by_suite)
    }
}

impl Distribution {
    /// By `os-release(5)`; that of a derivative which names the release it stands on is that release.
    fn of(root: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(root.join("etc/os-release"))
            .or_else(|_| std::fs::read_to_string(root.join("usr/lib/os-release")))
            .ok()?;
        let value = |key: &str| {
            text.lines().find_map(|line| {
                let value = line.strip_prefix(key)?.strip_prefix('=')?;
                Some(value.trim().trim_matches(['"', '\'']).to_owned())
            })
        };
        let own = value("VERSION_CODENAME").unwrap_or_default();
        let (id, codename) = match value("ID")?.as_str() {
            "debian" => ("debian", own),
            "ubuntu" => ("ubuntu", own),
            _ => match (value("UBUNTU_CODENAME"), value("DEBIAN_CODENAME")) {
                (Some(codename), _) => ("ubuntu", codename),
                (None, Some(codename)) => ("debian", codename),
                (None, None) => return None,
            },
        };
        Some(Self { id, codename })
    }

    fn has(&self, release: &str) -> bool {
        let moving: &[&str] = match self.id {
            "debian" => &["stable", "oldstable", "testing", "unstable", "sid"],
            _ => &["devel"],
        };
        release == self.codename || moving.contains(&release)
    }
}

/// The release a suite belongs to: `bookworm` for `bookworm-updates`.
fn release(suite: &str) -> &str {
    let suite = suite.strip_suffix("/updates").unwrap_or(suite);
    [
        "-security",
        "-updates",
        "-backports",
        "-backports-sloppy",
        "-proposed",
        "-proposed-updates",
    ]
    .iter()
    .find_map(|pocket| suite.strip_suffix(pocket))
    .unwrap_or(suite)
}

fn fetchable(uri: &str) -> bool {
    [
        "http:",
        "https:",
        "file:",
        "copy:",
        "mirror:",
        "mirror+http:",
        "mirror+https:",
        "mirror+file:",
    ]
    .iter()
    .any(|scheme| uri.starts_with(scheme))
}

#[cfg(test)]
mod tests;
