//! What a module says of itself.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::needs;

/// The folder a module belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stage,
    Assembler,
    Source,
}

/// A module, made by [`stage!`](crate::stage) or [`assembler!`](crate::assembler).
#[derive(Debug)]
pub struct Module {
    /// `org.osbuild.NAME`
    pub name: &'static str,
    /// Other names it is found by.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// The text of its file: the documentation on top of it is the manual page, its digest tells one build of the
    /// module from another.
    pub source: &'static str,
    /// Digests of the libraries its result depends on, beside those every module has.
    pub libraries: &'static [&'static str],
    /// The Draft 4 schema of its options.
    pub options: fn() -> Value,
    /// The schemas of `inputs`, `devices` and `mounts` in format 2, where it takes any.
    pub takes: fn() -> Value,
    /// Linux capabilities beyond those that the Python osbuild gives all modules.
    pub capabilities: &'static [&'static str],
    /// What it needs beyond changing files: it gets no more than this and `capabilities`.
    pub needs: &'static [crate::Need],
    /// Runs it on its argument document.
    pub run: fn(Value) -> crate::Result<()>,
}

impl Kind {
    /// The name of its folder in a library directory.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Stage => "stages",
            Self::Assembler => "assemblers",
            Self::Source => "sources",
        }
    }
}

impl Module {
    /// Its documentation: the lines with `//!` on top of its file.
    pub fn documentation(&self) -> Vec<&'static str> {
        let doc = self.source.lines().map_while(|line| line.strip_prefix("//!"));
        doc.map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
            .collect()
    }

    /// A digest of all that decides what it does: its file, the libraries, what every module is built on.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.source, crate::SOURCE_DIGEST].iter().chain(self.libraries) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hex::encode(hash.finalize())
    }

    /// Its `.meta.json`, with the members `name`, `aliases`, `kind` and `digest` added.
    pub fn describe(&self) -> Value {
        let doc = self.documentation();
        let (summary, rest) = doc
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (*first, rest));
        let rest = rest
            .iter()
            .skip_while(|line| line.is_empty())
            .copied()
            .collect::<Vec<_>>();
        let options = (self.options)();
        let mut meta = json!({
            "name": self.name,
            "aliases": self.aliases,
            "kind": self.kind.folder(),
            "digest": self.digest(),
            "summary": summary.trim_end_matches('.'),
            "description": rest,
            "capabilities": self.capabilities,
            "needs": needs::describe(self.needs, self.capabilities),
            "schema": options,
        });
        let takes = (self.takes)();
        if let Some(takes) = takes.as_object().filter(|map| !map.is_empty()) {
            let mut schema_2 = Map::from_iter([("options".to_owned(), (self.options)())]);
            schema_2.extend(takes.clone());
            meta["schema_2"] = Value::Object(schema_2);
        }
        meta
    }
}

/// The descriptions of the modules called `names`, or of all where there are none, as one JSON list.
pub fn describe(modules: &[&Module], names: &[String]) -> Value {
    let called = |module: &Module, name: &String| {
        module.name == name.as_str() || module.aliases.contains(&name.as_str())
    };
    modules
        .iter()
        .filter(|module| names.is_empty() || names.iter().any(|name| called(module, name)))
        .map(|module| module.describe())
        .collect()
}

/// Names a stage: `stage! { file: "hostname.rs", name: "org.osbuild.hostname", options: Options, run: run }`.
///
/// `run` is a `fn(Args<Options>) -> Result<()>`. After it may follow, in this order: `aliases: [..]`,
/// `takes: {inputs, devices, mounts}` (JSON, as in a `schema_2`), `capabilities: [..]`, `needs: [..]` (of
/// [`Need`](crate::Need)), `libraries: [..]`.
#[macro_export]
macro_rules! stage {
    ($($t:tt)*) => { $crate::define_module!($crate::Kind::Stage; $($t)*); };
}

/// Names an assembler, as [`stage!`] does a stage.
#[macro_export]
macro_rules! assembler {
    ($($t:tt)*) => { $crate::define_module!($crate::Kind::Assembler; $($t)*); };
}

#[doc(hidden)]
#[macro_export]
macro_rules! define_module {
    (
        $kind:expr; file: $file:literal, name: $name:literal, options: $options:ty, run: $run:path
        $(, aliases: [$($alias:literal),* $(,)?])?
        $(, takes: {$($takes:tt)*})?
        $(, capabilities: [$($capability:literal),* $(,)?])?
        $(, needs: [$($need:ident),* $(,)?])?
        $(, libraries: [$($library:expr),* $(,)?])?
        $(,)?
    ) => {
        /// This file as a module.
        pub static MODULE: $crate::Module = $crate::Module {
            name: $name,
            aliases: &[$($($alias),*)?],
            kind: $kind,
            source: include_str!($file),
            libraries: &[$($($library),*)?],
            options: || $crate::options_schema::<$options>(),
            takes: || serde_json::json!({$($($takes)*)?}),
            capabilities: &[$($($capability),*)?],
            needs: &[$($($crate::Need::$need),*)?],
            run: |document| $run($crate::Args::<$options>::from_json(document)?),
        };
    };
}
