//! SELinux labels by the policy of a deployment.

use std::path::Path;

use module::{Result, Tool, Tree};

/// Where the policy's configuration may be in a deployment.
const PLACES: [&str; 2] = ["etc/selinux", "usr/etc/selinux"];

/// Labels what was written outside of the deployment's own files: `/boot` of the tree, `/etc` of the deployment, `/var`
/// of the state root.
///
/// # Errors
/// The deployment has no policy; setfiles(8) fails.
pub fn label(tree: &Tree, deployment: &Path, stateroot: &Path) -> Result<()> {
    let deployed = tree.subtree(deployment)?;
    let mut specification = None;
    for place in PLACES {
        let config = format!("{place}/config");
        if specification.is_none() && deployed.is_file(&config) {
            let policy = policy(&deployed.read_text(&config)?);
            specification = policy.map(|policy| format!("{place}/{policy}/contexts/files/file_contexts"));
        }
    }
    let Some(specification) = specification else {
        module::bail!("the deployment has no SELinux policy that is enabled");
    };
    let root = tree.path();
    let deployment = root.join(deployment);
    let specification = deployment.join(specification);
    for (root, path) in [
        (root, "boot"),
        (deployment.as_path(), "etc"),
        (&root.join(stateroot), "var"),
    ] {
        Tool::new("setfiles")
            .args(["-F", "-r"])
            .arg(root)
            .arg(&specification)
            .arg(root.join(path))
            .run()?;
    }
    Ok(())
}

/// The policy that a configuration enables (selinux_config(5)).
fn policy(config: &str) -> Option<String> {
    let value = |key: &str| {
        let lines = config
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'));
        let mut pairs = lines.filter_map(|line| line.split_once('='));
        pairs.find_map(|(k, v)| (k.trim() == key).then(|| v.trim().to_owned()))
    };
    matches!(value("SELINUX")?.as_str(), "enforcing" | "permissive").then(|| value("SELINUXTYPE"))?
}

#[cfg(test)]
mod tests {
    use super::policy;

    #[test]
    fn only_an_enabled_policy_counts() {
        let config = |state: &str| policy(&format!("# SELINUX=x\nSELINUX={state}\nSELINUXTYPE=targeted\n"));
        assert_eq!(config("enforcing").as_deref(), Some("targeted"));
        assert_eq!(config("permissive").as_deref(), Some("targeted"));
        assert_eq!(config("disabled"), None);
        assert_eq!(policy(""), None);
    }
}
