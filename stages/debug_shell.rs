//! Start a root shell on a terminal early in the boot, for debugging only.
//!
//! Anybody who reaches the terminal is root without a password. Writes `osbuild-debug-shell.service` to
//! `/etc/systemd/system` and links it into `sysinit.target.wants` there; both directories must be in the tree.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const DIR: &str = "etc/systemd/system";
const UNIT: &str = "osbuild-debug-shell.service";

/// Options of `org.osbuild.debug-shell`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The terminal, such as `/dev/ttyS0`.
    tty: String,
}

module::stage! { file: "debug_shell.rs", name: "org.osbuild.debug-shell", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    args.tree
        .write(format!("{DIR}/{UNIT}"), unit(&args.options.tty))?;
    Ok(args
        .tree
        .symlink(format!("../{UNIT}"), format!("{DIR}/sysinit.target.wants/{UNIT}"))?)
}

fn unit(tty: &str) -> String {
    format!(
        "
[Unit]
Description=Early root shell on {tty} FOR DEBUGGING ONLY
DefaultDependencies=no
IgnoreOnIsolate=yes
ConditionPathExists={tty}

[Service]
Environment=TERM=linux
ExecStart=/bin/sh
Restart=always
RestartSec=0
StandardInput=tty
TTYPath={tty}
TTYReset=yes
TTYVHangup=yes
KillMode=process
IgnoreSIGPIPE=no
# bash ignores SIGTERM
KillSignal=SIGHUP

# Unset locale for the console getty since the console has problems
# displaying some internationalized messages.
UnsetEnvironment=LANG LANGUAGE LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY LC_MESSAGES LC_PAPER LC_NAME \
         LC_ADDRESS LC_TELEPHONE LC_MEASUREMENT LC_IDENTIFICATION
"
    )
}
