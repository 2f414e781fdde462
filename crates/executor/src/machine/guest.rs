//! The other side: carries out, in the machine, what the host asks for.

use std::fs::File;
use std::path::Path;

use sandbox::{Ended, Plan, UserNamespace};
use serde::Deserialize;
use serde_json::{Value, json};
use vm::message::{self, Kind};

use crate::pump::{pump, wait_until};
use crate::services::{Beside, SandboxApi};
use crate::stage::memory_file;
use crate::{Error, Result};

/// A file system in memory that every machine has.
const MEMORY: &str = "/dev/osbuild";

/// What the host asks for.
#[derive(Deserialize)]
struct Request {
    plan: Plan,
    /// What the module reads.
    stdin: Option<String>,
    /// Whether the module expects the sockets of the Python osbuild's protocol.
    foreign: bool,
}

/// The life of the first process of a machine.
///
/// # Errors
/// It is no such process, or the channel to the host fails.
pub fn run_guest() -> std::io::Result<()> {
    let mut channel = vm::guest::enter()?;
    while let Some((_, request)) = message::receive(&mut channel)? {
        let answer = answer(&request, &mut channel);
        // the host reads what was changed, and takes back what it lent
        rustix::fs::sync();
        let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
        message::send(&mut channel, Kind::Answer, answer.to_string().as_bytes())?;
    }
    vm::guest::power_off();
    Ok(())
}

fn answer(request: &[u8], channel: &mut File) -> Value {
    let done = serde_json::from_slice(request)
        .map_err(|e| e.to_string())
        .and_then(|request| carry_out(request, channel).map_err(|e| e.to_string()));
    match done {
        Ok((Ended::Exited(code), exception)) => json!({"exited": code, "exception": exception}),
        Ok((Ended::Killed(signal), exception)) => json!({"killed": signal, "exception": exception}),
        Err(error) => json!({"error": error}),
    }
}

fn carry_out(request: Request, channel: &mut File) -> Result<(Ended, Option<Value>)> {
    let users = UserNamespace::of_host();
    let mut plan = request.plan;
    if let Some(text) = request.stdin {
        plan.command.stdin = Some(memory_file(text.as_bytes())?);
    }
    // what the stage before had
    let _ = std::fs::remove_dir_all(MEMORY);
    let mut api = match request.foreign {
        true => Some(SandboxApi::new(Path::new(MEMORY), users.root_id())?),
        false => None,
    };
    plan.mounts.extend(api.iter().flat_map(SandboxApi::mounts));
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Error::io("make", "a pipe", e))?;
    let running = sandbox::start(plan, &users, write)?;
    let mut beside: Vec<&mut dyn Beside> = Vec::new();
    if let Some(api) = &mut api {
        beside.push(api);
    }
    pump(read, None, &mut beside, |bytes| {
        // a host that is gone is noticed by the answer
        let _ = message::send(channel, Kind::Output, bytes);
    });
    wait_until(running.ended(), None, &mut beside);
    let ended = running.wait()?;
    Ok((ended, api.and_then(SandboxApi::finish)))
}
