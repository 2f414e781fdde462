//! Configure the Red Hat Subscription Manager.
//!
//! Edits the configuration of its plugins for dnf (`/etc/dnf/plugins`) and yum (`/etc/yum/pluginconf.d`), and its own,
//! `/etc/rhsm/rhsm.conf`. A file that is to be changed must be in the tree; comments stay. Booleans are written as 0 and
//! 1.

use module::{Args, Result, Tree, anyhow};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, IniFile};

const NUMBERS: (&str, &str) = ("0", "1");

/// Options of `org.osbuild.rhsm`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Plugins of dnf.
    #[serde(rename = "dnf-plugins")]
    dnf_plugins: Option<Plugins>,
    /// Plugins of yum.
    #[serde(rename = "yum-plugins")]
    yum_plugins: Option<Plugins>,
    /// The subscription manager itself.
    #[serde(rename = "subscription-manager", default)]
    #[schemars(with = "Option<Manager>")]
    subscription_manager: InOrder<Manager>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Plugins {
    /// The plugin product-id.
    #[serde(rename = "product-id")]
    product_id: Option<Plugin>,
    /// The plugin subscription-manager.
    #[serde(rename = "subscription-manager")]
    subscription_manager: Option<Plugin>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Plugin {
    /// Whether it runs.
    enabled: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // the members are written in the manifest's order
struct Manager {
    /// The section `rhsm`.
    rhsm: Option<Rhsm>,
    /// The section `rhsmcertd`.
    rhsmcertd: Option<Rhsmcertd>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Rhsm {
    /// Whether it manages the repositories.
    manage_repos: Option<bool>,
    /// Whether it enables yum's plugins.
    auto_enable_yum_plugins: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Rhsmcertd {
    /// Whether the machine registers itself.
    auto_registration: Option<bool>,
}

module::stage! {
    file: "rhsm.rs", name: "org.osbuild.rhsm", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    configure_plugins(tree, "etc/dnf/plugins", options.dnf_plugins.as_ref())?;
    configure_plugins(tree, "etc/yum/pluginconf.d", options.yum_plugins.as_ref())?;
    if options.subscription_manager.is_empty() {
        return Ok(());
    }
    edit(tree, "etc/rhsm/rhsm.conf", |file| {
        for (section, settings) in options.subscription_manager.iter() {
            for (key, value) in settings.as_object().into_iter().flatten() {
                file.set(section, key, &common::plain(value, NUMBERS, " "));
            }
        }
    })
}

fn configure_plugins(tree: &Tree, dir: &str, plugins: Option<&Plugins>) -> Result<()> {
    let Some(plugins) = plugins else { return Ok(()) };
    let named = [
        ("product-id", &plugins.product_id),
        ("subscription-manager", &plugins.subscription_manager),
    ];
    for (name, plugin) in named {
        if let Some(enabled) = plugin.as_ref().and_then(|plugin| plugin.enabled) {
            let value = if enabled { NUMBERS.1 } else { NUMBERS.0 };
            edit(tree, &format!("{dir}/{name}.conf"), |file| {
                file.set("main", "enabled", value);
            })?;
        }
    }
    Ok(())
}

fn edit(tree: &Tree, path: &str, change: impl FnOnce(&mut IniFile)) -> Result<()> {
    let mut file = IniFile::read(tree, path)?
        .ok_or_else(|| anyhow!("/{path} is not in the tree: install what brings it in an earlier stage"))?;
    change(&mut file);
    Ok(tree.write(path, file.text())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sections_and_plugins_are_set() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/dnf/plugins").unwrap();
        tree.mkdir_all("etc/rhsm").unwrap();
        tree.write("etc/dnf/plugins/product-id.conf", "[main]\nenabled=1\n")
            .unwrap();
        let text = "# c\n[rhsm]\nmanage_repos = 1\n[rhsmcertd]\nautoAttachInterval = 1\n";
        tree.write("etc/rhsm/rhsm.conf", text).unwrap();
        let options = json!({
            "dnf-plugins": {"product-id": {"enabled": false}, "subscription-manager": {}},
            "subscription-manager": {"rhsmcertd": {"auto_registration": true}, "rhsm": {"manage_repos": false}},
        });
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        let plugin = tree.read_text("etc/dnf/plugins/product-id.conf").unwrap();
        assert_eq!(plugin, "[main]\nenabled=0\n");
        assert_eq!(
            tree.read_text("etc/rhsm/rhsm.conf").unwrap(),
            "# c\n[rhsm]\nmanage_repos = 0\n[rhsmcertd]\nautoAttachInterval = 1\nauto_registration = 1\n"
        );
        let options = json!({"yum-plugins": {"product-id": {"enabled": true}}});
        assert!((MODULE.run)(json!({"tree": dir.path(), "options": options})).is_err());
    }
}
