//! Lists of mirrors: one address a line, or a metalink.

/// What a metalink of a repository points at; the repository lies where this does.
const REPOMD: &str = "repodata/repomd.xml";

/// The base addresses in a mirror list, in its order. Lines may have a comment, or more after a space, as apt's have.
pub(crate) fn of_list(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| !word.starts_with('#') && usable(word))
        .map(base)
        .collect()
}

/// The base addresses in a metalink (version 3, whose `preference` is best when high, or RFC 5854, whose `priority` is
/// best when low), best first.
pub(crate) fn of_metalink(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix("!--") {
            rest = after.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        let Some((tag, after)) = rest.split_once('>') else {
            break;
        };
        rest = after;
        let name = tag.split_whitespace().next().unwrap_or("");
        if name.rsplit(':').next() != Some("url") || tag.ends_with('/') {
            continue;
        }
        let address = unescaped(rest.split('<').next().unwrap_or("").trim());
        if usable(&address) && address.ends_with(REPOMD) {
            let number = |name| attribute(tag, name).and_then(|v| v.parse::<i64>().ok());
            let rank = number("priority")
                .or(number("preference").map(|p| -p))
                .unwrap_or(0);
            found.push((rank, base(&address)));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, address)| address).collect()
}

/// An address without what stands below a repository, and without a slash at its end.
fn base(address: &str) -> String {
    address
        .strip_suffix(REPOMD)
        .unwrap_or(address)
        .trim_end_matches('/')
        .to_owned()
}

fn usable(address: &str) -> bool {
    ["http://", "https://", "file:///"]
        .iter()
        .any(|scheme| address.starts_with(scheme))
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_whitespace().find_map(|word| {
        let value = word.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.trim_matches(['"', '\'', '/']))
    })
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_address_a_line() {
        let text = "# repo = fedora-40 arch = x86_64\nhttp://a/f/os/\n\nhttps://b/os\tpriority:1\nftp://c/\nrsync://d\n";
        assert_eq!(of_list(text), ["http://a/f/os", "https://b/os"]);
        assert!(of_list("<html>busy</html>").is_empty());
    }

    #[test]
    fn a_metalink_has_the_best_first() {
        let text = r#"<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/"><files>
<file name="repomd.xml"><size>1</size>
<resources maxconnections="1">
  <!-- <url protocol="http" preference="200">http://no/repodata/repomd.xml</url> -->
  <url protocol="rsync" type="rsync" preference="100">rsync://r/os/repodata/repomd.xml</url>
  <url protocol="http" type="http" location="DE" preference="98">http://b/os/repodata/repomd.xml</url>
  <url protocol="https" type="https" location="DE" preference="100" >https://a/os/repodata/repomd.xml</url>
  <url protocol="https" preference="97">https://c/x?a=1&amp;p=/repodata/repomd.xml</url>
  <url protocol="http" preference="90">http://d/something.else</url>
</resources></file></files></metalink>"#;
        assert_eq!(
            of_metalink(text),
            ["https://a/os", "http://b/os", "https://c/x?a=1&p="]
        );
        assert!(of_metalink("<url").is_empty());
    }
}
