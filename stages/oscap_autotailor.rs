//! Make a tailoring file for OpenSCAP.
//!
//! Runs autotailor of the build root, where the data stream lies too: a profile with rules selected, unselected and
//! values changed, or what a JSON file of the tree says.

use module::{Args, Context, Result, Tool, Tree, anyhow, bail};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.oscap.autotailor`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The tailoring file that is written.
    filepath: String,
    /// What it says.
    config: Config,
}

/// Either `tailoring_file`, or `profile_id` and changes to that profile.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Config {
    File(FromFile),
    Profile(FromProfile),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FromFile {
    /// The data stream, in the build root.
    datastream: String,
    /// Id of the profile that is made.
    tailored_profile_id: String,
    /// JSON file of the tree.
    tailoring_file: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["profile_id", "datastream", "new_profile"]},
    {"required": ["profile_id", "datastream", "tailored_profile_id"]},
]))]
struct FromProfile {
    /// Id of the profile that is changed.
    profile_id: Option<String>,
    /// The data stream, in the build root.
    datastream: Option<String>,
    /// The old name of `tailored_profile_id`.
    new_profile: Option<String>,
    /// Id of the profile that is made.
    tailored_profile_id: Option<String>,
    /// Rules that are added.
    #[serde(default)]
    selected: Vec<String>,
    /// Rules that are left out.
    #[serde(default)]
    unselected: Vec<String>,
    /// Values that are changed.
    #[serde(default)]
    overrides: Vec<Override>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Override {
    /// The variable.
    var: String,
    /// Its value.
    #[schemars(extend("type" = ["string", "integer"]))]
    value: serde_json::Value,
}

module::stage! {
    file: "oscap_autotailor.rs", name: "org.osbuild.oscap.autotailor", options: Options, run: run,
    needs: [Tools],
}

fn run(args: Args<Options>) -> Result<()> {
    let dir = tempfile::tempdir().context("cannot make a scratch directory")?;
    let scratch = Tree::open(dir.path())?;
    let (id, rest) = match &args.options.config {
        Config::File(file) => {
            scratch.write("tailoring.json", args.tree.read(&file.tailoring_file)?)?;
            let words = ["--json-tailoring", "tailoring.json", &file.datastream];
            (&file.tailored_profile_id, words.map(str::to_owned).to_vec())
        }
        Config::Profile(profile) => (profile_id(profile)?, arguments(profile)?),
    };
    // the tool writes in a scratch directory: in the tree a link could lead it elsewhere
    Tool::new("autotailor")
        .args(["--output", "tailored.xml", "--new-profile-id", id])
        .args(rest)
        .dir(dir.path())
        .run()?;
    Ok(args
        .tree
        .write(&args.options.filepath, scratch.read("tailored.xml")?)?)
}

fn profile_id(profile: &FromProfile) -> Result<&String> {
    if profile.new_profile.is_some() {
        println!("warning: `new_profile` is now called `tailored_profile_id`");
    }
    let id = profile
        .tailored_profile_id
        .as_ref()
        .or(profile.new_profile.as_ref());
    id.context("options: config: `tailored_profile_id` is missing")
}

fn arguments(profile: &FromProfile) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for (option, rules) in [
        ("--select", &profile.selected),
        ("--unselect", &profile.unselected),
    ] {
        words.extend(rules.iter().flat_map(|rule| [option.to_owned(), rule.clone()]));
    }
    for change in &profile.overrides {
        let value = match &change.value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => bail!(
                "options: config: overrides: {}: a value is a text or a number",
                change.var
            ),
        };
        words.extend(["--var-value".to_owned(), format!("{}={value}", change.var)]);
    }
    for (name, value) in [
        ("datastream", &profile.datastream),
        ("profile_id", &profile.profile_id),
    ] {
        words.push(
            value
                .clone()
                .ok_or_else(|| anyhow!("options: config: `{name}` is missing"))?,
        );
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_arguments_are_autotailors() {
        let profile: FromProfile = serde_json::from_value(json!({
            "datastream": "/ds", "profile_id": "p", "tailored_profile_id": "tp", "selected": ["a"],
            "unselected": ["b"], "overrides": [{"var": "v", "value": 5}, {"var": "w", "value": "x"}],
        }))
        .unwrap();
        let words = "--select a --unselect b --var-value v=5 --var-value w=x /ds p";
        assert_eq!(arguments(&profile).unwrap().join(" "), words);
        assert_eq!(profile_id(&profile).unwrap(), "tp");
    }
}
