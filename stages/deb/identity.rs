//! What must differ from machine to machine is not part of an image: machine id, ssh host keys, self-signed keys.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use module::{Result, Tree};
use tree::Kind;

const MACHINE_ID: &str = "etc/machine-id";
const DBUS_ID: &str = "var/lib/dbus/machine-id";
/// What scripts see meanwhile: every build the same.
const NEUTRAL_ID: &str = "ffffffffffffffffffffffffffffffff\n";

const SNAKEOIL: [&str; 2] = [
    "etc/ssl/certs/ssl-cert-snakeoil.pem",
    "etc/ssl/private/ssl-cert-snakeoil.key",
];

/// A tree's identity before packages were installed.
#[derive(Debug)]
pub struct Identity {
    machine_id: Option<Vec<u8>>,
    dbus_id: bool,
    ssh_keys: BTreeSet<OsString>,
    snakeoil: bool,
}

/// A service that makes what was left out, on the first boot.
struct FirstBoot {
    name: &'static str,
    what: &'static str,
    command: &'static str,
    /// Lines of its section `[Unit]`: when, and before what, it runs.
    unit: &'static str,
    wanted_by: &'static str,
}

impl Identity {
    /// Notes what is there and puts a neutral machine id in its place.
    pub fn hide(tree: &Tree) -> Result<Self> {
        let identity = Self {
            machine_id: tree
                .exists(MACHINE_ID)
                .then(|| tree.read(MACHINE_ID))
                .transpose()?,
            dbus_id: tree.exists(DBUS_ID),
            ssh_keys: ssh_keys(tree)?,
            snakeoil: tree.exists(SNAKEOIL[1]),
        };
        tree.mkdir_all("etc")?;
        tree.write(MACHINE_ID, NEUTRAL_ID)?;
        Ok(identity)
    }

    /// Puts back the machine id and takes away the keys that packages have made. The first boot makes its own.
    pub fn restore(&self, tree: &Tree) -> Result<()> {
        match &self.machine_id {
            Some(id) => tree.write(MACHINE_ID, id)?,
            // an empty one is filled at boot and, unlike a missing one, does not make systemd apply its presets, which
            // would undo what later stages enable and disable
            None if tree.exists("usr/lib/systemd/systemd") => {
                tree.write(MACHINE_ID, "")?;
                tree.chmod(MACHINE_ID, 0o444)?;
            }
            None => tree.remove_file(MACHINE_ID)?,
        }
        if !self.dbus_id && tree.stat(DBUS_ID)?.is_some_and(|st| st.kind == Kind::File) {
            tree.remove_file(DBUS_ID)?;
        }
        self.remove_ssh_keys(tree)?;
        self.remove_snakeoil(tree)
    }

    fn remove_ssh_keys(&self, tree: &Tree) -> Result<()> {
        let new: Vec<_> = ssh_keys(tree)?.difference(&self.ssh_keys).cloned().collect();
        for name in &new {
            tree.remove_file(Path::new("etc/ssh").join(name))?;
        }
        let service = FirstBoot {
            name: "osbuild-ssh-host-keys.service",
            what: "Make the ssh host keys that are missing",
            command: "/usr/bin/ssh-keygen -A",
            unit: "ConditionPathIsReadWrite=/etc/ssh\nBefore=ssh.service",
            wanted_by: "ssh.service",
        };
        if new.is_empty() {
            Ok(())
        } else {
            service.install(tree)
        }
    }

    fn remove_snakeoil(&self, tree: &Tree) -> Result<()> {
        if self.snakeoil || !tree.exists(SNAKEOIL[1]) {
            return Ok(());
        }
        for name in tree.list("etc/ssl/certs")? {
            let path = Path::new("etc/ssl/certs").join(name);
            let link = tree.stat(&path)?.is_some_and(|st| st.kind == Kind::Symlink);
            if link && tree.read_link(&path)?.ends_with("ssl-cert-snakeoil.pem") {
                tree.remove_file(&path)?;
            }
        }
        for path in SNAKEOIL {
            tree.remove_all(path)?;
        }
        let service = FirstBoot {
            name: "osbuild-ssl-cert-snakeoil.service",
            what: "Make the self-signed certificate of the package ssl-cert",
            command: "/usr/sbin/make-ssl-cert generate-default-snakeoil --force-overwrite",
            // any server may want it: early
            unit: "ConditionPathExists=!/etc/ssl/private/ssl-cert-snakeoil.key\nDefaultDependencies=no\n\
                After=local-fs.target\nBefore=sysinit.target shutdown.target\nConflicts=shutdown.target",
            wanted_by: "sysinit.target",
        };
        service.install(tree)
    }
}

impl FirstBoot {
    fn install(&self, tree: &Tree) -> Result<()> {
        let Self {
            name,
            what,
            command,
            unit,
            wanted_by,
        } = self;
        let text = format!(
            "[Unit]\nDescription={what}\n{unit}\n\n\
             [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={command}\n\n\
             [Install]\nWantedBy={wanted_by}\n"
        );
        let folder = format!("etc/systemd/system/{wanted_by}.wants");
        let link = format!("{folder}/{name}");
        tree.mkdir_all(&folder)?;
        tree.write(format!("etc/systemd/system/{name}"), text)?;
        tree.remove_all(&link)?;
        Ok(tree.symlink(format!("/etc/systemd/system/{name}"), link)?)
    }
}

fn ssh_keys(tree: &Tree) -> Result<BTreeSet<OsString>> {
    if !tree.is_dir("etc/ssh") {
        return Ok(BTreeSet::new());
    }
    let is_key = |name: &OsString| name.to_string_lossy().starts_with("ssh_host_");
    Ok(tree.list("etc/ssh")?.into_iter().filter(is_key).collect())
}
