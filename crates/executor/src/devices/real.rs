//! Devices of the kernel: loop devices, nodes, the device mapper.

use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, makedev};
use sandbox::{LoopDevice, LoopOptions};
use serde_json::Value;

use super::own::Lasting;
use super::{Held, Opened};

/// A loop device that is given back.
pub(super) struct Loop(LoopDevice);

impl Loop {
    pub(super) fn bind(file: BorrowedFd<'_>, options: &LoopOptions) -> Result<Self, String> {
        LoopDevice::bind(file, options).map(Self).map_err(|e| {
            format!(
                "{}: a loop device is needed here, for a module that is not ours or a file system that only the kernel \
                 can mount",
                with_cause(&e)
            )
        })
    }

    pub(super) fn name(&self) -> String {
        self.0.name()
    }

    pub(super) fn number(&self) -> (u32, u32) {
        self.0.number()
    }
}

impl Held for Loop {
    fn release(self: Box<Self>) -> Result<(), String> {
        self.0.close().map_err(|e| with_cause(&e))
    }
}

fn with_cause(error: &sandbox::Error) -> String {
    use std::error::Error;
    match error.source() {
        Some(cause) if !error.to_string().contains(&cause.to_string()) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

/// Makes the node of a block device below `dev`, with the directories on the way.
pub(super) fn make_node(dev: &Path, name: &str, (major, minor): (u32, u32)) -> Result<(), String> {
    let path = dev.join(name);
    let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let mode = Mode::from_raw_mode(0o600);
    let make = || rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, mode, makedev(major, minor));
    let made = parent.and_then(|()| match make() {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => Ok(other?),
    });
    made.map_err(|e| format!("cannot make the node {}: {e}", path.display()))
}

/// The number of a loop device's partition, where the kernel knows it.
pub(super) fn partition_of(device: &str, partition: &str) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string(format!("/sys/class/block/{device}/{partition}/dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Refuses what needs the device mapper on a kernel that has none.
pub(super) fn device_mapper(what: &str) -> Result<(), String> {
    let misc = std::fs::read_to_string("/proc/misc").unwrap_or_default();
    let known = |line: &str| line.split_whitespace().nth(1) == Some("device-mapper");
    if misc.lines().any(known) || Path::new("/dev/mapper/control").exists() {
        return Ok(());
    }
    Err(format!(
        "{what} needs the kernel's device mapper, which is not here: run as root on a machine with the module dm_mod"
    ))
}

/// A device that was opened. Where it cannot be told what it is, it is given back.
pub(super) fn opened<H: Held + 'static>(
    held: H,
    argument: impl FnOnce(&H) -> Result<Value, String>,
) -> Result<Opened, String> {
    let held = Box::new(held);
    match argument(&held) {
        Ok(argument) => Ok(Opened {
            argument: argument.as_object().cloned().unwrap_or_default(),
            held: vec![held],
        }),
        Err(message) => {
            // what failed first says more
            let _ = held.release();
            Err(message)
        }
    }
}

/// Runs a tool of the host, which opens a device or gives it back, to its end; what it prints, or what it said as it
/// failed. Ctrl-C is not for it: what it has begun it does whole.
pub(super) fn tool(_: &Lasting, name: &str, args: &[&str], input: Option<&str>) -> Result<String, String> {
    use std::io::Write;
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => format!("`{name}` is not installed on this machine"),
        _ => format!("cannot run `{name}`: {e}"),
    };
    let mut command = Command::new(name);
    command
        .args(args)
        .env("LC_ALL", "C")
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.stdin(if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let mut child = command.spawn().map_err(failed)?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // one that did not read it says why
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(format!("`{name}` failed with {}: {said}", output.status))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use serde_json::json;

    use super::super::own::any_lasts;
    use super::*;

    struct Noted(Lasting, Rc<Cell<bool>>);

    impl Held for Noted {
        fn release(self: Box<Self>) -> Result<(), String> {
            self.1.set(any_lasts());
            Ok(())
        }
    }

    #[test]
    fn a_device_is_given_back_also_where_opening_it_fails() {
        let released = Rc::default();
        let begin = || Noted(Lasting::begin().unwrap(), Rc::clone(&released));
        let failed = opened(begin(), |_| Err("no number".into()));
        assert_eq!(failed.err().unwrap(), "no number");
        assert!(released.take() && !any_lasts());

        // a tool has a process group of its own; not to read what it is given is no failure
        let groups = |held: &Noted| {
            let script = "exec <&-; read _ _ _ _ group _ < /proc/$$/stat; echo $$ $group";
            let printed = tool(&held.0, "sh", &["-c", script], Some(&"x".repeat(1 << 20)))?;
            let (own, group) = printed.split_once(' ').unwrap();
            Ok(json!({"own": own, "group": group}))
        };
        let mut opened = opened(begin(), groups).unwrap();
        assert_eq!(opened.argument["own"], opened.argument["group"]);
        assert!(any_lasts() && !released.get());
        opened.held.pop().unwrap().release().unwrap();
        assert!(released.get() && !any_lasts());
    }
}
