//! Shell patterns over names, as Python's `fnmatch` has them: case counts, and `*` crosses dots and slashes.

/// Whether `pattern` (`*`, `?`, `[a-z]`, `[!a-z]`) fits all of `name`. A `[` that is never closed is just that.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // where to go on should the part behind the last `*` not fit
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
                continue;
            }
            None if n == name.len() => return true,
            None => None,
            Some(_) => name.get(n).and_then(|c| one(&pattern[p..], *c)),
        };
        match (fits, retry) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((star, from))) if from < name.len() => {
                retry = Some((star, from + 1));
                (p, n) = (star + 1, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How many characters of the pattern stand for `c`; `None`: they do not.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '[' => match closing(pattern) {
            Some(end) => in_set(&pattern[1..end], c).then_some(end + 1),
            None => (c == '[').then_some(1),
        },
        literal => (c == literal).then_some(1),
    }
}

/// Where a set ends. A `]` that comes first, even behind `!`, belongs to the set.
fn closing(pattern: &[char]) -> Option<usize> {
    let mut at = 1 + usize::from(pattern.get(1) == Some(&'!'));
    at += usize::from(pattern.get(at) == Some(&']'));
    (at..pattern.len()).find(|at| pattern[*at] == ']')
}

fn in_set(set: &[char], c: char) -> bool {
    let (set, negated) = match set.split_first() {
        Some(('!', rest)) => (rest, true),
        _ => (set, false),
    };
    let mut at = 0;
    let mut found = false;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            found |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= set[at] == c;
            at += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, name) in [
            ("org.osbuild.mk*", "org.osbuild.mkfs.ext4"),
            ("*", ""),
            ("t?ee", "tree"),
            ("*e", "tree"),
            ("a*b*c", "aXbYbZc"),
            ("[st]ree", "tree"),
            ("[a-z]ree", "tree"),
            ("[!a-s]ree", "tree"),
            ("[]]", "]"),
            ("[!]]", "x"),
            ("a[", "a["),
            ("[a-]", "-"),
            ("os/*", "os/a/b"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("tree", "trees"),
            ("Tree", "tree"),
            ("?", ""),
            ("[!t]ree", "tree"),
            ("*x", "tree"),
            ("[z-a]", "b"),
            ("", "tree"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
