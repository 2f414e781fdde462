//! IBM Z boots one image, of kernel, parameters and initial ram disk, which the firmware knows no further one beside: the
//! room for an Ignition configuration is at the ram disk's end.
//!
//! Offsets in the image are those of `mk-s390image` (s390-tools, netboot).

use std::fs::File;
use std::os::unix::fs::FileExt;

use module::{Context, Result, Tool, Tree, ensure};
use rustix::fs::OFlags;
use serde_json::Value;

use super::configuration::Configuration;
use super::medium::{IGNITION_SIZE, Medium, ignition};

const IMAGE: &str = "images/cdboot.img";
const INITRD: &str = "images/pxeboot/initrd.img";
const KERNEL: &str = "images/pxeboot/vmlinuz";
/// Where the loader puts the ram disk: behind 32 MiB for the kernel.
const INITRD_ADDRESS: u32 = 0x0200_0000;
/// In the image: the ram disk's offset, and the parameters with their room.
const INITRD_OFFSET_AT: u64 = 66_568;
const ARGUMENTS_AT: u64 = 66_688;
const ARGUMENTS_SIZE: u64 = 896;
/// As much of a kernel as has these offsets.
const KERNEL_HEAD: u64 = 128 << 10;
const TEMPLATES: &str = "usr/share/lorax/templates.d/99-generic/config_files/s390";

/// Makes the image, and what the other ways to boot read; what `igninfo.json` says.
pub fn prepare(medium: &Medium<'_>, iso: &Tree, configuration: &mut Configuration) -> Result<Value> {
    let build_root = Tree::open("/")?;
    super::copy(
        &build_root,
        &format!("{TEMPLATES}/redhat.exec"),
        iso,
        "images/redhat.exec",
    )
    .context("Lorax's templates are missing in the build pipeline")?;
    let text = build_root.read_text(format!("{TEMPLATES}/generic.ins"))?;
    let address = format!("0x{INITRD_ADDRESS:08x}");
    let text = text
        .replace("images/kernel.img", KERNEL)
        .replace("images/initrd.img", INITRD)
        .replace("@INITRD_LOAD_ADDRESS@", &address);
    iso.write("generic.ins", text)?;
    let parameters = iso.read("zipl.prm")?;
    for name in ["cdboot", "generic", "genericdvd"] {
        iso.write(format!("images/{name}.prm"), &parameters)?;
    }
    let open = |path: &str| -> Result<File> { Ok(iso.open_at(path, OFlags::RDWR, 0)?.into()) };
    let initrd = open(INITRD)?;
    if medium.system.fixture {
        open(KERNEL)?.set_len(KERNEL_HEAD)?;
        initrd.set_len(1024)?;
    }
    let size = initrd.metadata()?.len();
    ensure!(
        size.is_multiple_of(4),
        "the initial ram disk ends at {size}, no multiple of 4"
    );
    initrd.set_len(size + IGNITION_SIZE)?;
    let path = |name: &str| iso.path().join(name);
    let made = Tool::new("mk-s390image")
        .args([path(KERNEL), path(IMAGE)])
        .arg("-r")
        .arg(path(INITRD))
        .arg("-p")
        .arg(path("images/cdboot.prm"))
        .run();
    initrd.set_len(size)?;
    made?;
    // for logical partitions: an unused word, the address, another one, the size
    let words = [
        0,
        INITRD_ADDRESS,
        0,
        u32::try_from(size).context("the initial ram disk is too large")?,
    ];
    iso.write("images/initrd.addrsize", words.map(u32::to_be_bytes).concat())?;

    let image = open(IMAGE)?;
    let mut offset = [0; 8];
    image.read_exact_at(&mut offset, INITRD_OFFSET_AT)?;
    let offset = u64::from_be_bytes(offset);
    let mut there = vec![0; size.min(1024) as usize];
    let mut wanted = there.clone();
    initrd.read_exact_at(&mut wanted, 0)?;
    image.read_exact_at(&mut there, offset)?;
    ensure!(
        there == wanted,
        "mk-s390image has not put the initial ram disk at {offset}"
    );
    configuration.boot_image(IMAGE, ARGUMENTS_AT, ARGUMENTS_SIZE);
    Ok(ignition(IMAGE, offset + size))
}
