//! virtiofsd: serves a directory to the guest.
//!
//! There are two programs of that name: the one in Rust, and the older one in C that came with QEMU up to 7.2. They take the
//! same settings by different options. Whatever an overlay keeps for itself lies in `trusted` attributes, for which
//! virtiofsd must keep `CAP_SYS_ADMIN`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::process::{self, Process};
use crate::{Error, Result};

const PLACES: [&str; 4] = ["/usr/libexec", "/usr/lib/virtiofsd", "/usr/lib", "/usr/lib/qemu"];

/// Serves `dir`: the program, and the socket by which QEMU talks to it. What it says goes to the file `said`.
///
/// # Errors
/// There is no virtiofsd, or it cannot be started.
pub(crate) fn serve(dir: &Path, said: &Path) -> Result<(Process, OwnedFd)> {
    let program = process::find(&["virtiofsd"], &PLACES).ok_or(Error::Missing {
        program: "virtiofsd".to_owned(),
        package: "virtiofsd (on Debian 12 it is in qemu-system-common)",
    })?;
    let (listening, connected) = sockets().map_err(|e| Error::io("connect to", "virtiofsd", e))?;
    let help = Command::new(&program).arg("--help").output();
    let help = help.map_err(|e| Error::io("run", &program, e))?;
    let is_rust = String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("--shared-dir");
    let mut command = Command::new(&program);
    command.arg(format!("--fd={}", listening.as_raw_fd()));
    if is_rust {
        command.arg("--shared-dir").arg(dir);
        command.args(["--sandbox=chroot", "--cache=auto", "--xattr"]);
        command.args(["--modcaps=+sys_admin", "--log-level=error"]);
    } else {
        let source = dir.display().to_string().replace(',', "\\,");
        command.arg("-f").arg("-o").arg(format!(
            "source={source},sandbox=chroot,cache=auto,xattr,modcaps=+sys_admin,log_level=err"
        ));
    }
    let process = Process::start(command, &[listening], said)?;
    Ok((process, connected))
}

/// A socket that listens, and one that is connected to it. Nobody else can be: the first one is taken, and no other.
fn sockets() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let make = || {
        rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
    };
    let (listening, connected) = (make()?, make()?);
    // without a name the kernel gives it one that is no file
    rustix::net::bind(&listening, &SocketAddrUnix::new_unnamed())?;
    rustix::net::listen(&listening, 1)?;
    rustix::net::connect(&connected, &rustix::net::getsockname(&listening)?)?;
    Ok((listening, connected))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sockets_are_connected() {
        let (listening, connected) = super::sockets().unwrap();
        let other = rustix::net::accept(&listening).unwrap();
        rustix::io::write(&connected, b"x").unwrap();
        assert_eq!(rustix::io::read(&other, &mut [0u8; 2][..]).unwrap(), 1);
    }
}
