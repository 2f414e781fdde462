//! Convert a raw disk image into the format of a hypervisor.
//!
//! The only file of the input `image` is the disk; `filename` is what becomes of it. What the disk has nothing in takes no
//! space, apart from the flat and the fixed formats. The writers are our own: `qemu-img` takes no part, and the same disk
//! gives the same bytes.
//!
//! A `vpc` disk that is not a whole number of MiB is rounded up to one, as Azure demands, unless `force_size` is false.

pub mod stand_in;

use std::path::Path;

use image::format::{self, Identity};
use image::qcow2::{self, Compression};
use image::{SparseFile, vhd, vmdk};
use module::{Args, Context, Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

/// Options of `org.osbuild.qemu`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file that is made.
    filename: String,
    /// The format and what it can be told.
    format: Format,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Format {
    /// QEMU's own.
    Qcow2 {
        /// Compress the clusters (zlib).
        #[serde(default = "yes")]
        compression: bool,
        /// "0.10" for readers before QEMU 1.1, else "1.1".
        compat: Option<String>,
    },
    /// VirtualBox's.
    Vdi {},
    /// VMware's.
    Vmdk {
        /// The controller the disk hangs on.
        adapter_type: Option<Adapter>,
        /// For virtual hardware version 6.
        #[serde(default)]
        compat6: bool,
        /// Has no effect: `streamOptimized` is compressed, nothing else is.
        #[serde(default = "yes", rename = "compression")]
        _compression: bool,
        /// How the disk is laid out in files.
        subformat: Option<Subformat>,
    },
    /// Virtual PC's and Azure's (VHD).
    Vpc {
        /// Keep the size as it is, rather than what cylinders, heads and sectors multiply to.
        #[serde(default = "yes")]
        force_size: bool,
        /// Whether the file has its full size from the beginning.
        #[serde(default)]
        subformat: VpcSubformat,
    },
    /// Hyper-V's.
    Vhdx {},
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
enum Adapter {
    #[serde(rename = "ide")]
    Ide,
    #[serde(rename = "lsilogic")]
    LsiLogic,
    #[serde(rename = "buslogic")]
    BusLogic,
    #[serde(rename = "legacyESX")]
    LegacyEsx,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Subformat {
    MonolithicSparse,
    MonolithicFlat,
    TwoGbMaxExtentSparse,
    TwoGbMaxExtentFlat,
    StreamOptimized,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum VpcSubformat {
    #[default]
    Fixed,
    Dynamic,
}

fn yes() -> bool {
    true
}

module::stage! {
    file: "qemu.rs", name: "org.osbuild.qemu", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["image"],
            "properties": {"image": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [image::SOURCE_DIGEST, include_str!("qemu/stand_in.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    let image = args.input("image")?.single_file().context("input `image`")?;
    let file = std::fs::File::open(&image.path).with_context(|| format!("cannot open {}", image.name))?;
    let disk = SparseFile::open(file)?;
    let filename = args.options.filename.trim_start_matches('/');
    // the same stage gives the same disk the same identity
    let seed = args.meta.id.as_deref().unwrap_or(filename);
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes());
    let identity = Identity {
        uuid,
        time: args.meta.source_epoch,
    };
    // a VMDK may be several files: those beside the first one go where it goes
    let mut create = |name: &Path| Ok(args.tree.create_file(name)?);
    let format = args.options.format.of_image()?;
    Ok(format::write(
        &disk,
        Path::new(filename),
        &format,
        identity,
        &mut create,
    )?)
}

impl Format {
    fn of_image(&self) -> Result<format::Format> {
        Ok(match self {
            Self::Qcow2 { compression, compat } => {
                let version_2 = match compat.as_deref() {
                    Some("0.10" | "v2") => true,
                    Some("1.1" | "v3") | None => false,
                    Some(other) => bail!("format.compat: `{other}` is neither \"0.10\" nor \"1.1\""),
                };
                format::Format::Qcow2(qcow2::Options {
                    compression: if *compression {
                        Compression::Zlib
                    } else {
                        Compression::None
                    },
                    version_2,
                    threads: 0,
                })
            }
            Self::Vdi {} => format::Format::Vdi,
            Self::Vhdx {} => format::Format::Vhdx,
            Self::Vpc {
                force_size,
                subformat,
            } => format::Format::Vhd {
                kind: match subformat {
                    VpcSubformat::Fixed => vhd::Kind::Fixed,
                    VpcSubformat::Dynamic => vhd::Kind::Dynamic,
                },
                rounding: if *force_size {
                    vhd::Rounding::Azure
                } else {
                    vhd::Rounding::Geometry
                },
            },
            Self::Vmdk {
                adapter_type,
                compat6,
                subformat,
                ..
            } => format::Format::Vmdk {
                subformat: subformat.map(Into::into).unwrap_or_default(),
                adapter: adapter_type.map(Into::into).unwrap_or_default(),
                compat6: *compat6,
            },
        })
    }
}

impl From<Adapter> for vmdk::Adapter {
    fn from(adapter: Adapter) -> Self {
        match adapter {
            Adapter::Ide => Self::Ide,
            Adapter::LsiLogic => Self::LsiLogic,
            Adapter::BusLogic => Self::BusLogic,
            Adapter::LegacyEsx => Self::LegacyEsx,
        }
    }
}

impl From<Subformat> for vmdk::Subformat {
    fn from(subformat: Subformat) -> Self {
        match subformat {
            Subformat::MonolithicSparse => Self::MonolithicSparse,
            Subformat::MonolithicFlat => Self::MonolithicFlat,
            Subformat::TwoGbMaxExtentSparse => Self::TwoGbMaxExtentSparse,
            Subformat::TwoGbMaxExtentFlat => Self::TwoGbMaxExtentFlat,
            Subformat::StreamOptimized => Self::StreamOptimized,
        }
    }
}
