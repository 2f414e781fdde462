//! Set the kernel's command line.
//!
//! Writes `/etc/kernel/cmdline`, from which kernel-install and its friends make boot entries: `root=UUID=…`, where
//! `root_fs_uuid` is given, then `kernel_opts`. No newline at the end.

use module::{Args, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.kernel-cmdline`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The UUID of the root file system: an ordinary one or the eight digits of a FAT volume.
    #[schemars(extend("oneOf" = [
        {"pattern": "^[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}$"},
        {"pattern": "^[0-9A-Za-z]{4}-[0-9A-Za-z]{4}$"},
    ]))]
    root_fs_uuid: Option<String>,
    /// Further parameters, separated by spaces.
    #[serde(default)]
    kernel_opts: String,
    /// The longest command line the kernel takes, in bytes; the default is that of the architecture.
    #[schemars(range(min = 256, max = 4096))]
    kernel_cmdline_size: Option<u32>,
}

module::stage! { file: "kernel_cmdline.rs", name: "org.osbuild.kernel-cmdline", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let root = options
        .root_fs_uuid
        .as_deref()
        .filter(|uuid| !uuid.is_empty())
        .map(|uuid| format!("root=UUID={uuid}"));
    let opts = Some(options.kernel_opts.as_str()).filter(|opts| !opts.is_empty());
    let line = root
        .as_deref()
        .into_iter()
        .chain(opts)
        .collect::<Vec<_>>()
        .join(" ");
    let limit = options
        .kernel_cmdline_size
        .map_or_else(default_limit, |limit| limit as usize);
    ensure!(
        line.len() <= limit,
        "the kernel command line has {} bytes and the kernel takes {limit}: shorten `kernel_opts`, or raise \
         `kernel_cmdline_size` if the kernel is built for more",
        line.len()
    );
    args.tree.mkdir_all("etc/kernel")?;
    args.tree.write("etc/kernel/cmdline", line)?;
    Ok(())
}

/// `COMMAND_LINE_SIZE` of the architecture (asm/setup.h).
fn default_limit() -> usize {
    match std::env::consts::ARCH {
        "x86_64" | "x86" | "aarch64" | "powerpc" | "powerpc64" => 2048,
        "arm" | "riscv32" | "riscv64" => 1024,
        _ => 4096,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(options: serde_json::Value) -> Result<String> {
        let dir = tempfile::tempdir()?;
        (MODULE.run)(serde_json::json!({"tree": dir.path(), "options": options}))?;
        Ok(std::fs::read_to_string(dir.path().join("etc/kernel/cmdline"))?)
    }

    #[test]
    fn the_root_alone_has_no_space_after_it() {
        let line = write(serde_json::json!({"root_fs_uuid": "ABCD-1234"})).unwrap();
        assert_eq!(line, "root=UUID=ABCD-1234");
    }

    #[test]
    fn the_limit_itself_fits() {
        let opts =
            |length| serde_json::json!({"kernel_opts": "x".repeat(length), "kernel_cmdline_size": 256});
        assert!(write(opts(256)).is_ok());
        assert!(write(opts(257)).is_err());
    }
}
