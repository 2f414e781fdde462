//! Install systemd-boot with `bootctl install`.
//!
//! The boot loader is taken from the build root, and goes to the EFI system partition below `root`. bootctl wants that to
//! be a mounted partition: `relax-esp-checks` says that a directory will do. EFI variables are left alone.
//!
//! Unless `random-seed` is `yes` no random seed stays on the partition: it would be the same in all that boot from
//! the image, and another one in each build.

use module::{Args, Location, Result, Tool, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.bootctl.install.root`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The root of the system: a location in the tree or on a mount.
    #[schemars(extend("oneOf" = [
        {"type": "string", "pattern": "^mount://[^/]+/"},
        {"type": "string", "pattern": "^tree:///"},
    ]))]
    root: String,
    /// Where in it the EFI system partition is.
    esp_path: Option<String>,
    /// Where in it the extended boot loader partition is.
    boot_path: Option<String>,
    /// Take directories for partitions.
    #[serde(default)]
    relax_esp_checks: bool,
    /// Whether a random seed is made, which the loader hands to the kernel.
    random_seed: Option<Answer>,
    /// Whether a directory for the system's kernels is made.
    make_entry_directory: Option<Answer>,
    /// What names of boot entries begin with.
    entry_token: Option<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Token {
    Auto,
    MachineId,
    OsId,
    OsImageId,
}

/// Where bootctl(1) looks for the partition.
const PLACES: [&str; 3] = ["efi", "boot", "boot/efi"];

module::stage! {
    file: "bootctl_install_root.rs", name: "org.osbuild.bootctl.install.root", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    needs: [Anything],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let location = Location::parse(&options.root)?;
    let root = location.root(&args)?.subtree(location.path())?;
    let mut tool = Tool::new("bootctl")
        .args(["install", "--no-variables", "--root"])
        .arg(root.path())
        .args(options.arguments());
    if options.relax_esp_checks {
        tool = tool.env("SYSTEMD_RELAX_ESP_CHECKS", "1");
    }
    tool.run()?;
    match options.random_seed {
        Some(Answer::Yes) => Ok(()),
        _ => remove_seed(&root, options.esp_path.as_deref()),
    }
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let answer = |answer: Answer| match answer {
            Answer::Yes => "yes",
            Answer::No => "no",
        };
        let token = |token: Token| match token {
            Token::Auto => "auto",
            Token::MachineId => "machine-id",
            Token::OsId => "os-id",
            Token::OsImageId => "os-image-id",
        };
        [
            ("--random-seed", self.random_seed.map(answer)),
            ("--make-entry-directory", self.make_entry_directory.map(answer)),
            ("--entry-token", self.entry_token.map(token)),
            ("--esp-path", self.esp_path.as_deref()),
            ("--boot-path", self.boot_path.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.filter(|value| !value.is_empty())?)))
        .collect()
    }
}

fn remove_seed(root: &Tree, esp: Option<&str>) -> Result<()> {
    let places = match esp {
        Some(place) => vec![place.trim_start_matches('/')],
        None => PLACES.to_vec(),
    };
    for place in places {
        root.remove_all(format!("{place}/loader/random-seed"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_become_arguments() {
        let options = json!({
            "root": "tree:///", "esp-path": "/efi", "boot-path": "/boot", "random-seed": "no",
            "make-entry-directory": "yes", "entry-token": "os-id", "relax-esp-checks": true,
        });
        let options: Options = serde_json::from_value(options).unwrap();
        assert_eq!(
            options.arguments().join(" "),
            "--random-seed=no --make-entry-directory=yes --entry-token=os-id --esp-path=/efi --boot-path=/boot"
        );
    }

    #[test]
    fn systemd_boot_is_installed_without_a_seed() {
        if Tool::new("bootctl").arg("--version").output().is_err() {
            return println!("skipped: there is no bootctl");
        }
        if !std::path::Path::new("/usr/lib/systemd/boot/efi/systemd-bootx64.efi").exists() {
            return println!("skipped: there is no systemd-boot");
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in ["efi", "etc", "usr/lib"] {
            tree.mkdir_all(path).unwrap();
        }
        tree.write("usr/lib/os-release", "ID=test\n").unwrap();
        let options = json!({"root": "tree:///", "esp-path": "/efi", "relax-esp-checks": true});
        (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap();
        assert!(tree.is_file("efi/EFI/systemd/systemd-bootx64.efi"));
        assert!(tree.is_file("efi/EFI/BOOT/BOOTX64.EFI"));
        assert!(!tree.exists("efi/loader/random-seed"));
    }
}
