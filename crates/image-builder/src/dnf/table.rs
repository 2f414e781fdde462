//! The transaction that dnf prints: a table of what it would install.

use super::Chosen;

/// Reads the table, of dnf 4 or 5. A record is `NAME ARCH VERSION REPOSITORY SIZE [UNIT]`; a long name has a line of its
/// own before the rest.
pub fn parse(text: &str) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    let mut installing = false;
    let mut name = None;
    for line in text.lines() {
        if !line.starts_with(' ') {
            installing = is_installing(line);
            name = None;
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first().filter(|first| installing && **first != "replacing") else {
            continue;
        };
        let (this, rest) = match name.take() {
            Some(name) => (name, &words[..]),
            None => (*first, &words[1..]),
        };
        match rest {
            [] => name = Some(this),
            [arch, evr, repository, _size, ..] => chosen.push(Chosen {
                name: this.to_owned(),
                evr: without_zero_epoch(evr).to_owned(),
                arch: (*arch).to_owned(),
                repository: (*repository).to_owned(),
            }),
            _ => {}
        }
    }
    chosen.sort();
    chosen.dedup();
    chosen
}

/// Whether a heading is of packages that are installed, and not of groups.
fn is_installing(heading: &str) -> bool {
    let groups = heading.to_ascii_lowercase();
    let groups = groups.ends_with("groups:") || groups.ends_with("profiles:") || groups.ends_with("streams:");
    heading.starts_with("Installing") && heading.ends_with(':') && !groups
}

/// dnf 5 prints the epoch always.
pub fn without_zero_epoch(evr: &str) -> &str {
    evr.strip_prefix("0:").unwrap_or(evr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_dnf_4_is_read() {
        let text = "\
fedora   112 kB/s | 1.2 kB     00:00
Dependencies resolved.
================================================================================
 Package          Arch     Version    Repo      Size
================================================================================
Installing group/module packages:
 a-name-that-is-long-enough-to-have-a-line-of-its-own-in-this-table
                  noarch   1.0-1      fedora   5.5 k
 hello            noarch   2:1.0-1    fedora   123
Installing dependencies:
 dep-lib          x86_64   1.0-1      updates   5.4 k
     replacing  old-lib.x86_64 0.9-1
Installing Groups:
 Core

Transaction Summary
================================================================================
Install  3 Packages
";
        let chosen = parse(text);
        let found: Vec<_> = chosen
            .iter()
            .map(|one| (one.evr.as_str(), one.repository.as_str()))
            .collect();
        assert_eq!(
            found,
            [("1.0-1", "fedora"), ("1.0-1", "updates"), ("2:1.0-1", "fedora")]
        );
        assert!(chosen[0].name.starts_with("a-name-that"));
    }

    #[test]
    fn the_table_of_dnf_5_is_read() {
        let text = "\
Package  Arch   Version   Repository      Size
Installing:
 hello   noarch 0:1.0-1   fedora       0.0   B
Installing groups:
 Core

Transaction Summary:
 Installing:        1 package
";
        let chosen = parse(text);
        assert_eq!(chosen.len(), 1);
        assert_eq!(
            (chosen[0].name.as_str(), chosen[0].evr.as_str()),
            ("hello", "1.0-1")
        );
    }
}
