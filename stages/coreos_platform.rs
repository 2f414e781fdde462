//! Tell a CoreOS image which platform it is for.
//!
//! Appends `ignition.platform.id=PLATFORM` to the kernel arguments of the boot entries below the root of the mounts.
//! Where `/usr/share/coreos-assembler/platforms.json` is there, it is copied to `/boot/coreos`, and what it says of the
//! platform is used: further kernel arguments, and GRUB's commands for the console, in `/boot/grub2/console.cfg`.

use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common;

const CONSOLE: &str = "boot/grub2/console.cfg";
const PLATFORMS: &str = "usr/share/coreos-assembler/platforms.json";
const COPY: &str = "boot/coreos/platforms.json";

/// Options of `org.osbuild.coreos.platform`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The platform, such as `metal` or `qemu`.
    platform: Option<String>,
}

/// What `platforms.json` says of a platform.
#[derive(Debug, Default, Deserialize)]
struct Platform {
    #[serde(default)]
    grub_commands: Vec<String>,
    #[serde(default)]
    kernel_arguments: Vec<String>,
}

module::stage! {
    file: "coreos_platform.rs", name: "org.osbuild.coreos.platform", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let root = Tree::open(&args.mounts_root)?;
    let name = args.options.platform.as_deref();
    let known = platform(&root, name)?;
    let mut arguments: Vec<String> = name
        .map(|name| format!("ignition.platform.id={name}"))
        .into_iter()
        .collect();
    arguments.extend(known.kernel_arguments);
    if root.is_dir("boot/grub2") {
        root.write(CONSOLE, console(&known.grub_commands))?;
    }
    common::append_kernel_arguments(&root, "boot", &arguments)
}

/// What is known of the platform; the file that says it is copied.
fn platform(root: &Tree, name: Option<&str>) -> Result<Platform> {
    let Some(stat) = root.stat_followed(PLATFORMS)? else {
        return Ok(Platform::default());
    };
    let text = root.read(PLATFORMS)?;
    root.mkdir_all("boot/coreos")?;
    root.write(COPY, &text)?;
    root.chmod(COPY, stat.mode)?;
    let mut platforms: Value = serde_json::from_slice(&text).with_context(|| format!("/{PLATFORMS}"))?;
    let known = name.and_then(|name| platforms.get_mut(name)).map(Value::take);
    known.map_or_else(
        || Ok(Platform::default()),
        |known| serde_json::from_value(known).with_context(|| format!("/{PLATFORMS}")),
    )
}

/// The file that grub.cfg reads; the tool that changes it later looks for the marks.
fn console(commands: &[String]) -> String {
    format!(
        "# Any non-default console settings will be inserted here.\n# CONSOLE-SETTINGS-START\n{}\n\
         # CONSOLE-SETTINGS-END\n",
        commands.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_known_of_the_platform_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let root = Tree::open(dir.path()).unwrap();
        for path in ["boot/grub2", "boot/loader/entries", "usr/share/coreos-assembler"] {
            root.mkdir_all(path).unwrap();
        }
        root.write("boot/loader/entries/a.conf", "options ro\n").unwrap();
        let platforms =
            r#"{"qemu": {"grub_commands": ["serial", "terminal"], "kernel_arguments": ["console=ttyS0"]}}"#;
        root.write(PLATFORMS, platforms).unwrap();
        let paths = json!({"mounts": dir.path()});
        (MODULE.run)(json!({"tree": dir.path(), "paths": paths, "options": {"platform": "qemu"}})).unwrap();
        let text = |path: &str| root.read_text(path).unwrap();
        assert_eq!(text(COPY), platforms);
        assert_eq!(
            text("boot/loader/entries/a.conf"),
            "options ro ignition.platform.id=qemu console=ttyS0\n"
        );
        assert!(text(CONSOLE).contains("START\nserial\nterminal\n# CONSOLE"));
    }
}
