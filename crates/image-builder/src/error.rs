//! The one error type: what is said, what to do about it, and how the command ends.

use std::fmt;

/// What went wrong, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
}

/// Whose fault it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line, a blueprint or a pipeline is wrong: exit code 2.
    Input,
    /// Something that was tried did not work: exit code 1.
    Failed,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Input,
            message: message.into(),
            hint: None,
        }
    }

    /// Something failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            ..Self::input(message)
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do about it, if there is anything to say.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// The exit code that goes with it.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Input => 2,
            Kind::Failed => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Turns errors of others into ours, with the words that say what was tried.
pub trait OrFail<T> {
    /// `what` reads like "cannot read /etc/os-release".
    fn or_fail(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::failed(format!("{}: {error}", what())))
    }
}

/// The candidates nearest to a misspelt `word`: all that are equally near, at most three.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // one slip for every three letters, as a reader would still recognise the word
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|name| name.len().abs_diff(word.len()) <= limit)
        .map(|name| (strsim::osa_distance(word, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.dedup();
    let best = near.first().map_or(0, |(distance, _)| *distance);
    let best = near.into_iter().filter(|(distance, _)| *distance == best);
    best.take(3).map(|(_, name)| name).collect()
}

/// "did you mean `a` or `b`?", or nothing.
pub fn did_you_mean(near: &[&str]) -> Option<String> {
    let quoted: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    (!near.is_empty()).then(|| format!("did you mean {}?", quoted.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_error_and_hint() {
        let failure = Failure::input("no such thing").hint("make it");
        assert_eq!(failure.to_string(), "error: no such thing\nhint: make it");
        assert_eq!(failure.exit_code(), 2);
        assert_eq!(Failure::failed("x").exit_code(), 1);
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("ngnix", ["nginx", "nix", "apache2"]), ["nginx"]);
        assert!(nearest("ngnix", ["apache2"]).is_empty());
        assert_eq!(did_you_mean(&["a", "b"]).unwrap(), "did you mean `a` or `b`?");
    }
}
