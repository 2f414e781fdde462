//! Make the directory of ISOLINUX, the boot loader of BIOS machines on an installation medium.
//!
//! `/isolinux`, which must not be there yet, gets ISOLINUX with its modules and Anaconda's picture from the input `data`, a
//! menu, and hard links to `vmlinuz` and `initrd.img` of `kernel.dir`.

use std::path::Path;

use module::{Args, Context, Result, Tree};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts::{self, Kernel, Product};

/// Options of `org.osbuild.isolinux`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What is installed.
    product: Product,
    /// Its kernel.
    kernel: Kernel,
    /// Offer to install in FIPS mode.
    #[serde(default)]
    fips: bool,
}

module::stage! {
    file: "isolinux.rs", name: "org.osbuild.isolinux", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["data"],
            "properties": {"data": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [artifacts::SOURCE, include_str!("isolinux/menu.cfg")],
}

const PROGRAMS: &[&str] = &[
    "isolinux.bin",
    "ldlinux.c32",
    "libcom32.c32",
    "libutil.c32",
    "vesamenu.c32",
];
const MENU: &str = include_str!("isolinux/menu.cfg");

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let data = args.input("data")?.tree()?;
    tree.mkdir("isolinux", 0o755)?;
    let splash = "usr/share/anaconda/boot/syslinux-splash.png";
    copy(&data, splash, tree, "splash.png", 0o644)?;
    for name in PROGRAMS {
        copy(&data, &format!("usr/share/syslinux/{name}"), tree, name, 0o755)?;
    }
    tree.write("isolinux/isolinux.cfg", menu(options))?;
    for name in ["vmlinuz", "initrd.img"] {
        let from = Path::new(options.kernel.dir.trim_start_matches('/')).join(name);
        tree.hard_link(from, format!("isolinux/{name}"))
            .context("options: kernel: dir")?;
    }
    Ok(())
}

fn copy(data: &Tree, from: &str, tree: &Tree, name: &str, mode: u32) -> Result<()> {
    let mut source = data.open_file(from).context("input `data`")?;
    let to = format!("isolinux/{name}");
    let copied = std::io::copy(&mut source, &mut tree.create_file(&to)?);
    copied.with_context(|| format!("cannot copy {from}"))?;
    Ok(tree.chmod(&to, mode)?)
}

fn menu(options: &Options) -> String {
    let product = format!("{} {}", options.product.name, options.product.version);
    let fips = match options.fips {
        true => format!(
            "\nlabel fips\n  menu label ^Install {product} in FIPS mode\n  kernel vmlinuz\n  \
             append initrd=initrd.img @CMDLINE@ quiet fips=1\n\n"
        ),
        false => String::new(),
    };
    // what stands in a name is not replaced again
    let parts = MENU.split('@').enumerate().map(|(index, part)| match part {
        part if index % 2 == 0 => part.to_owned(),
        "PRODUCT" => product.clone(),
        "NAME" => options.product.name.clone(),
        "FIPS" => fips.replace("@CMDLINE@", &options.kernel.opts.join(" ")),
        _ => options.kernel.opts.join(" "),
    });
    parts.collect()
}
