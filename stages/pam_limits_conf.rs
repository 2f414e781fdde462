//! Write a file of limits for pam_limits.
//!
//! The file lies in `/etc/security/limits.d`, which the tree must have; what was in it is replaced. See limits.conf(5).

use std::fmt;

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.pam.limits.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.conf$"))]
    filename: String,
    /// The limits.
    #[schemars(length(min = 1))]
    config: Vec<Limit>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// Who is limited: a user, `@group`, `*` or a range of ids.
    domain: String,
    /// The kind of limit; `-` for both.
    #[schemars(extend("enum" = ["hard", "soft", "-"]))]
    r#type: String,
    /// What is limited.
    #[schemars(extend("enum" = [
        "core", "data", "fsize", "memlock", "nofile", "rss", "stack", "cpu", "nproc", "as", "maxlogins",
        "maxsyslogins", "nonewprivs", "priority", "locks", "sigpending", "msgqueue", "nice", "rtprio",
    ]))]
    item: String,
    /// The limit: a number, `unlimited` or `infinity`.
    value: Value,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Value {
    Number(i64),
    Word(#[schemars(extend("enum" = ["unlimited", "infinity"]))] String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

module::stage! { file: "pam_limits_conf.rs", name: "org.osbuild.pam.limits.conf", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let line = |limit: &Limit| {
        format!(
            "{} {} {} {}\n",
            limit.domain, limit.r#type, limit.item, limit.value
        )
    };
    let text: String = args.options.config.iter().map(line).collect();
    let path = format!("etc/security/limits.d/{}", args.options.filename);
    Ok(args.tree.write(path, text)?)
}
