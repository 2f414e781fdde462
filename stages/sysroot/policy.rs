//! SELinux labels by the policy of a deployment.

use std::path::Path;

use module::{Args, Result, Tree};

use crate::labels::{FileContexts, relabel};

/// Where the policy's configuration may be in a deployment.
const PLACES: [&str; 2] = ["etc/selinux", "usr/etc/selinux"];

/// Whether a deployment has a policy that is enabled.
pub fn has_policy(tree: &Tree, deployment: &Path) -> Result<bool> {
    Ok(specification(&tree.subtree(deployment)?)?.is_some())
}

/// The file contexts of a deployment's policy.
fn specification(deployed: &Tree) -> Result<Option<String>> {
    for place in PLACES {
        let config = format!("{place}/config");
        if deployed.is_file(&config)
            && let Some(policy) = policy(&deployed.read_text(&config)?)
        {
            return Ok(Some(format!("{place}/{policy}/contexts/files/file_contexts")));
        }
    }
    Ok(None)
}

/// Labels what was written outside of the deployment's own files: `/boot` of the tree, `/etc` of the deployment, `/var`
/// of the state root.
///
/// # Errors
/// The deployment has no policy; labels cannot be set.
pub fn label<O>(args: &Args<O>, deployment: &Path, stateroot: &Path) -> Result<()> {
    let tree = &args.tree;
    let deployed = tree.subtree(deployment)?;
    let Some(specification) = specification(&deployed)? else {
        module::bail!("the deployment has no SELinux policy that is enabled");
    };
    let contexts = FileContexts::read(&deployed, &specification)?;
    relabel(args, tree, &contexts, "boot", &[])?;
    relabel(args, &deployed, &contexts, "etc", &[])?;
    relabel(args, &tree.subtree(stateroot)?, &contexts, "var", &[])
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
