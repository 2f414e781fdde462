//! What is packed: the input `tree`, or another place that the options name.

use module::{Args, Context, Location, Result, Tree};

/// The tree that `location` names; the input `tree` without one.
pub fn source<O>(args: &Args<O>, location: Option<&str>) -> Result<Tree> {
    match location {
        None => args.input("tree")?.tree(),
        Some(text) => {
            let location = Location::parse(text)?;
            let tree = location.root(args)?.subtree(location.path());
            tree.with_context(|| format!("options: source: {text}"))
        }
    }
}
