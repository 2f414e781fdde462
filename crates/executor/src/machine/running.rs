//! A box that runs: here, or in a machine.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use sandbox::{Ended, Guard, Killer};
use serde_json::Value;

use crate::{Error, Result};

/// A box with its module running in it.
pub(crate) enum Running {
    Here(sandbox::Running),
    There(There),
}

/// One in a machine: a thread of ours talks with it.
pub(crate) struct There {
    pipeline: String,
    machine: Arc<vm::Machine>,
    killer: Killer,
    /// Readable once the thread is through.
    ended: OwnedFd,
    answer: JoinHandle<vm::Result<Vec<u8>>>,
}

impl Running {
    pub(super) fn in_machine(
        pipeline: &str,
        machine: Arc<vm::Machine>,
        request: String,
        output: OwnedFd,
    ) -> Result<Self> {
        let (ended, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|e| Error::io("make", "a pipe", e))?;
        let killer = machine.killer();
        let mut output = File::from(output);
        let other = Arc::clone(&machine);
        let talk = move || {
            // both ends are closed when this is done, in this order
            let _end = end;
            other.request(request.as_bytes(), &mut |bytes| {
                let _ = output.write_all(bytes);
            })
        };
        let answer = std::thread::Builder::new().spawn(talk);
        Ok(Self::There(There {
            pipeline: pipeline.to_owned(),
            machine,
            killer,
            ended,
            answer: answer.map_err(|e| Error::io("start", "a thread", e))?,
        }))
    }

    /// A handle that kills it from elsewhere; what runs in a machine is killed with the machine.
    pub(crate) fn killer(&self) -> Killer {
        match self {
            Self::Here(running) => running.killer(),
            Self::There(running) => running.killer.clone(),
        }
    }

    /// A descriptor that becomes readable when it has ended.
    pub(crate) fn ended(&self) -> BorrowedFd<'_> {
        match self {
            Self::Here(running) => running.ended(),
            Self::There(running) => running.ended.as_fd(),
        }
    }

    /// Waits for the end: how it was, and what a foreign module in a machine reported as an exception. Adds to `missing`
    /// what the box's boundary lacked.
    ///
    /// # Errors
    /// The box could not be made, or the machine was lost.
    pub(crate) fn wait(self, missing: &mut Vec<Guard>) -> (Result<Ended>, Option<Value>) {
        match self {
            Self::Here(running) => (running.wait_noting(missing).map_err(Error::from), None),
            Self::There(running) => running.wait(),
        }
    }
}

impl There {
    fn wait(self) -> (Result<Ended>, Option<Value>) {
        let joined = self.answer.join();
        let failed = |message: String| Error::Machine {
            pipeline: self.pipeline,
            message,
        };
        let taken_back = self.machine.take_back();
        let answer = match joined {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let answer = answer
            .and_then(|text| taken_back.map(|()| text))
            .map_err(|e| e.to_string())
            .and_then(|text| serde_json::from_slice::<Value>(&text).map_err(|e| e.to_string()));
        match answer {
            Err(message) => (Err(failed(message)), None),
            Ok(mut answer) => {
                let exception = Some(answer["exception"].take()).filter(|value| !value.is_null());
                (ended(&answer).map_err(failed), exception)
            }
        }
    }
}

/// What an answer says of the end.
fn ended(answer: &Value) -> std::result::Result<Ended, String> {
    let number = |key: &str| answer[key].as_i64().and_then(|number| i32::try_from(number).ok());
    match (number("exited"), number("killed"), answer["error"].as_str()) {
        (Some(code), _, _) => Ok(Ended::Exited(code)),
        (_, Some(signal), _) => Ok(Ended::Killed(signal)),
        (_, _, Some(error)) => Err(error.to_owned()),
        _ => Err(format!("its answer cannot be understood: {answer}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_end_is_told_apart() {
        assert_eq!(ended(&json!({"exited": 3})), Ok(Ended::Exited(3)));
        assert_eq!(ended(&json!({"killed": 9})), Ok(Ended::Killed(9)));
        assert_eq!(ended(&json!({"error": "no"})), Err("no".to_owned()));
        assert!(ended(&json!({})).is_err());
    }
}
