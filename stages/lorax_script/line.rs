//! The lines of a rendered template: words as a shell has them, with braces.

use module::{Result, bail};

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("line.rs");

/// The words of a line: quotes and backslashes as in a POSIX shell, then each word once for every choice in its braces.
pub fn words(line: &str) -> Result<Vec<String>> {
    let words = split(line)?;
    Ok(words.iter().flat_map(|word| expand(word)).collect())
}

fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(mark), c) if c == mark => quote = None,
            (None | Some('"'), '\\') => {
                let Some(next) = chars.next() else {
                    bail!("the line ends in a backslash");
                };
                let text = word.get_or_insert_default();
                // in double quotes a backslash stands for itself before anything else
                if quote.is_some() && !matches!(next, '"' | '\\') {
                    text.push('\\');
                }
                text.push(next);
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        bail!("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

/// `a{b,c}d` becomes `abd` and `acd`; the first braces that close are expanded first.
fn expand(word: &str) -> Vec<String> {
    let braces = word
        .find('}')
        .and_then(|right| Some((word[..right].rfind('{')?, right)));
    match braces {
        Some((left, right)) if word.contains(',') => word[left + 1..right]
            .split(',')
            .flat_map(|choice| expand(&format!("{}{choice}{}", &word[..left], &word[right + 1..])))
            .collect(),
        _ => vec![word.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_split_as_in_a_shell() {
        assert_eq!(
            words(r#"append etc/x "a \"b\" \n" 'c "d"' e\ f"#).unwrap(),
            ["append", "etc/x", r#"a "b" \n"#, r#"c "d""#, "e f"]
        );
        assert_eq!(words("a '' b").unwrap(), ["a", "", "b"]);
        assert!(words("a 'b").is_err());
    }

    #[test]
    fn braces_are_expanded() {
        assert_eq!(words("x{a,b{c,d}}y").unwrap(), ["xay", "xbcy", "xay", "xbdy"]);
        assert_eq!(words("{a} b,c").unwrap(), ["{a}", "b,c"]);
    }
}
