//! The stages of the operating system's tree.

use serde_json::{Value, json};

use super::files::{self, Inline};
use super::ids::Ids;
use super::{Request, Resolved, deb_stage, sources, system, users};
use crate::error::Result;
use crate::packages::is_builtin_locale;

/// Where the kernel's messages go and a login waits: the screen, and the first serial port.
const CONSOLES: &str = "console=tty0 console=ttyS0,115200n8";

/// Ordered so that what is edited most often comes last and costs least.
pub fn stages(request: &Request<'_>, resolved: &Resolved, inline: &mut Inline) -> Result<Vec<Value>> {
    let blueprint = request.blueprint;
    let custom = &blueprint.customizations;
    let preseed = debconf(request);
    let options = if preseed.is_empty() {
        json!({})
    } else {
        json!({"debconf": preseed})
    };
    let mut stages = vec![deb_stage(&resolved.os, options)];
    let mut add = |name: &str, options: Value| stages.push(json!({"type": name, "options": options}));

    let language = custom.locale.languages.first().map_or("C.UTF-8", String::as_str);
    add("org.osbuild.locale", json!({"language": language}));
    if let Some(zone) = &custom.timezone.timezone {
        add("org.osbuild.timezone", json!({"zone": zone}));
    }
    if let Some(hostname) = system::hostname(request) {
        add("org.osbuild.hostname", json!({"hostname": hostname}));
    }
    stages.extend(users::stages(blueprint)?);
    let mut ours = system::files(request);
    ours.extend(sources::file_of(request, resolved));
    // who brings a file of the same path means theirs
    ours.retain(|file| !custom.files.iter().any(|theirs| theirs.path == file.path));
    ours.extend(custom.files.iter().cloned());
    stages.extend(files::stages(&custom.directories, &ours, inline));
    stages.extend(system::services(request));
    if request.image.boots() {
        // empty: the machine gets an id at its first start, without being asked questions
        stages.push(json!({"type": "org.osbuild.machine-id", "options": {"first-boot": "no"}}));
    }
    Ok(stages)
}

/// The stages that know the root file system's UUID.
pub fn boot_stages(request: &Request<'_>, ids: &Ids) -> Vec<Value> {
    if !request.image.is_disk() {
        return Vec::new();
    }
    let append = request
        .blueprint
        .customizations
        .kernel
        .append
        .as_deref()
        .unwrap_or_default();
    let words: Vec<&str> = CONSOLES.split(' ').chain(append.split_whitespace()).collect();
    let kernel_opts = words.join(" ");
    let root = json!({
        "uuid": ids.root_fs,
        "vfs_type": "ext4",
        "path": "/",
        "options": "errors=remount-ro",
        "freq": 0,
        "passno": 1,
    });
    vec![
        json!({"type": "org.osbuild.fstab", "options": {"filesystems": [root]}}),
        json!({
            "type": "org.osbuild.kernel-cmdline",
            "options": {"root_fs_uuid": ids.root_fs, "kernel_opts": kernel_opts},
        }),
        json!({
            "type": "org.osbuild.grub2",
            "options": {"root_fs_uuid": ids.root_fs, "kernel_opts": kernel_opts},
        }),
    ]
}

/// Answers to the questions that packages ask when they are installed.
fn debconf(request: &Request<'_>) -> Vec<String> {
    let custom = &request.blueprint.customizations;
    let mut lines = Vec::new();
    let languages = &custom.locale.languages;
    let generated: Vec<String> = languages
        .iter()
        .filter(|language| !is_builtin_locale(language))
        .map(|language| format!("{language} {}", charset(language)))
        .collect();
    if !generated.is_empty() {
        lines.push(format!(
            "locales locales/locales_to_be_generated multiselect {}",
            generated.join(", ")
        ));
        lines.push(format!(
            "locales locales/default_environment_locale select {}",
            languages[0]
        ));
    }
    if let Some((area, city)) = custom
        .timezone
        .timezone
        .as_deref()
        .and_then(|zone| zone.split_once('/'))
    {
        lines.push(format!("tzdata tzdata/Areas select {area}"));
        lines.push(format!("tzdata tzdata/Zones/{area} select {city}"));
    }
    if let Some(keyboard) = &custom.locale.keyboard {
        lines.push(format!(
            "keyboard-configuration keyboard-configuration/layoutcode string {keyboard}"
        ));
        lines.push(format!(
            "keyboard-configuration keyboard-configuration/xkb-keymap select {keyboard}"
        ));
    }
    lines
}

/// The character set of a locale, as `/usr/share/i18n/SUPPORTED` names it.
fn charset(language: &str) -> &str {
    let charset = language
        .split_once('.')
        .map(|(_, rest)| rest.split('@').next().unwrap_or(rest));
    match charset {
        None => "ISO-8859-1",
        Some("utf8" | "UTF8" | "utf-8") => "UTF-8",
        Some(charset) => charset,
    }
}
