//! Where an item may be had, and what went wrong there.

use std::time::{Duration, Instant};

use crate::access::Access;
use crate::client::Fault;

/// A server that lets a transfer stall so often without giving anything new is left.
const STALLS: u32 = 2;

/// A URL, and how its server is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) url: String,
    pub(crate) access: Access,
}

/// The tries at all locations of an item.
pub(crate) struct Attempts<'a>(Vec<Attempt<'a>>);

/// The tries at one location.
pub(crate) struct Attempt<'a> {
    pub(crate) location: &'a Location,
    fault: Option<Fault>,
    over: bool,
    /// When its host was not reached for the first time.
    since: Option<Instant>,
    stalls: u32,
}

impl Location {
    /// The URL as it is shown: without user and password.
    pub(crate) fn shown(&self) -> String {
        let (scheme, authority, rest) = parts(&self.url);
        match authority.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{host}{rest}"),
            None => self.url.clone(),
        }
    }

    /// Host and port, as they stand in the URL.
    pub(crate) fn host(&self) -> &str {
        let (_, authority, _) = parts(&self.url);
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }
}

/// Scheme, authority and the rest of a URL.
fn parts(url: &str) -> (&str, &str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (scheme, authority, rest)
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(locations: &'a [Location]) -> Self {
        let attempt = |location| Attempt {
            location,
            fault: None,
            over: false,
            since: None,
            stalls: 0,
        };
        Self(locations.iter().map(attempt).collect())
    }

    /// Those worth another try.
    pub(crate) fn left(&mut self) -> impl Iterator<Item = &mut Attempt<'a>> {
        self.0.iter_mut().filter(|attempt| !attempt.over)
    }

    /// Those whose host was not reached at the last try.
    pub(crate) fn unreachable(&self) -> impl Iterator<Item = (&'a Location, &str)> {
        self.0.iter().filter_map(|attempt| match &attempt.fault {
            Some(Fault::Unreachable(text)) => Some((attempt.location, text.as_str())),
            _ => None,
        })
    }

    /// What went wrong, at every location.
    pub(crate) fn error(&self) -> String {
        let text = |attempt: &Attempt<'_>| {
            let text = attempt.fault.as_ref().map_or("not tried", Fault::text);
            format!("{}: {text}", attempt.location.shown())
        };
        let all: Vec<_> = self.0.iter().map(text).collect();
        format!("cannot fetch {}", all.join("; "))
    }
}

impl Attempt<'_> {
    /// Notes what went wrong. It is over when that is final, when the host has not been reached for longer than
    /// `unreachable`, or when the transfer stalls again and again.
    pub(crate) fn failed(&mut self, fault: Fault, progress: bool, unreachable: Duration) {
        match &fault {
            Fault::Final(_) => self.over = true,
            Fault::Unreachable(_) => {
                let started = self.since.get_or_insert_with(Instant::now);
                self.over = started.elapsed() > unreachable;
            }
            Fault::Stalled(_) if !progress => {
                self.stalls += 1;
                self.over = self.stalls >= STALLS;
            }
            _ => self.since = None,
        }
        self.fault = Some(fault);
    }

    /// Notes when a try begins, from when the time without reaching the host counts.
    pub(crate) fn begins(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str) -> Location {
        Location {
            url: url.to_owned(),
            access: Access::default(),
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let secret = location("https://me:p@ss@h:1/a@b");
        assert_eq!(secret.shown(), "https://h:1/a@b");
        assert_eq!(secret.host(), "h:1");
        let open = location("http://h/a@b");
        assert_eq!((open.shown().as_str(), open.host()), ("http://h/a@b", "h"));
    }

    #[test]
    fn what_is_final_is_not_tried_again() {
        let locations = ["http://a/", "http://b/", "http://c/"].map(location);
        let mut attempts = Attempts::new(&locations);
        let faults = [
            Fault::Final("gone".into()),
            Fault::Passing("busy".into()),
            Fault::Unreachable("no".into()),
        ];
        for (attempt, fault) in attempts.left().zip(faults) {
            attempt.failed(fault, false, Duration::from_secs(60));
        }
        assert_eq!(
            attempts.left().map(|a| a.location.host()).collect::<Vec<_>>(),
            ["b", "c"]
        );
        assert_eq!(attempts.unreachable().count(), 1);
        assert_eq!(
            attempts.error(),
            "cannot fetch http://a/: gone; http://b/: busy; http://c/: no"
        );
        for attempt in attempts.left() {
            attempt.failed(Fault::Stalled("slow".into()), false, Duration::ZERO);
            attempt.failed(Fault::Stalled("slow".into()), false, Duration::ZERO);
        }
        assert_eq!(attempts.left().count(), 0);
    }
}
