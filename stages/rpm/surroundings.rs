//! What lies in the tree only while packages are installed.

use module::{Result, Tree};

const MACHINE_ID: &str = "etc/machine-id";
/// What scripts see meanwhile: every build the same.
const NEUTRAL_ID: &str = "ffffffffffffffffffffffffffffffff\n";
/// Links to `/dev/null` here switch plug-ins of kernel-install off.
const PLUGINS: &str = "etc/kernel/install.d";
const DRACUT: [&str; 2] = ["50-dracut.install", "51-dracut-rescue.install"];
/// What ostree leaves on a system that it has booted.
const BOOTED: &str = "run/ostree-booted";
/// Seed of the build machine's randomness, which must not be shared by all that boot the image.
const RANDOM_SEED: &str = "var/lib/systemd/random-seed";

/// What was changed, and how to change it back.
#[derive(Debug)]
pub struct Surroundings {
    neutral_id: bool,
    booted: bool,
    links: Vec<String>,
    /// Made by us, deepest first.
    folders: Vec<&'static str>,
}

impl Surroundings {
    /// Gives the tree a machine id where it has none and, if so wanted, switches dracut off and the sign of a system
    /// booted by ostree on.
    pub fn prepare(tree: &Tree, disable_dracut: bool, ostree_booted: bool) -> Result<Self> {
        let neutral_id = tree.stat(MACHINE_ID)?.is_none_or(|st| st.size == 0);
        if neutral_id {
            tree.mkdir_all("etc")?;
            tree.write(MACHINE_ID, NEUTRAL_ID)?;
        }
        let booted = ostree_booted && !tree.exists(BOOTED);
        if booted {
            tree.mkdir_all("run")?;
            tree.write(BOOTED, "")?;
        }
        let mut made = Self {
            neutral_id,
            booted,
            links: Vec::new(),
            folders: Vec::new(),
        };
        if disable_dracut {
            for folder in [PLUGINS, "etc/kernel"] {
                if !tree.exists(folder) {
                    made.folders.push(folder);
                }
            }
            tree.mkdir_all(PLUGINS)?;
            for name in DRACUT {
                let link = format!("{PLUGINS}/{name}");
                if !tree.exists(&link) {
                    tree.symlink("/dev/null", &link)?;
                    made.links.push(link);
                }
            }
        }
        Ok(made)
    }

    /// Takes it away again. Folders stay where a package owns them (`is_owned`) or something lies in them.
    pub fn restore(self, tree: &Tree, is_owned: impl Fn(&str) -> Result<bool>) -> Result<()> {
        if self.booted {
            tree.remove_all(BOOTED)?;
        }
        for link in self.links {
            tree.remove_file(link)?;
        }
        for folder in self.folders {
            if tree.list(folder)?.is_empty() && !is_owned(folder)? {
                tree.remove_all(folder)?;
            }
        }
        // a package may have brought one of its own
        if self.neutral_id && tree.is_file(MACHINE_ID) && tree.read(MACHINE_ID)? == NEUTRAL_ID.as_bytes() {
            tree.write(MACHINE_ID, "")?;
            tree.chmod(MACHINE_ID, 0o444)?;
        }
        Ok(tree.remove_all(RANDOM_SEED)?)
    }
}
