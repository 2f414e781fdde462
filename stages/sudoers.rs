//! Say who may run what as whom, for sudo.
//!
//! Writes `/etc/sudoers.d/FILENAME` with mode 0440; what was in it is replaced. Ours: the Python osbuild has no such
//! stage. See sudoers(5). Names and commands are written as they are, characters that mean something to sudo behind a
//! backslash.

use module::{Args, Context, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

const DIR: &str = "etc/sudoers.d";

/// Options of `org.osbuild.sudoers`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file; sudo passes over names with a dot in them.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,250}$"))]
    filename: String,
    /// Settings such as `secure_path="/usr/sbin:/usr/bin"` or `!requiretty`, one `Defaults` line each, as they are.
    #[serde(default)]
    defaults: Vec<String>,
    /// The rules; of several that fit the last one counts.
    #[serde(default)]
    rules: Vec<Rule>,
}

/// A rule for at least one user or group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Users who may.
    #[serde(default)]
    users: Vec<String>,
    /// Groups whose members may.
    #[serde(default)]
    groups: Vec<String>,
    /// Users they may become; all unless given.
    #[serde(default = "all", rename = "as-users")]
    #[schemars(length(min = 1))]
    as_users: Vec<String>,
    /// Groups they may take on.
    #[serde(default, rename = "as-groups")]
    as_groups: Vec<String>,
    /// Commands, by their full paths, with arguments; all unless given.
    #[serde(default = "all")]
    #[schemars(length(min = 1))]
    commands: Vec<String>,
    /// Whether they are asked for their password.
    #[serde(default = "yes")]
    password: bool,
}

module::stage! {
    file: "sudoers.rs", name: "org.osbuild.sudoers", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn all() -> Vec<String> {
    vec!["ALL".into()]
}

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    ensure!(
        !options.filename.is_empty() && options.filename.chars().all(is_name),
        "`{}`: sudo reads only files whose names have letters, digits, _ and -",
        options.filename
    );
    let mut text = String::new();
    for line in &options.defaults {
        ensure!(
            !line.contains(char::is_control),
            "options: defaults: `{line}` is more than a line"
        );
        text.push_str(&format!("Defaults {line}\n"));
    }
    for (at, rule) in options.rules.iter().enumerate() {
        text.push_str(&line(rule).with_context(|| format!("options: rules[{at}]"))?);
    }
    let path = format!("{DIR}/{}", options.filename);
    common::write_below(&args.tree, &path, &text)?;
    args.tree.chown(&path, Some(0), Some(0))?;
    Ok(args.tree.chmod(&path, 0o440)?)
}

fn line(rule: &Rule) -> Result<String> {
    let users = names(&rule.users, "")?;
    let groups = names(&rule.groups, "%")?;
    let who: Vec<String> = users.into_iter().chain(groups).collect();
    ensure!(!who.is_empty(), "a rule needs `users` or `groups`");
    let mut whom = names(&rule.as_users, "")?.join(",");
    if !rule.as_groups.is_empty() {
        whom = format!("{whom}:{}", names(&rule.as_groups, "")?.join(","));
    }
    let commands: Vec<String> = rule
        .commands
        .iter()
        .map(|text| command(text))
        .collect::<Result<_>>()?;
    ensure!(!commands.is_empty(), "`commands` is empty");
    let tag = if rule.password { "" } else { "NOPASSWD: " };
    Ok(format!(
        "{} ALL=({whom}) {tag}{}\n",
        who.join(","),
        commands.join(", ")
    ))
}

fn names(names: &[String], prefix: &str) -> Result<Vec<String>> {
    let name = |name: &String| {
        let good = !name.is_empty() && !name.contains(char::is_control);
        ensure!(
            good,
            "`{}` is not the name of a user or group",
            name.escape_debug()
        );
        Ok(format!("{prefix}{}", escaped(name, "\\,:=!()\"@ #%+")))
    };
    names.iter().map(name).collect()
}

/// A command with arguments. Spaces separate these and wildcards stay what they are.
fn command(text: &str) -> Result<String> {
    let text = text.trim();
    ensure!(
        text == "ALL" || text.trim_start_matches('!').starts_with('/') || text == "sudoedit",
        "`{text}`: a command is ALL or starts with a full path"
    );
    ensure!(
        !text.contains(char::is_control),
        "`{}` is more than a line",
        text.escape_debug()
    );
    Ok(escaped(text, ",:=#"))
}

fn escaped(text: &str, special: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn write(options: Value) -> Result<String> {
        let dir = tempfile::tempdir()?;
        (MODULE.run)(json!({"tree": dir.path(), "options": options}))?;
        let path = dir.path().join(DIR).join("x");
        check_with_visudo(&path);
        Ok(std::fs::read_to_string(path)?)
    }

    /// sudo's own judgement, where it is installed.
    fn check_with_visudo(path: &std::path::Path) {
        match std::process::Command::new("visudo").arg("-cf").arg(path).status() {
            Ok(status) => assert!(status.success(), "{}", path.display()),
            Err(_) => println!("there is no visudo to check the file with"),
        }
    }

    #[test]
    fn rules_become_lines() {
        let options = json!({"filename": "x", "defaults": ["!requiretty"], "rules": [
            {"groups": ["wheel"]},
            {"users": ["ada", "a b"], "as-users": ["root"], "as-groups": ["adm"], "password": false,
             "commands": ["/usr/bin/systemctl restart x.service", "/bin/echo a:b"]},
        ]});
        assert_eq!(
            write(options).unwrap(),
            "Defaults !requiretty\n%wheel ALL=(ALL) ALL\n\
             ada,a\\ b ALL=(root:adm) NOPASSWD: /usr/bin/systemctl restart x.service, /bin/echo a\\:b\n"
        );
    }

    #[test]
    fn what_would_be_another_line_is_refused() {
        for rule in [
            json!({}),
            json!({"users": ["a\nroot ALL=(ALL) ALL"]}),
            json!({"users": ["a"], "commands": ["ls"]}),
            json!({"users": ["a"], "commands": ["/bin/ls\nx"]}),
        ] {
            assert!(
                write(json!({"filename": "x", "rules": [rule]})).is_err(),
                "{rule}"
            );
        }
        assert!(write(json!({"filename": "x.conf"})).is_err());
    }
}
