//! The kernel and initramfs, where an OSTree deployment is booted from: `usr/lib/modules/VERSION`.

use module::Result;
use ostree::Node;

/// Places each kernel of `/boot` beside its modules. Returns the version of the newest one, by the order of its name.
pub fn place(root: &mut Node) -> Result<Option<String>> {
    let versions: Vec<String> = match root.get("usr/lib/modules") {
        Some(modules) => modules
            .children()
            .filter(|(_, node)| matches!(node, Node::Directory { .. }))
            .filter_map(|(name, _)| name.to_str().map(str::to_owned))
            .collect(),
        None => Vec::new(),
    };
    let mut newest = None;
    for version in versions {
        let directory = format!("usr/lib/modules/{version}");
        let kernel = copy(
            root,
            &[format!("boot/vmlinuz-{version}")],
            &format!("{directory}/vmlinuz"),
        )?;
        let initramfs = [
            format!("boot/initramfs-{version}.img"),
            format!("boot/initrd.img-{version}"),
        ];
        copy(root, &initramfs, &format!("{directory}/initramfs.img"))?;
        if kernel {
            newest = Some(version);
        }
    }
    Ok(newest)
}

/// Puts the first of `from` that is a file at `to`, where nothing is yet; it is one object however often it is there.
fn copy(root: &mut Node, from: &[String], to: &str) -> Result<bool> {
    if root.get(to).is_some() {
        return Ok(true);
    }
    let file = from.iter().find_map(|path| match root.get(path) {
        Some(file @ Node::File { .. }) => Some(file.clone()),
        _ => None,
    });
    match file {
        Some(file) => root.put(to, file).map(|()| true).map_err(Into::into),
        None => Ok(false),
    }
}
