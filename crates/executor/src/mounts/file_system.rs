//! What all file systems on devices have in common.

use std::ffi::CString;

use rustix::mount::{MountFlags, mount};
use serde_json::{Map, Value, json};

use super::{At, Mounted, Mounting, Shown};
use crate::devices::{Held, flag};

/// The schema of a file system's entry, with these options beside `readonly` where it can be written to.
pub(super) fn schema(writable: bool, options: Value) -> Value {
    let mut all = Map::new();
    if writable {
        let readonly = "Mount it so that nothing can be changed.";
        all.insert(
            "readonly".into(),
            json!({"type": "boolean", "default": false, "description": readonly}),
        );
    }
    all.extend(options.as_object().cloned().unwrap_or_default());
    let mut properties = json!({
        "source": {"type": "string", "description": "The device that it is on."},
        "target": {"type": "string", "description": "Where it appears, below the directory of all mounts."},
        "options": {"type": "object", "additionalProperties": false, "properties": all},
    });
    if writable {
        let partition = "The number of the source's partition, from 1.";
        properties["partition"] = json!({"type": "number", "description": partition});
    }
    super::schema(&["source", "target"], properties)
}

/// The option `norecovery`.
pub(super) fn norecovery() -> Value {
    json!({"type": "boolean", "default": false, "description": "Do not replay the journal."})
}

/// Makes the file system appear: the directory that stands for it, or what the kernel mounts, under its name there.
pub(super) fn make(mounting: &Mounting<'_>, kernel_name: &str) -> Result<Mounted, String> {
    let target = mounting.directory(mounting.root, mounting.target)?;
    let attached = match &mounting.shown {
        Some(Shown::Layers(layers)) => {
            sandbox::attach_tree(mounting.bench, layers.clone(), &target, mounting.users)
                .map_err(|e| e.to_string())
        }
        Some(Shown::Again(path)) => rustix::mount::mount_bind(path, &target).map_err(|e| e.to_string()),
        None => by_kernel(mounting, kernel_name, &target),
    };
    attached?;
    let held: Box<dyn Held> = Box::new(At(target.clone()));
    Ok(Mounted {
        path: Some(target),
        held: vec![held],
    })
}

fn by_kernel(mounting: &Mounting<'_>, kind: &str, target: &std::path::Path) -> Result<(), String> {
    let source = mounting.source.as_deref().ok_or("its device has no node")?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    let written_never = matches!(kind, "erofs" | "squashfs");
    if flag(mounting.options, "readonly") || written_never {
        flags |= MountFlags::RDONLY;
    }
    let data = CString::new(data(mounting.options)).map_err(|_| "an option has a NUL byte")?;
    mount(source, target, kind, flags, Some(data.as_c_str())).map_err(|errno| {
        let why = match errno {
            rustix::io::Errno::NODEV => format!("this machine's kernel has no {kind}"),
            rustix::io::Errno::INVAL | rustix::io::Errno::UCLEAN => {
                format!("{source} has no {kind} file system, or one that this kernel cannot mount ({errno})")
            }
            _ => errno.to_string(),
        };
        format!(
            "cannot mount {source}: {why}. What was made by a stage of ours, and is touched by stages of ours alone, \
             needs no mount"
        )
    })
}

/// The options as mount(8) has them, those apart that are flags of the call.
fn data(options: &Map<String, Value>) -> String {
    let mut all = Vec::new();
    if flag(options, "norecovery") {
        all.push("norecovery".to_owned());
    }
    for name in ["uid", "gid", "umask", "shortname", "subvol", "compress"] {
        match options.get(name) {
            Some(Value::String(text)) => all.push(format!("{name}={text}")),
            Some(Value::Number(number)) => all.push(format!("{name}={number}")),
            _ => {}
        }
    }
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_as_the_kernel_takes_them() {
        let options =
            json!({"readonly": true, "norecovery": true, "uid": 7, "umask": "077", "subvol": "root"});
        let text = data(options.as_object().unwrap());
        assert_eq!(text, "norecovery,uid=7,umask=077,subvol=root");
        assert_eq!(data(&Map::new()), "");
    }
}
