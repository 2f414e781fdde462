//! Running the tree's own dpkg in the tree, on package files that are shown to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use module::{Chroot, Context, Exit, Result, Tool, Tree};
use rustix::mount::{MountFlags, mount_bind_recursive, mount_remount};

use super::archive::{ControlFile, Deb};
use super::database::write_control_file;

/// Our files while packages are installed, in the tree's `/run`, which is a tmpfs then.
pub const WORK: &str = "run/osbuild-deb";
/// Where dpkg tells what it is doing, line by line.
const STATUS: &str = "run/osbuild-deb/status";

/// Where dpkg has the control archive of the package it unpacks.
const CONTROL: &str = "var/lib/dpkg/tmp.ci";

/// Every run: no service asks anything; files an earlier stage wrote stay; nothing is synced, the executor does that.
const OPTIONS: [&str; 7] = [
    "--force-unsafe-io",
    "--force-confdef",
    "--force-confold",
    "--auto-deconfigure",
    "--no-debsig",
    "--no-pager",
    "--status-logger=cat >>/run/osbuild-deb/status",
];

/// The tree's dpkg. Package scripts that it starts run in the tree, without network, and are asked nothing.
#[derive(Debug)]
pub struct Dpkg<'t> {
    chroot: &'t Chroot,
    tree: &'t Tree,
    epoch: i64,
}

impl<'t> Dpkg<'t> {
    /// The dpkg of `tree`, into which `chroot` was entered; `epoch` is what tools take for the present time.
    pub fn new(chroot: &'t Chroot, tree: &'t Tree, epoch: i64) -> Self {
        Self { chroot, tree, epoch }
    }

    /// Makes the package files visible in the tree; returns the path of each there, in their order.
    pub fn show(&self, debs: &[Deb]) -> Result<Vec<String>> {
        self.tree.mkdir_all(WORK)?;
        let mut folders = BTreeMap::<PathBuf, usize>::new();
        let mut paths = Vec::new();
        for deb in debs {
            // the store may show its files as links
            let file = deb.path.canonicalize()?;
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
                continue;
            };
            let number = match folders.get(folder) {
                Some(number) => *number,
                None => {
                    let number = folders.len();
                    self.show_folder(folder, number)?;
                    folders.insert(folder.to_owned(), number);
                    number
                }
            };
            let link = format!("{WORK}/{}.deb", deb.label());
            self.tree
                .symlink(Path::new(&number.to_string()).join(name), &link)?;
            paths.push(format!("/{link}"));
        }
        Ok(paths)
    }

    fn show_folder(&self, folder: &Path, number: usize) -> Result<()> {
        let name = format!("{WORK}/{number}");
        self.tree.mkdir(&name, 0o755)?;
        let target = self.tree.path().join(&name);
        let cannot = || format!("cannot show {} in the tree", folder.display());
        mount_bind_recursive(folder, &target).with_context(cannot)?;
        // scripts of packages must not be able to change what other builds use
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        mount_remount(&target, flags, c"").with_context(cannot)
    }

    /// A program of the tree in the environment that package scripts get.
    pub fn tool(&self, name: &str) -> Tool {
        let fixed = [
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            ("DEBCONF_NOWARNINGS", "yes"),
            ("SYSTEMD_OFFLINE", "1"),
            // the order of hashes shows in files that scripts write
            ("PERL_HASH_SEED", "0"),
            ("PYTHONHASHSEED", "0"),
        ];
        let tool = self.chroot.tool(name);
        let tool = fixed
            .iter()
            .fold(tool, |tool, (name, value)| tool.env(name, value));
        tool.env("SOURCE_DATE_EPOCH", self.epoch.to_string())
    }

    /// Runs the script that comes before a package's files, as dpkg does for a package it does not know: from a
    /// directory with all files of the control archive. `version` is dpkg's own.
    pub fn preinst(&self, deb: &Deb, control_files: &[ControlFile], version: &str) -> Result<()> {
        self.tree.remove_all(CONTROL)?;
        self.tree.mkdir_all(CONTROL)?;
        for file in control_files {
            write_control_file(self.tree, &format!("{CONTROL}/{}", file.name), file)?;
        }
        let control = &deb.control;
        let code = self
            .tool(&format!("/{CONTROL}/preinst"))
            .arg("install")
            .env("DPKG_ROOT", "")
            .env("DPKG_ADMINDIR", "/var/lib/dpkg")
            .env("DPKG_RUNNING_VERSION", version)
            .env("DPKG_MAINTSCRIPT_PACKAGE", control.package())
            .env("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1")
            .env("DPKG_MAINTSCRIPT_ARCH", control.architecture())
            .env("DPKG_MAINTSCRIPT_NAME", "preinst")
            .env("DPKG_MAINTSCRIPT_DEBUG", "0")
            .status()?;
        self.tree.remove_all(CONTROL)?;
        if code != 0 {
            eprintln!(
                "error: {}: its preinst failed with exit code {code}; its output above says why",
                deb.label()
            );
            return Err(Exit(1).into());
        }
        Ok(())
    }

    /// Runs dpkg with `arguments`. Its failure ends the stage with its exit code, after a line that names the packages.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
        self.tree.write(STATUS, "")?;
        match self.tool("dpkg").args(OPTIONS).args(arguments).status()? {
            0 => Ok(()),
            code => {
                eprintln!("error: {}", explain(code, &self.tree.read_text(STATUS)?));
                Err(Exit(u8::try_from(code).unwrap_or(1)).into())
            }
        }
    }
}

/// What went wrong, by the lines `status: PACKAGE : error : REASON` that dpkg left.
fn explain(code: i32, status: &str) -> String {
    let failed = status.lines().filter_map(|line| {
        let (package, reason) = line.strip_prefix("status: ")?.split_once(" : error : ")?;
        let package = Path::new(package).file_name()?.to_string_lossy().into_owned();
        Some(format!("{package}: {reason}"))
    });
    let mut failed: Vec<_> = failed.collect();
    failed.dedup();
    if failed.is_empty() {
        return format!("dpkg failed with exit code {code}; its output above says why");
    }
    format!("dpkg failed with exit code {code}: {}", failed.join("; "))
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn a_failure_names_the_packages() {
        let status = "processing: configure: nginx\nstatus: nginx: half-configured\n\
            status: nginx : error : script returned error exit status 3\nstatus: /run/x/a_1_all.deb : error : bad\n";
        assert_eq!(
            explain(1, status),
            "dpkg failed with exit code 1: nginx: script returned error exit status 3; a_1_all.deb: bad"
        );
        assert!(explain(2, "").contains("output above"));
    }
}
