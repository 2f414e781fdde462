//! apt sources: reading those of the machine, choosing the distribution's own, writing private ones.
//!
//! The formats are those of sources.list(5): one line an entry (`*.list`) and deb822 (`*.sources`).

use std::fmt::Write;
use std::path::Path;

use super::Repository;
use crate::distro::{Distro, Machine};

/// The architecture that images have.
const ARCHITECTURE: &str = "amd64";

/// What a suite of a distribution is called after the codename.
const POCKETS: &[&str] = &["", "-updates", "-security", "-backports"];

/// The binary repositories that are configured in `/etc/apt` below `root`, in apt's order.
pub fn machine(root: &Path) -> Vec<Repository> {
    let dir = root.join("etc/apt/sources.list.d");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files.insert(0, root.join("etc/apt/sources.list"));
    let mut found = Vec::new();
    for file in files {
        let deb822 = file.extension().is_some_and(|extension| extension == "sources");
        let list = file.extension().is_some_and(|extension| extension == "list");
        if let (true, Ok(text)) = (deb822 || list, std::fs::read_to_string(&file)) {
            found.extend(if deb822 {
                parse_sources(&text)
            } else {
                parse_list(&text)
            });
        }
    }
    found
}

/// The repositories of `wanted` among those of `machine`'s distribution, with the wanted release in the place of the
/// machine's. `all` keeps the repositories of others as they are.
pub fn of_distro(found: &[Repository], machine: &Machine, wanted: &Distro, all: bool) -> Vec<Repository> {
    let mut chosen = Vec::new();
    for repository in found {
        if let Some(own) = own(repository, machine, wanted) {
            chosen.push(own);
        } else if all {
            let id = Some(format!("other-{}", chosen.len() + 1));
            chosen.push(Repository {
                id,
                ..repository.clone()
            });
        }
    }
    // without one of the distribution's own there is nothing to build from
    let has_own = chosen.iter().any(|repository| repository.id.is_none());
    if has_own { chosen } else { Vec::new() }
}

fn own(repository: &Repository, machine: &Machine, wanted: &Distro) -> Option<Repository> {
    let family = wanted.family;
    let components = &repository.components;
    let foreign = |component: &String| !family.components().contains(&component.as_str());
    if machine.id != family.id() || components.is_empty() || components.iter().any(foreign) {
        return None;
    }
    let pocket = |suite: &str| {
        let classes = ["stable", "oldstable", "oldoldstable"];
        let names = classes.into_iter().chain([machine.codename.as_str()]);
        let name = names.filter(|name| !name.is_empty());
        name.filter_map(|name| suite.strip_prefix(name).map(str::to_owned))
            .find(|pocket| POCKETS.contains(&pocket.as_str()))
    };
    // one that is tested, such as proposed updates, is left out; the others of its entry stay
    let pockets = repository.suites.iter().filter_map(|suite| pocket(suite));
    let same = machine.codename == wanted.codename;
    let suites: Vec<String> = pockets
        // another release's backports need not be there
        .filter(|pocket| same || pocket != "-backports")
        .map(|pocket| format!("{}{pocket}", wanted.codename))
        .collect();
    (!suites.is_empty()).then(|| Repository {
        suites,
        ..repository.clone()
    })
}

/// Reads deb822 sources.
pub fn parse_sources(text: &str) -> Vec<Repository> {
    let mut found = Vec::new();
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    for paragraph in text.split("\n\n") {
        let fields = fields(paragraph);
        let value = |name: &str| {
            let field = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            field.map(|(_, value)| value.as_str())
        };
        let words = |name: &str| -> Vec<String> {
            let value = value(name).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect()
        };
        let enabled = !value("Enabled").is_some_and(is_no);
        if !enabled
            || !words("Types").contains(&"deb".to_owned())
            || !has_architecture(&words("Architectures"))
        {
            continue;
        }
        for uri in words("URIs") {
            found.push(Repository {
                id: None,
                uri,
                suites: words("Suites"),
                components: words("Components"),
                signed_by: value("Signed-By").map(str::to_owned),
                trusted: value("Trusted").is_some_and(|value| value.eq_ignore_ascii_case("yes")),
                fields: fields.iter().filter(|(key, _)| is_kept(key)).cloned().collect(),
            });
        }
    }
    found
}

/// The fields of a paragraph; continuation lines keep their line breaks.
fn fields(paragraph: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in paragraph.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

/// Fields that matter for reaching and trusting a repository.
fn is_kept(key: &str) -> bool {
    let kept = [
        "check-valid-until",
        "check-date",
        "valid-until-min",
        "valid-until-max",
        "by-hash",
        "inrelease-path",
    ];
    kept.contains(&key.to_ascii_lowercase().as_str())
}

fn is_no(value: &str) -> bool {
    ["no", "false", "0", "off"].contains(&value.to_ascii_lowercase().as_str())
}

fn has_architecture(architectures: &[String]) -> bool {
    architectures.is_empty() || architectures.iter().any(|name| name == ARCHITECTURE)
}

/// Reads one-line sources.
fn parse_list(text: &str) -> Vec<Repository> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    lines.filter_map(|line| parse_line(line.trim())).collect()
}

fn parse_line(line: &str) -> Option<Repository> {
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let mut repository = Repository {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        ..Repository::default()
    };
    for option in options.split_whitespace() {
        let (key, value) = option.split_once('=')?;
        match key {
            "arch" if !value.split(',').any(|name| name == ARCHITECTURE) => return None,
            "signed-by" => repository.signed_by = Some(value.replace(',', " ")),
            "trusted" => repository.trusted = value == "yes",
            _ if is_kept(key) => repository.fields.push((key.to_owned(), value.to_owned())),
            _ => {}
        }
    }
    Some(repository)
}

/// Writes deb822 sources.
pub fn render<'a>(repositories: impl IntoIterator<Item = &'a Repository>) -> String {
    let mut text = String::new();
    for repository in repositories {
        if !text.is_empty() {
            text.push('\n');
        }
        let mut field = |key: &str, value: &str| {
            // a value that starts on the next line has no blank after the colon
            let blank = if value.is_empty() || value.starts_with('\n') {
                ""
            } else {
                " "
            };
            // writing into a string does not fail
            writeln!(text, "{key}:{blank}{value}").ok();
        };
        field("Types", "deb");
        field("URIs", &repository.uri);
        field("Suites", &repository.suites.join(" "));
        if !repository.components.is_empty() {
            field("Components", &repository.components.join(" "));
        }
        if let Some(key) = &repository.signed_by {
            field("Signed-By", key);
        }
        if repository.trusted {
            field("Trusted", "yes");
        }
        for (key, value) in &repository.fields {
            field(key, value);
        }
    }
    text
}

/// The addresses of a repository that another machine can reach: no local ones, none with a password, and for a
/// mirror list (`mirror+file:`) those in the list.
pub fn reachable_uris(uri: &str) -> Vec<String> {
    let web = |uri: &str| {
        let scheme = ["http://", "https://"]
            .iter()
            .find_map(|scheme| uri.strip_prefix(scheme));
        scheme.is_some_and(|rest| !rest.split('/').next().unwrap_or_default().contains('@'))
    };
    if let Some(list) = uri.strip_prefix("mirror+file:") {
        let text = std::fs::read_to_string(list).unwrap_or_default();
        let first = text.lines().filter_map(|line| line.split_whitespace().next());
        return first.filter(|uri| web(uri)).map(str::to_owned).collect();
    }
    Some(uri.to_owned()).filter(|uri| web(uri)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb deb-src
# a remark
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://tools.example/debian
Suites: bookworm
Components: stable

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
";

    fn machine_12() -> Machine {
        Machine {
            id: "debian".into(),
            version: "12".into(),
            codename: "bookworm".into(),
        }
    }

    #[test]
    fn deb822_is_read_and_written_back() {
        let found = parse_sources(DEB822);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].suites, ["bookworm", "bookworm-updates"]);
        assert!(
            found[1]
                .signed_by
                .as_ref()
                .unwrap()
                .ends_with("END PGP PUBLIC KEY BLOCK-----")
        );
        assert_eq!(parse_sources(&render(&found)), found);
    }

    #[test]
    fn one_line_entries_are_read() {
        let text = "# x\ndeb [arch=amd64,arm64 signed-by=/k.gpg] http://a.example/debian bookworm main # y\n\
                    deb-src http://a.example/debian bookworm main\n\
                    deb [arch=arm64] http://b.example/ bookworm main\n";
        let found = parse_list(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].uri, "http://a.example/debian");
        assert_eq!(found[0].signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(found[0].components, ["main"]);
    }

    #[test]
    fn only_the_distributions_own_are_taken_with_the_wanted_release() {
        let found = parse_sources(DEB822);
        let wanted = Distro::find("debian-13").unwrap();
        let chosen = of_distro(&found, &machine_12(), wanted, false);
        let suites: Vec<_> = chosen
            .iter()
            .map(|repository| repository.suites.join(" "))
            .collect();
        assert_eq!(suites, ["trixie trixie-updates", "trixie-security"]);
    }

    #[test]
    fn those_of_others_come_along_when_asked_for() {
        let found = parse_sources(DEB822);
        let wanted = Distro::find("debian-12").unwrap();
        let chosen = of_distro(&found, &machine_12(), wanted, true);
        assert_eq!(chosen.len(), 3);
        assert_eq!(chosen[2].id.as_deref(), Some("other-3"));
        assert_eq!(chosen[2].suites, ["bookworm"]);
    }

    #[test]
    fn another_family_has_no_repositories_here() {
        let found = parse_sources(DEB822);
        let wanted = Distro::find("ubuntu-24.04").unwrap();
        assert!(of_distro(&found, &machine_12(), wanted, true).is_empty());
    }

    #[test]
    fn only_open_web_addresses_are_handed_on() {
        assert_eq!(reachable_uris("https://a.example/debian").len(), 1);
        assert!(reachable_uris("https://user:word@a.example/debian").is_empty());
        assert!(reachable_uris("file:///srv/debian").is_empty());
    }
}
