//! The one door to this machine: its environment, its files, how long to wait for others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a download may know of the machine it runs on. Tests make their own.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// The root directory below which the machine's configuration lies.
    pub(crate) root: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) limits: Limits,
}

/// How long to wait, and how often to try.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// For a name to be looked up.
    pub(crate) resolve: Duration,
    /// For a connection, with its TLS and its proxy.
    pub(crate) connect: Duration,
    /// Between the bytes of an answer.
    pub(crate) stall: Duration,
    /// A host is tried again only while this has not passed since the first try.
    pub(crate) unreachable: Duration,
    /// Before the second round of tries, the third, and so on; after the last of these an item has failed. A round
    /// that brought bytes starts the list anew.
    pub(crate) pauses: Vec<Duration>,
}

impl Default for Limits {
    /// A host that never answers, or whose name server does not, fails within 20 s. A lookup has time for the second
    /// question, which the C library sends when 5 s have passed.
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(6),
            stall: Duration::from_secs(30),
            unreachable: Duration::from_secs(7),
            pauses: [200, 500, 1000, 2000, 4000].map(Duration::from_millis).to_vec(),
        }
    }
}

impl Machine {
    /// The machine this process runs on.
    pub(crate) fn this() -> Self {
        Self {
            root: "/".into(),
            env: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            limits: Limits::default(),
        }
    }

    /// The environment variable `name`, unless it is empty.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A file named by its absolute path.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root
            .join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}
