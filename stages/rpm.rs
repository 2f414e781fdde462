//! Install RPM packages.
//!
//! Verifies and installs the packages of the input `packages` with the rpm of the build root, in one transaction and
//! without network. Format 1 names them in the option `packages` instead. Keys in `gpgkeys` are imported into the
//! tree's database first; the signature of each package whose reference says so (`rpm.check_gpg`) is checked with them.
//! Package scripts run in the tree with `/dev`, `/proc` and `/sys`.
//!
//! Where the rpm of the build root keeps its database in a home directory, as Debian's does, the database of the tree
//! is the one that is there, or `/usr/lib/sysimage/rpm`; the option `dbpath` overrides that. rpm takes the time of the
//! pipeline's source-epoch for the time of installation (without one: that of the newest package).
//!
//! Metadata: `{"packages": [{"name", "version", "release", "epoch", "arch", …}]}`, all packages of the tree.

mod query;
mod surroundings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use module::{Args, Chroot, Context, Input, Result, Tool, Tree, options_schema};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use surroundings::Surroundings;

/// Options of `org.osbuild.rpm` in format 1; those of format 2 alone are read as well.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct Options {
    /// The packages, by checksum. The manifest loader makes the input of them.
    #[allow(dead_code)]
    packages: Option<Vec<Reference>>,
    #[serde(flatten)]
    common: Common,
    #[serde(flatten)]
    #[schemars(skip)]
    newer: Newer,
}

/// Options of both formats.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Common {
    /// Where the tree keeps its package database.
    dbpath: Option<String>,
    /// Texts of keys to import before packages are verified.
    gpgkeys: Vec<String>,
    /// Paths of keys in the tree to import after the installation.
    #[serde(rename = "gpgkeys.fromtree")]
    gpgkeys_fromtree: Vec<String>,
    /// Keep the installation of a kernel from making an initramfs.
    disable_dracut: bool,
    /// What not to install.
    exclude: Exclude,
    /// Install although dependencies are missing.
    nodeps: bool,
    /// Let package scripts believe that the system was booted by ostree.
    ostree_booted: bool,
}

/// Options of format 2 alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Newer {
    /// How keys are imported.
    rpmkeys: Rpmkeys,
    /// The languages whose files are installed; all without this option.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    install_langs: Option<Vec<String>>,
    /// Install packages of other architectures.
    ignorearch: bool,
    /// More environment variables for package scripts.
    generic_env: BTreeMap<String, String>,
    /// Settings of kernel-install(8).
    kernel_install_env: KernelInstall,
}

/// What not to install.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Exclude {
    /// Documentation.
    docs: bool,
}

/// How keys are imported.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rpmkeys {
    /// The program.
    bin_path: String,
    /// Go on when a key cannot be imported.
    ignore_import_failures: bool,
}

impl Default for Rpmkeys {
    fn default() -> Self {
        Self {
            bin_path: "rpmkeys".into(),
            ignore_import_failures: false,
        }
    }
}

/// Settings of kernel-install(8), as environment variables.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct KernelInstall {
    /// Where kernels are installed (`BOOT_ROOT`).
    #[schemars(extend("pattern" = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    boot_root: Option<String>,
    /// Where its configuration is (`KERNEL_INSTALL_CONF_ROOT`).
    #[schemars(extend("pattern" = r"^\/?(?!\.\.)((?!\/\.\.\/).)+$"))]
    conf_root: Option<String>,
    /// Which plug-ins run (`KERNEL_INSTALL_PLUGINS`).
    plugins: Option<String>,
    /// The machine id in names of kernels (`MACHINE_ID`).
    #[schemars(extend("pattern" = "^[a-f0-9]{32}$"))]
    machine_id: Option<String>,
}

/// A package of format 1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("oneOf" = [
    {"type": "string"},
    {
        "type": "object", "additionalProperties": false, "required": ["checksum"],
        "properties": {"checksum": {"type": "string"}, "check_gpg": {"type": "boolean", "default": false}},
    },
]), transform = without_any_of)]
#[allow(dead_code)]
enum Reference {
    Checksum(String),
    Checked {
        checksum: String,
        check_gpg: Option<bool>,
    },
}

fn without_any_of(schema: &mut schemars::Schema) {
    schema.remove("anyOf");
}

/// The options of format 2, for their schema.
#[derive(JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
#[allow(dead_code)]
struct Options2 {
    #[serde(flatten)]
    common: Common,
    #[serde(flatten)]
    newer: Newer,
}

module::stage! {
    file: "rpm.rs", name: "org.osbuild.rpm", options: Options, run: run,
    takes: {
        "options": options_schema::<Options2>(),
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["packages"],
            "properties": {"packages": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything],
    libraries: [include_str!("rpm/query.rs"), include_str!("rpm/surroundings.rs")],
}

/// rpm and its helpers, told where the tree and its database are.
#[derive(Debug)]
struct Rpm {
    tree: PathBuf,
    dbpath: Option<String>,
    epoch: Option<i64>,
}

impl Rpm {
    /// The program `name` with the arguments that every call has.
    fn tool(&self, name: &str) -> Tool {
        let mut tool = Tool::new(name);
        if let Some(dbpath) = &self.dbpath {
            tool = tool.args(["--dbpath", dbpath]);
        }
        if let Some(epoch) = self.epoch {
            tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
        }
        tool.arg("--root").arg(&self.tree)
    }
}

fn run(args: Args<Options>) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let Options { common, newer, .. } = &args.options;
    let packages = args.input("packages")?;
    let mut rpm = Rpm {
        tree: args.tree.path().to_owned(),
        dbpath: query::dbpath(&args.tree, common.dbpath.as_deref())?,
        epoch: args.meta.source_epoch,
    };
    for key in &common.gpgkeys {
        import(&rpm, &newer.rpmkeys, key.as_bytes())?;
    }
    check_signatures(&rpm, &newer.rpmkeys, packages)?;

    let surroundings = Surroundings::prepare(&args.tree, common.disable_dracut, common.ostree_booted)?;
    let _chroot = Chroot::with_kernel_only(&args.tree)?;
    // what was opened before does not see the new mounts
    let tree = Tree::open(args.tree.path())?;
    let list = list(packages)?;
    if rpm.epoch.is_none() {
        rpm.epoch = query::newest(&rpm, packages, list.path())?;
    }
    install(&rpm, &args.options, packages, list.path())?;
    for path in &common.gpgkeys_fromtree {
        let key = tree
            .read(path)
            .with_context(|| format!("cannot read the key {path}"))?;
        import(&rpm, &newer.rpmkeys, &key)?;
    }
    surroundings.restore(&tree, |path| query::is_owned(&rpm, path))?;
    let metadata = query::metadata(&rpm)?;
    query::settle(&rpm, &tree)?;
    args.set_metadata(&metadata)
}

/// Imports the keys in `files` into the tree's database, one after another.
pub(crate) fn import_files(tree: &Tree, epoch: Option<i64>, files: &[PathBuf]) -> Result<()> {
    let rpm = Rpm {
        tree: tree.path().to_owned(),
        dbpath: query::dbpath(tree, None)?,
        epoch,
    };
    for file in files {
        let tool = rpm.tool("rpmkeys").args(["--verbose", "--import"]);
        tool.arg(file).run().context("cannot import a key")?;
    }
    query::settle(&rpm, tree)
}

/// Imports a key into the tree's database.
fn import(rpm: &Rpm, rpmkeys: &Rpmkeys, key: &[u8]) -> Result<()> {
    let file = temporary(key)?;
    match rpm.tool(&rpmkeys.bin_path).arg("--import").arg(file.path()).run() {
        Err(error) if rpmkeys.ignore_import_failures => println!("ignored: {error:#}"),
        other => other.context("cannot import a key")?,
    }
    Ok(())
}

/// Checks the signatures of the packages for which the manifest wants it.
fn check_signatures(rpm: &Rpm, rpmkeys: &Rpmkeys, packages: &Input) -> Result<()> {
    let files = packages.files();
    let wanted = |metadata: &Value| {
        let keys = [
            metadata.pointer("/metadata/rpm.check_gpg"),
            metadata.get("rpm.check_gpg"),
        ];
        keys.into_iter()
            .flatten()
            .any(|value| value == &Value::Bool(true))
    };
    let checked = files.iter().filter(|file| wanted(&file.metadata));
    let checked: Vec<_> = checked.map(|file| file.name.as_str()).collect();
    if checked.is_empty() {
        return Ok(());
    }
    let tool = rpm.tool(&rpmkeys.bin_path).arg("--checksig").args(&checked);
    let result = tool.dir(&packages.path).run();
    result.context("packages are not signed as the manifest demands")?;
    // rpmkeys is content with a package that has no signature
    for name in query::unsigned(rpm, packages, &checked)? {
        println!("warning: {name} has no signature, although the manifest wants it checked");
    }
    Ok(())
}

/// The names of the packages as rpm reads them from a file: any number fits.
fn list(packages: &Input) -> Result<tempfile::NamedTempFile> {
    let names = packages.files().into_iter().map(|file| file.name + "\n");
    temporary(names.collect::<String>().as_bytes())
}

/// Installs the packages in `list` in one transaction.
fn install(rpm: &Rpm, options: &Options, packages: &Input, list: &Path) -> Result<()> {
    let Options { common, newer, .. } = options;
    let mut tool = rpm.tool("rpm").arg("--verbose");
    if common.exclude.docs {
        tool = tool.arg("--excludedocs");
    }
    if common.nodeps {
        tool = tool.arg("--nodeps");
    }
    if let Some(languages) = &newer.install_langs {
        tool = tool
            .arg("--define")
            .arg(format!("%_install_langs {}", languages.join(":")));
    }
    if newer.ignorearch {
        tool = tool.arg("--ignorearch");
    }
    for (name, value) in &newer.generic_env {
        tool = tool.env(name, value);
    }
    let kernel = &newer.kernel_install_env;
    for (name, value) in [
        ("BOOT_ROOT", &kernel.boot_root),
        ("KERNEL_INSTALL_CONF_ROOT", &kernel.conf_root),
        ("KERNEL_INSTALL_PLUGINS", &kernel.plugins),
        ("MACHINE_ID", &kernel.machine_id),
    ] {
        if let Some(value) = value {
            tool = tool.env(name, value);
        }
    }
    // digests were checked when the files were fetched, signatures above
    tool.args(["--nosignature", "--install"])
        .arg(list)
        .dir(&packages.path)
        .run()
}

/// A temporary file that holds `content`.
fn temporary(content: &[u8]) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    std::fs::write(file.path(), content)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
