//! Configure the SSH server.
//!
//! Edits `/etc/ssh/sshd_config`, which the tree must have. The first line of a key is the one that counts for sshd, so
//! it is the one that is changed; keys without a line get one at the end, but before the first `Match`, whose blocks
//! are left alone. Files that the configuration includes further up are not looked at.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, KeyLines};

const FILE: &str = "etc/ssh/sshd_config";
const LINES: KeyLines = KeyLines {
    separator: " ",
    ignore_case: true,
    block: Some("Match"),
};

/// Options of `org.osbuild.sshd.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The settings.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Whether passwords are taken.
    #[serde(rename = "PasswordAuthentication")]
    password_authentication: Option<bool>,
    /// Whether challenge-response is taken.
    #[serde(rename = "ChallengeResponseAuthentication")]
    challenge_response_authentication: Option<bool>,
    /// Seconds of silence before the client is asked whether it is there.
    #[serde(rename = "ClientAliveInterval")]
    client_alive_interval: Option<i64>,
    /// Whether, or how, root may log in.
    #[serde(rename = "PermitRootLogin")]
    permit_root_login: Option<RootLogin>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum RootLogin {
    Allowed(bool),
    Word(#[schemars(extend("enum" = ["prohibit-password", "forced-commands-only"]))] String),
}

module::stage! {
    file: "sshd_config.rs", name: "org.osbuild.sshd.config", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let text = args.tree.read_text(FILE)?;
    Ok(args
        .tree
        .write(FILE, LINES.set(&text, &settings(&args.options.config)))?)
}

fn settings(config: &Config) -> Vec<(&'static str, String)> {
    let word = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let root = config.permit_root_login.as_ref().map(|login| match login {
        RootLogin::Allowed(value) => word(*value),
        RootLogin::Word(text) => text.clone(),
    });
    let settings = [
        ("PasswordAuthentication", config.password_authentication.map(word)),
        (
            "ChallengeResponseAuthentication",
            config.challenge_response_authentication.map(word),
        ),
        (
            "ClientAliveInterval",
            config.client_alive_interval.map(|seconds| seconds.to_string()),
        ),
        ("PermitRootLogin", root),
    ];
    let given = settings.into_iter();
    given.filter_map(|(key, value)| Some((key, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_match_block_at_the_end_does_not_swallow_settings() {
        let dir = tempfile::tempdir().unwrap();
        let tree = module::Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/ssh").unwrap();
        let text = "UsePAM yes\nMatch User git\n\tPasswordAuthentication yes\n";
        tree.write(FILE, text).unwrap();
        let options = json!({"config": {"PasswordAuthentication": false, "PermitRootLogin": true}});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert_eq!(
            tree.read_text(FILE).unwrap(),
            "UsePAM yes\nPasswordAuthentication no\nPermitRootLogin yes\n\
             Match User git\n\tPasswordAuthentication yes\n"
        );
    }
}
