//! Write a file of repositories for dnf and yum.
//!
//! The file is new in `/etc/yum.repos.d`; one of that name must not be there. Keys that people expect on top come first,
//! the others in the order given; booleans are 0 and 1, lists are separated by spaces.

use std::collections::BTreeSet;

use module::{Args, Context, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, Ini};

const DIR: &str = "etc/yum.repos.d";
/// The order in which distributions write these.
const FIRST: &[&str] = &[
    "name",
    "baseurl",
    "metalink",
    "mirrorlist",
    "enabled",
    "gpgcheck",
    "repo_gpgcheck",
    "gpgkey",
];

/// Options of `org.osbuild.yum.repos`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.repo$"))]
    filename: Option<String>,
    /// The repositories.
    #[schemars(length(min = 1))]
    repos: Option<Vec<InOrder<Repository>>>,
}

/// A repository with one of `baseurl`, `metalink` and `mirrorlist`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["id", "baseurl"]}, {"required": ["id", "metalink"]}, {"required": ["id", "mirrorlist"]},
]))]
#[allow(dead_code)] // the members are written in the manifest's order
struct Repository {
    /// Its id: the name of its section.
    #[schemars(regex(pattern = r"^[\w.\-:]+$"))]
    id: Option<String>,
    /// Addresses of its mirrors.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    baseurl: Option<Vec<String>>,
    /// What it costs to use it, compared with others.
    cost: Option<i64>,
    /// Whether it is used.
    enabled: Option<bool>,
    /// Addresses of its keys.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    gpgkey: Option<Vec<String>>,
    /// Address of its metalink.
    #[schemars(length(min = 1))]
    metalink: Option<String>,
    /// Address of its list of mirrors.
    #[schemars(length(min = 1))]
    mirrorlist: Option<String>,
    /// Whether it replaces packages of modules.
    module_hotfixes: Option<bool>,
    /// What it is, for people.
    #[schemars(length(min = 1))]
    name: Option<String>,
    /// Its rank: lower goes first.
    priority: Option<i64>,
    /// Whether packages must be signed.
    gpgcheck: Option<bool>,
    /// Whether its metadata must be signed.
    repo_gpgcheck: Option<bool>,
    /// Whether the server's certificate is checked.
    sslverify: Option<bool>,
}

module::stage! {
    file: "yum_repos.rs", name: "org.osbuild.yum.repos", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let name = args.options.filename.as_ref().context("`filename` is missing")?;
    let repositories = args.options.repos.as_ref().context("`repos` is missing")?;
    let mut ini = Ini::default();
    let mut seen = BTreeSet::new();
    for repository in repositories {
        let id = repository.get("id").and_then(|id| id.as_str());
        let id = id.context("a repository needs an `id`")?;
        ensure!(seen.insert(id), "the repository `{id}` is listed more than once");
        write(&mut ini, id, repository);
    }
    args.tree.mkdir_all(DIR)?;
    common::create_new(&args.tree, &format!("{DIR}/{name}"), &ini.text("="))
}

fn write(ini: &mut Ini, id: &str, repository: &InOrder<Repository>) {
    let section = ini.section(id);
    let first = FIRST.iter().filter_map(|&key| Some((key, repository.get(key)?)));
    let others = repository
        .iter()
        .filter(|(key, _)| *key != "id" && !FIRST.contains(key));
    for (key, value) in first.chain(others) {
        section.set(key, common::plain(value, ("0", "1"), " "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_is_the_usual_one_and_percent_signs_are_fine() {
        let dir = tempfile::tempdir().unwrap();
        let repo = json!({"id": "r", "cost": 5, "enabled": false, "gpgkey": ["a", "b"], "baseurl": ["u/%20x"],
                          "sslverify": true, "name": "R"});
        let run = |repos| {
            (MODULE.run)(json!({"tree": dir.path(), "options": {"filename": "r.repo", "repos": repos}}))
        };
        assert!(run(json!([repo, repo])).is_err());
        run(json!([repo])).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join(DIR).join("r.repo")).unwrap(),
            "[r]\nname=R\nbaseurl=u/%20x\nenabled=0\ngpgkey=a b\ncost=5\nsslverify=1\n\n"
        );
        assert!(run(json!([repo])).is_err());
    }
}
