//! Enable, disable and mask systemd's units; choose the default target.
//!
//! In this order: enable, disable, mask, mask generators, set the default target. The links are those that
//! `systemctl --root` makes, but systemctl is not needed. A name without a type is a `.service`. Enabling a unit that is
//! not in the tree is an error; disabling one is not. Init scripts without a unit file cannot be enabled.

use module::{Args, Context, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;

use crate::units::{self, Name};

const GENERATORS: &str = "etc/systemd/system-generators";

/// Options of `org.osbuild.systemd`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Units to enable.
    enabled_services: Option<Vec<String>>,
    /// Units to disable.
    disabled_services: Option<Vec<String>>,
    /// Units to mask.
    masked_services: Option<Vec<String>>,
    /// Generators to mask, by the names of their programs.
    masked_generators: Option<Vec<String>>,
    /// The target that is reached at boot, such as `graphical.target`.
    default_target: Option<String>,
}

module::stage! {
    file: "systemd.rs", name: "org.osbuild.systemd", options: Options, run: run,
    libraries: [units::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let service = |name: &String| Name::complete(name, "service");
    for name in options.enabled_services.iter().flatten() {
        units::enable(tree, &service(name)?).with_context(|| format!("cannot enable {name}"))?;
    }
    for name in options.disabled_services.iter().flatten() {
        units::disable(tree, &service(name)?).with_context(|| format!("cannot disable {name}"))?;
    }
    for name in options.masked_services.iter().flatten() {
        units::mask(tree, &service(name)?).with_context(|| format!("cannot mask {name}"))?;
    }
    for name in options.masked_generators.iter().flatten() {
        mask_generator(tree, name)?;
    }
    if let Some(name) = &options.default_target {
        units::set_default(tree, &Name::complete(name, "target")?)?;
    }
    Ok(())
}

/// Generators are masked as units are: systemd.generator(7).
fn mask_generator(tree: &Tree, name: &str) -> Result<()> {
    ensure!(
        !name.is_empty() && !name.contains('/'),
        "`{name}` is not the name of a generator: it looks like systemd-gpt-auto-generator"
    );
    let path = Path::new(GENERATORS).join(name);
    tree.mkdir_all(GENERATORS)?;
    if tree.exists(&path)
        && tree
            .read_link(&path)
            .is_ok_and(|link| link == Path::new("/dev/null"))
    {
        return Ok(());
    }
    Ok(tree.symlink("/dev/null", path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("usr/lib/systemd/system").unwrap();
        let unit = "[Install]\nWantedBy=multi-user.target\n";
        tree.write("usr/lib/systemd/system/ssh.service", unit).unwrap();
        (dir, tree)
    }

    fn enable(tree: &Tree, name: &str) -> Result<()> {
        (MODULE.run)(json!({"tree": tree.path(), "options": {"enabled_services": [name]}}))
    }

    #[test]
    fn what_a_package_enabled_by_another_path_stays() {
        let (_dir, tree) = tree();
        tree.symlink("usr/lib", "lib").unwrap();
        tree.mkdir_all("etc/systemd/system/multi-user.target.wants")
            .unwrap();
        let link = "etc/systemd/system/multi-user.target.wants/ssh.service";
        tree.symlink("/lib/systemd/system/ssh.service", link).unwrap();
        enable(&tree, "ssh").unwrap();
        assert_eq!(
            tree.read_link(link).unwrap(),
            Path::new("/lib/systemd/system/ssh.service")
        );
    }

    #[test]
    fn the_links_are_made_in_the_tree_wherever_etc_leads() {
        let (_dir, tree) = tree();
        let outside = tempfile::tempdir().unwrap();
        tree.symlink(outside.path(), "etc").unwrap();
        assert!(enable(&tree, "ssh").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        tree.mkdir_all(outside.path()).unwrap();
        enable(&tree, "ssh").unwrap();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(tree.exists("etc/systemd/system/multi-user.target.wants/ssh.service"));
    }

    #[test]
    fn an_init_script_alone_is_named_as_such() {
        let (_dir, tree) = tree();
        tree.mkdir_all("etc/init.d").unwrap();
        tree.write("etc/init.d/old", "#!/bin/sh\n").unwrap();
        let error = format!("{:#}", enable(&tree, "old").unwrap_err());
        assert!(error.contains("only the init script /etc/init.d/old"), "{error}");
        let error = format!("{:#}", enable(&tree, "odl").unwrap_err());
        assert!(error.contains("no unit odl.service"), "{error}");
    }
}
