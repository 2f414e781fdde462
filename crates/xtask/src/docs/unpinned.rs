//! The stages that name packages as a person would. `image-builder resolve` puts others in their place before a manifest
//! is built; whoever writes a pipeline by hand writes these.

use manifest::ModuleKind;
use serde_json::{Value, json};

use super::modules::Module;

/// Both of them.
pub(super) fn all() -> [Module; 2] {
    let stage = |name: &str, tool: &str, pinned: &str, options: Value| Module {
        kind: ModuleKind::Stage,
        name: name.to_owned(),
        aliases: Vec::new(),
        meta: json!({
            "summary": format!("Install packages by their names, as {tool} does"),
            "description": [format!("`image-builder resolve` makes {pinned} of it, every package named by its digest.")],
            "schema": options,
        }),
    };
    [
        stage("org.osbuild.apt", "apt", "org.osbuild.deb", apt()),
        stage("org.osbuild.dnf", "dnf", "org.osbuild.rpm", dnf()),
    ]
}

fn apt() -> Value {
    let repo = closed(json!({
        "url": {"type": "string", "description": "Its base address"},
        "suites": names("Suites such as bookworm"),
        "components": names("Components such as main"),
        "key": {"type": "string", "description": "The key that signs it: a file, or its armored text"},
        "trusted": {"type": "boolean", "description": "Taken without a signature"},
    }));
    let mut options = closed(json!({
        "packages": names("What to install, with all that it needs"),
        "repos": {
            "type": "object", "additionalProperties": repo,
            "description": "Repositories by id; the machine's own where there are none",
        },
        "distro": {"type": "string", "description": "The distribution whose repositories are taken where none are named"},
        "debconf": {"description": "As in org.osbuild.deb"},
        "exclude": {"description": "As in org.osbuild.deb"},
        "unpack_only": {"type": "boolean", "description": "As in org.osbuild.deb"},
    }));
    options["required"] = json!(["packages"]);
    options
}

fn dnf() -> Value {
    let repos = json!({"type": ["object", "array"], "description": "Repositories by id, or a list of those that have theirs inside"});
    let mut options = closed(json!({
        "packages": names("What to install, with all that it needs"),
        "repos": repos,
        "releasever": {"type": ["string", "integer"], "description": "What $releasever stands for"},
        "basearch": {"type": "string", "description": "What $basearch stands for"},
        "exclude_packages": names("Never installed"),
        "install_weak_deps": {"type": "boolean", "description": "Whether recommended packages come along"},
        "module_platform_id": {"type": "string", "description": "Such as platform:el9"},
        "operation": {"type": "string", "description": "What dnf is asked to do"},
        "verbosity": {"type": "string", "description": "Accepted"},
    }));
    options["required"] = json!(["packages"]);
    options
}

fn closed(properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn names(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": description})
}
