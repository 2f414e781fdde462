//! The command line of `osbuild store`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Look after a store: find damage, see what takes space, remove what nobody needs.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "osbuild store", args_override_self = true)]
pub(crate) struct StoreOptions {
    #[command(subcommand)]
    pub(crate) task: StoreTask,

    /// The directory of the store
    #[arg(
        long,
        alias = "cache",
        global = true,
        value_name = "DIR",
        default_value = ".osbuild"
    )]
    pub(crate) store: PathBuf,

    /// Print the result as one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is to be done. Objects are named by the stage's id, its name, the tree's digest, or the beginning of one of these.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum StoreTask {
    /// Look for damage: exit code 0 there is none, 1 there was some
    Fsck {
        /// Read all contents, not only what can be seen without
        #[arg(long)]
        deep: bool,
        /// Take what is damaged out of the way, so that the next build makes it again
        #[arg(long)]
        repair: bool,
    },
    /// List the stages whose trees are there, those used last first
    Ls,
    /// Say what takes how much space
    Du,
    /// Remove what nobody will ask for: leftovers, trees of no stage, stages without a tree, logs older than a week, what
    /// was damaged
    Gc {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Say how two trees differ: exit code 0 not at all, 1 they do
    Diff {
        #[arg(value_name = "A")]
        from: String,
        #[arg(value_name = "B")]
        to: String,
    },
    /// Forget stages, and remove their trees unless others need them
    Rm {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}
