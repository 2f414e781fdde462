//! Which packages an image has before the solver adds what they depend on.

use std::collections::BTreeMap;

use crate::apt::Available;
use crate::blueprint::Blueprint;
use crate::distro::{Distro, Family};
use crate::error::{Failure, Result, did_you_mean, nearest};
use crate::image_type::ImageType;

/// The tools that modules run in the sandbox. They are unpacked without running their scripts.
pub const BUILD_TOOLS: &[&str] = &[
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "dpkg",
    "e2fsprogs",
    "gzip",
    "libc-bin",
    "passwd",
    "tar",
    "xz-utils",
    "zstd",
];

/// What makes a tree an operating system that boots.
const BOOTS: &[&str] = &[
    "dbus",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "login",
    "netbase",
    "passwd",
    "procps",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "util-linux",
    "zstd",
];

/// GRUB for BIOS and for UEFI, side by side.
const GRUB: &[&str] = &["grub-common", "grub-efi-amd64-bin", "grub-pc-bin", "grub2-common"];

/// The packages of an image, as apt takes them: `NAME`, `NAME=VERSION`, `TASK^`. Sorted, so that the order in a
/// blueprint makes no difference.
pub fn wanted(
    distro: &Distro,
    image: ImageType,
    blueprint: &Blueprint,
    available: &Available,
) -> Result<Vec<String>> {
    let custom = &blueprint.customizations;
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: &str| {
        names.entry(name.to_owned()).or_default();
    };
    available.required.iter().for_each(|name| add(name));
    ["apt", distro.family.keyring_package()]
        .into_iter()
        .for_each(&mut add);
    // else apt takes `usrmerge`, which merges what the image has merged from the start
    if available.is_real("usr-is-merged") {
        add("usr-is-merged");
    }
    if image.boots() {
        BOOTS.iter().copied().for_each(&mut add);
        add(custom.kernel.name.as_deref().unwrap_or(distro.kernel));
    }
    if image.is_disk() {
        GRUB.iter().copied().for_each(&mut add);
    }
    if custom
        .user
        .iter()
        .any(|user| user.groups.iter().any(|group| group == "sudo"))
    {
        add("sudo");
    }
    if custom.timezone.timezone.is_some() {
        add("tzdata");
    }
    if !custom.timezone.ntpservers.is_empty() {
        add("systemd-timesyncd");
    }
    if custom
        .locale
        .languages
        .iter()
        .any(|language| !is_builtin_locale(language))
    {
        add("locales");
    }
    if custom.locale.keyboard.is_some() {
        ["console-setup", "keyboard-configuration"]
            .into_iter()
            .for_each(&mut add);
    }
    for group in &blueprint.groups {
        add(&task(&group.name, available)?);
    }
    for package in blueprint.packages() {
        let version = match package.version.as_str() {
            "*" => "",
            version => version,
        };
        names.insert(package.name.clone(), version.to_owned());
    }
    let named = names.into_iter().map(|(name, version)| match version.as_str() {
        "" => name,
        version => format!("{name}={version}"),
    });
    Ok(named.collect())
}

/// Whether a locale is there without being generated.
pub fn is_builtin_locale(language: &str) -> bool {
    ["C", "C.UTF-8", "C.utf8", "POSIX"].contains(&language)
}

/// What a package group of a blueprint is for apt: a task package, or a task that packages name themselves.
fn task(group: &str, available: &Available) -> Result<String> {
    let package = format!("task-{group}");
    if available.is_real(&package) {
        return Ok(package);
    }
    if available.tasks.contains(group) {
        return Ok(format!("{group}^"));
    }
    let tasks = available.names().filter_map(|name| name.strip_prefix("task-"));
    let tasks = tasks.chain(available.tasks.iter().map(String::as_str));
    let near = nearest(group, tasks);
    Err(
        Failure::input(format!("there is no package group `{group}` in the repositories"))
            .hint(did_you_mean(&near).unwrap_or_else(|| "groups are tasks, such as `ssh-server`".into())),
    )
}

/// Refuses what is common elsewhere and means something else here.
pub fn check_groups(blueprint: &Blueprint, family: Family) -> Result<()> {
    let custom = &blueprint.customizations;
    let made = |name: &str| custom.group.iter().any(|group| group.name == name);
    for user in &custom.user {
        if user.groups.iter().any(|group| group == "wheel") && !made("wheel") {
            return Err(Failure::input(format!(
                "the user `{}` is to be in the group `wheel`, which {} does not have",
                user.name,
                family.origin()
            ))
            .hint("members of the group `sudo` may become root there"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::parse;

    fn wanted_by(text: &str, image: ImageType) -> Result<Vec<String>> {
        let distro = Distro::find("debian-13").unwrap();
        let mut available = Available::default();
        available.required.insert("bash".into());
        available.tasks.insert("server".into());
        wanted(distro, image, &parse("b.toml", text).unwrap(), &available)
    }

    #[test]
    fn a_disk_image_boots_and_a_tar_does_not() {
        let disk = wanted_by("", ImageType::Qcow2).unwrap();
        for name in [
            "bash",
            "apt",
            "linux-image-cloud-amd64",
            "grub-pc-bin",
            "systemd-sysv",
        ] {
            assert!(disk.iter().any(|one| one == name), "{name} in {disk:?}");
        }
        assert_eq!(
            wanted_by("", ImageType::Tar).unwrap(),
            ["apt", "bash", "debian-archive-keyring"]
        );
    }

    #[test]
    fn a_blueprint_adds_what_it_needs() {
        let text = "[[packages]]\nname = \"nginx\"\nversion = \"1.26*\"\n[[groups]]\nname = \"server\"\n\
                    [customizations]\nlocale.languages = [\"de_DE.UTF-8\"]\nlocale.keyboard = \"de\"\n\
                    kernel.name = \"linux-image-amd64\"\n\
                    [[customizations.user]]\nname = \"ada\"\ngroups = [\"sudo\"]\n";
        let disk = wanted_by(text, ImageType::Raw).unwrap();
        let names = [
            "nginx=1.26*",
            "server^",
            "locales",
            "keyboard-configuration",
            "sudo",
            "linux-image-amd64",
        ];
        for name in names {
            assert!(disk.iter().any(|one| one == name), "{name} in {disk:?}");
        }
        assert!(!disk.contains(&"linux-image-cloud-amd64".to_owned()));
    }

    #[test]
    fn groups_that_are_not_there_are_refused() {
        let failure = wanted_by("[[groups]]\nname = \"servre\"\n", ImageType::Raw).unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("did you mean `server`?"));
        let text = "[[customizations.user]]\nname = \"ada\"\ngroups = [\"wheel\"]\n";
        let blueprint = parse("b.toml", text).unwrap();
        assert!(check_groups(&blueprint, Family::Debian).is_err());
    }
}
