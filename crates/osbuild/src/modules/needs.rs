//! What a module may do in its box, for people and for programs.

use executor::Profile;
use manifest::ModuleKind;
use serde_json::{Value, json};

/// Puts into the metadata of a stage or assembler what it gets, as the executor reads it: `needs`, with `capabilities`,
/// `to` (what for, of ours alone), `labels`, `device_nodes`, `devices`, `proc`, `network`, `sockets`.
pub(super) fn complete(meta: &mut Value, kind: ModuleKind, foreign: bool) {
    if !matches!(kind, ModuleKind::Stage | ModuleKind::Assembler) {
        return;
    }
    if !meta.is_object() {
        // a module without any
        *meta = json!({});
    }
    let profile = Profile::of(meta, foreign);
    let capabilities: Vec<String> = match profile.capabilities() {
        Ok(all) => all.iter().map(ToString::to_string).collect(),
        Err(message) => vec![message],
    };
    let schema = &meta["schema_2"];
    let devices = [&schema["devices"], &schema["properties"]["devices"]];
    let needs = json!({
        "capabilities": capabilities,
        "to": match foreign {
            true => json!(["do what the Python osbuild lets its modules do"]),
            false => meta["needs"]["to"].clone(),
        },
        "labels": profile.labels(),
        "device_nodes": profile.device_nodes(),
        "devices": match (devices.iter().any(|schema| schema.is_object()), foreign) {
            (_, false) if meta["needs"]["loop_devices"] == true => "loop devices, with the machine's root",
            (_, false) if meta["needs"]["loop_devices"].is_object() => "for zipl loop devices, with the machine's root",
            (false, _) => "none",
            (true, false) => "stretches of files",
            (true, true) => "block devices, with the machine's root",
        },
        "proc": "its own",
        "network": false,
        "sockets": profile.sockets(),
    });
    meta["needs"] = needs;
}

/// The lines of a page.
pub(super) fn lines(meta: &Value) -> String {
    let needs = &meta["needs"];
    let list = |key: &str, separator: &str| {
        let all = needs[key].as_array().into_iter().flatten();
        let all: Vec<&str> = all.filter_map(Value::as_str).collect();
        all.join(separator)
    };
    if !needs.is_object() {
        return String::new();
    }
    let executor = |key: &str, what: &'static str| if needs[key] == true { what } else { "none" };
    [
        ("to", list("to", "; ")),
        ("capabilities", list("capabilities", " ").replace("CAP_", "")),
        (
            "/proc",
            format!(
                "{}, without the kernel's switches",
                needs["proc"].as_str().unwrap_or_default()
            ),
        ),
        (
            "devices",
            needs["devices"].as_str().unwrap_or_default().to_owned(),
        ),
        (
            "labels",
            executor("labels", "set by the executor, when it has ended").to_owned(),
        ),
        (
            "device nodes",
            executor("device_nodes", "made by the executor, when it has ended").to_owned(),
        ),
        (
            "network",
            match needs["sockets"] == false {
                true => "never, nor sockets".to_owned(),
                false => "never".to_owned(),
            },
        ),
    ]
    .iter()
    .map(|(key, value)| format!("  {key}: {value}\n"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_the_needs() {
        let mut meta = json!({
            "schema_2": {"devices": {}},
            "needs": {"capabilities": ["CAP_CHOWN", "CAP_FOWNER"], "to": ["change files", "have labels set"], "labels": true, "sockets": false},
        });
        complete(&mut meta, ModuleKind::Stage, false);
        assert_eq!(
            lines(&meta),
            "  to: change files; have labels set\n  capabilities: CHOWN FOWNER\n  /proc: its own, without the kernel's \
             switches\n  devices: stretches of files\n  labels: set by the executor, when it has ended\n  device nodes: \
             none\n  network: never, nor sockets\n"
        );
        let mut source = json!({});
        complete(&mut source, ModuleKind::Source, false);
        assert_eq!(lines(&source), "");
    }
}
