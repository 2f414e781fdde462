//! Write a file of system users and groups for sysusers.d(5).
//!
//! The file lies in `/usr/lib/sysusers.d` or `/etc/sysusers.d`, which the tree must have; what was in it is replaced.
//! The users are made by `org.osbuild.systemd-sysusers` or by the image's first boot.

use module::{Args, Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Ids that stand for "no id" where ids have 16 and 32 bits.
const RESERVED: [u32; 2] = [65_535, u32::MAX];

/// Options of `org.osbuild.systemd-sysusers.d`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Below which directory it lies.
    #[serde(default, rename = "path-prefix")]
    path_prefix: Prefix,
    /// Its name.
    #[schemars(regex(pattern = r"\.conf$"))]
    filename: String,
    /// Its lines.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Prefix {
    #[default]
    Usr,
    Etc,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Entry {
    /// `u` a user, `u!` one that is locked, `g` a group, `m` a user's membership in a group, `r` a range of ids.
    #[schemars(extend("enum" = ["u", "u!", "g", "m", "r"]))]
    r#type: String,
    /// Name of the user or group; `-` for a range.
    #[schemars(regex(pattern = r"^([a-z]+(?:[-_][a-zA-Z0-9_-]{0,30})?|-)$"))]
    name: String,
    /// The id, `UID:GID`, the group of a membership, or a range; `-`: one that is free.
    #[serde(default = "dash")]
    id: String,
    /// A user's full name.
    gecos: Option<String>,
    /// A user's home directory.
    home: Option<String>,
    /// A user's shell.
    shell: Option<String>,
}

module::stage! { file: "systemd_sysusers_d.rs", name: "org.osbuild.systemd-sysusers.d", options: Options, run: run }

fn dash() -> String {
    "-".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let config = &args.options.config;
    let file = &config.filename;
    ensure!(
        file.ends_with(".conf"),
        "`{file}`: the file's name must end in .conf"
    );
    ensure!(
        !config.entries.is_empty(),
        "`entries` is empty: there is nothing to write"
    );
    let mut text = String::new();
    for (at, entry) in config.entries.iter().enumerate() {
        check(entry).with_context(|| format!("options: config: entries[{at}] ({})", entry.name))?;
        text.push_str(&line(entry));
    }
    let dir = match config.path_prefix {
        Prefix::Usr => "usr/lib/sysusers.d",
        Prefix::Etc => "etc/sysusers.d",
    };
    Ok(args.tree.write(format!("{dir}/{file}"), text)?)
}

fn check(entry: &Entry) -> Result<()> {
    let kind = entry.r#type.as_str();
    ensure!(
        is_name(&entry.name),
        "`{}` is not a name of a system user",
        entry.name
    );
    match kind {
        "u" | "u!" | "g" if entry.id == "-" => {}
        "u" | "u!" | "g" => check_ids(&entry.id, ':')?,
        "m" => ensure!(
            is_name(&entry.id),
            "`id` of a membership is the name of a group, not `{}`",
            entry.id
        ),
        "r" => {
            ensure!(
                entry.name == "-",
                "the name of a range is `-`, not `{}`",
                entry.name
            );
            check_ids(&entry.id, '-')?;
        }
        _ => bail!("`{kind}` is none of u, u!, g, m and r"),
    }
    if !kind.starts_with('u') {
        let fields = [
            ("gecos", &entry.gecos),
            ("home", &entry.home),
            ("shell", &entry.shell),
        ];
        for (name, value) in fields {
            let unset = matches!(value.as_deref(), None | Some("" | "-"));
            ensure!(unset, "only users have a `{name}`");
        }
    }
    Ok(())
}

/// One or two ids with `between` between them.
fn check_ids(text: &str, between: char) -> Result<()> {
    let parts: Vec<&str> = text.split(between).collect();
    ensure!(parts.len() <= 2, "`{text}` has more than two ids");
    for part in parts {
        let id: u32 = part.parse().with_context(|| format!("`{part}` is not an id"))?;
        ensure!(!RESERVED.contains(&id), "the id {id} is reserved");
    }
    Ok(())
}

/// Lower-case letters, then perhaps `-` or `_` and up to 30 letters, digits and more of these; or `-` alone.
fn is_name(name: &str) -> bool {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let tail = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match rest {
        "" => !name.is_empty(),
        _ if name == "-" => true,
        rest => {
            rest.len() < name.len()
                && rest.starts_with(['-', '_'])
                && rest.len() <= 31
                && rest.chars().all(tail)
        }
    }
}

fn line(entry: &Entry) -> String {
    let gecos = match entry.gecos.as_deref() {
        None | Some("-") => dash(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    let field = |value: &Option<String>| match value.as_deref() {
        None | Some("") => dash(),
        Some(text) => text.to_owned(),
    };
    format!(
        "{} {} {} {gecos} {} {}\n",
        entry.r#type,
        entry.name,
        entry.id,
        field(&entry.home),
        field(&entry.shell)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(value: serde_json::Value) -> Entry {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn names_are_those_of_the_schema() {
        let long = format!("a-{}", "x".repeat(30));
        for name in ["-", "a", "abc-", "abc_D9-", &long] {
            assert!(is_name(name), "{name}");
        }
        let longer = format!("a-{}", "x".repeat(31));
        for name in ["", "A", "a1", "_a", "--", "a b", &longer] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_locked_user_has_a_home_and_quotes_are_escaped() {
        let user = entry(json!({"type": "u!", "name": "a", "gecos": "A \"B\"", "home": "/a", "shell": ""}));
        check(&user).unwrap();
        assert_eq!(line(&user), "u! a - \"A \\\"B\\\"\" /a -\n");
    }

    #[test]
    fn ids_are_checked() {
        for bad in [
            json!({"type": "u", "name": "a", "id": "1:2:3"}),
            json!({"type": "u", "name": "a", "id": "1:4294967295"}),
            json!({"type": "r", "name": "-"}),
            json!({"type": "r", "name": "a", "id": "1-2"}),
            json!({"type": "m", "name": "a", "id": "5"}),
            json!({"type": "x", "name": "a"}),
        ] {
            assert!(check(&entry(bad.clone())).is_err(), "{bad}");
        }
    }
}
