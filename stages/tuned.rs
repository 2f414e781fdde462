//! Choose TuneD's profile.
//!
//! Writes `/etc/tuned/active_profile` and `profile_mode`, whose directory the tree must have. Each profile must be in the
//! tree: a directory with a `tuned.conf` in `/usr/lib/tuned` or `/etc/tuned`, or in `profiles` below them, where TuneD
//! has kept them since 2.23.

use module::{Args, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

const DIRS: [&str; 2] = ["usr/lib/tuned", "etc/tuned"];

/// Options of `org.osbuild.tuned`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The profiles; later ones add to earlier ones.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    profiles: Vec<String>,
}

module::stage! { file: "tuned.rs", name: "org.osbuild.tuned", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let (tree, profiles) = (&args.tree, &args.options.profiles);
    for profile in profiles {
        ensure!(
            is_known(tree, profile),
            "there is no TuneD profile `{profile}` in the tree: correct its name or install what brings it"
        );
    }
    tree.write("etc/tuned/active_profile", format!("{}\n", profiles.join(" ")))?;
    Ok(tree.write("etc/tuned/profile_mode", "manual\n")?)
}

fn is_known(tree: &Tree, profile: &str) -> bool {
    let in_dir = |dir: &str| {
        let below = format!("{dir}/profiles");
        let dir = if tree.is_dir(&below) { &below } else { dir };
        tree.is_file(format!("{dir}/{profile}/tuned.conf"))
    };
    !profile.contains('/') && DIRS.into_iter().any(in_dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn profiles_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for profile in ["usr/lib/tuned/profiles/a", "usr/lib/tuned/old", "etc/tuned/b"] {
            tree.mkdir_all(profile).unwrap();
            tree.write(format!("{profile}/tuned.conf"), "").unwrap();
        }
        let run = |profiles| (MODULE.run)(json!({"tree": dir.path(), "options": {"profiles": profiles}}));
        run(json!(["a", "b"])).unwrap();
        assert_eq!(tree.read_text("etc/tuned/active_profile").unwrap(), "a b\n");
        assert_eq!(tree.read_text("etc/tuned/profile_mode").unwrap(), "manual\n");
        assert!(run(json!(["old"])).is_err());
        assert!(run(json!(["../tuned/b"])).is_err());
    }
}
