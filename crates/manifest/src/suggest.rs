//! The name that was probably meant.

const PREFIX: &str = "org.osbuild.";

/// The candidate nearest to `word`: at most a third of its letters differ. Case, `-` and `_` count little, and so does the
/// prefix `org.osbuild.`. Of equally near ones the first in the alphabet.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let short = fold(word);
    let limit = (short.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| {
            let folded = fold(candidate);
            (strsim::osa_distance(&short, &folded), folded, candidate)
        })
        .filter(|(distance, folded, _)| *distance <= limit && *distance < folded.chars().count())
        .min()
        .map(|(_, _, candidate)| candidate)
}

/// ``did you mean `NAME`?`` for the candidate nearest to `word`.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|name| format!("did you mean `{name}`?"))
}

fn fold(word: &str) -> String {
    let word = word.strip_prefix(PREFIX).unwrap_or(word);
    word.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found() {
        let names = [
            "hostname",
            "org.osbuild.qcow2",
            "org.osbuild.raw",
            "packages",
            "a",
        ];
        assert_eq!(nearest("hostnme", names), Some("hostname"));
        assert_eq!(nearest("host-name", names), Some("hostname"));
        assert_eq!(nearest("org.osbuild.qcow", names), Some("org.osbuild.qcow2"));
        assert_eq!(nearest("qcow2", names), Some("org.osbuild.qcow2"));
        assert_eq!(nearest("packaegs", names), Some("packages"));
        assert_eq!(nearest("entirely", names), None);
        assert_eq!(nearest("x", names), None);
    }
}
