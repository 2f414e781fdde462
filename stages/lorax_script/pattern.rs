//! Shell patterns: `*`, `?` and `[…]`.

use module::{Result, Tree};

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("pattern.rs");

/// Whether the whole text matches; `*` matches slashes too, as in fnmatch(3) without flags.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // where the last star was, and how far what it stands for reaches
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        match one(&pattern, p, text[t]) {
            Some(next) => (p, t) = (next, t + 1),
            None => match &mut star {
                Some((at, end)) => {
                    *end += 1;
                    (p, t) = (*at + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The place behind what matches `c` at `p`, which is no star.
fn one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match set(&pattern[p + 1..], c) {
            Some((true, length)) => Some(p + 1 + length),
            Some((false, _)) => None,
            // brackets that are not closed stand for themselves
            None => (c == '[').then_some(p + 1),
        },
        literal => (*literal == c).then_some(p + 1),
    }
}

/// Whether a set, given behind its `[`, has `c`, and its length with the `]`.
fn set(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = pattern.first() == Some(&'!');
    let start = usize::from(negated);
    let end = (start + 1..pattern.len()).find(|&at| pattern[at] == ']')?;
    let mut members = &pattern[start..end];
    let mut found = false;
    while let [first, rest @ ..] = members {
        members = match rest {
            ['-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&c);
                rest
            }
            rest => {
                found |= *first == c;
                rest
            }
        };
    }
    Some((found != negated, end + 1))
}

/// The paths of the tree that match, sorted; a `*` ends at slashes and does not match names that start with a dot.
/// Links on the way are followed inside the tree.
pub fn glob(tree: &Tree, pattern: &str) -> Result<Vec<String>> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for dir in found {
            if !part.contains(['*', '?', '[']) {
                let path = format!("{dir}/{part}");
                next.extend(tree.exists(&path).then_some(path));
            } else if tree.is_dir(if dir.is_empty() { "/" } else { &dir }) {
                let names = tree.list(if dir.is_empty() { "/" } else { &dir })?;
                let names = names.iter().filter_map(|name| name.to_str());
                next.extend(
                    names
                        .filter(|name| part.starts_with('.') || !name.starts_with('.'))
                        .filter(|name| matches(part, name))
                        .map(|name| format!("{dir}/{name}")),
                );
            }
        }
        found = next;
    }
    found.retain(|path| !path.is_empty());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "a/b/c"),
            ("*.so*", "x.so.1.so"),
            ("[a-c]?", "bx"),
            ("[!a]", "b"),
            ("[]]", "]"),
            ("a[", "a["),
            ("/usr/*/x", "/usr/lib/y/x"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*c", "a/b"), ("[!a]", "a"), ("?", ""), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn paths_are_found_in_the_tree_only() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("usr/lib/a").unwrap();
        tree.symlink("/usr/lib", "lib").unwrap();
        for name in ["x.so", "y.so", ".z.so"] {
            tree.write(format!("usr/lib/a/{name}"), "").unwrap();
        }
        assert_eq!(
            glob(&tree, "/lib/*/*.so").unwrap(),
            ["/lib/a/x.so", "/lib/a/y.so"]
        );
        assert_eq!(glob(&tree, "lib/a").unwrap(), ["/lib/a"]);
        assert!(glob(&tree, "no/*").unwrap().is_empty());
    }
}
