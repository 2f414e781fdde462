//! Deploy an OSTree commit.
//!
//! The commit is that of the input `commits`, which is first taken over into the tree's `/ostree/repo`, or `ref` of that
//! repository. `mounts` are paths of the tree that stand for file systems of their own.

use module::{Args, Context, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot::{self, Binds, Rootfs};

/// Options of `org.osbuild.ostree.deploy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Paths that are file systems of their own.
    #[serde(default)]
    mounts: Vec<String>,
    /// The operating system's name.
    osname: String,
    /// Kernel arguments.
    #[serde(default)]
    kernel_opts: Vec<String>,
    /// The ref to deploy, where there is no input.
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// The remote whose ref it is.
    remote: Option<String>,
    /// The root file system.
    rootfs: Option<Rootfs>,
}

module::stage! {
    file: "ostree_deploy.rs", name: "org.osbuild.ostree.deploy", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["commits"],
            "properties": {"commits": {"type": "object", "additionalProperties": true}},
        },
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [FileCapabilities, Mounts, Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    sysroot::one_input_at_most(&args)?;
    let options = &args.options;
    let tree = args.tree.path();
    let arguments = sysroot::kernel_arguments(&options.kernel_opts, options.rootfs.as_ref())?;
    let _binds = Binds::on_themselves(tree, &options.mounts)?;
    let given = options.reference.as_deref().filter(|name| !name.is_empty());
    let remote = options.remote.as_deref().filter(|name| !name.is_empty());
    let name = match args.inputs.get("commits") {
        None => given
            .context("`ref` is needed where there is no input")?
            .to_owned(),
        Some(input) => {
            ensure!(given.is_none(), "`ref` is not taken together with an input");
            let mut names = sysroot::pull(input, &tree.join("ostree/repo"), remote)?;
            names.pop().context("the input has no commit")?
        }
    };
    let name = match remote {
        Some(remote) => format!("{remote}:{name}"),
        None => name,
    };
    let mut words = vec!["admin".to_owned(), "deploy".into(), name];
    words.extend(
        arguments
            .iter()
            .map(|argument| format!("--karg-append={argument}")),
    );
    words.push(sysroot::option("sysroot", tree));
    words.push(format!("--os={}", options.osname));
    sysroot::ostree(&words.iter().map(String::as_str).collect::<Vec<_>>()).run()
}
