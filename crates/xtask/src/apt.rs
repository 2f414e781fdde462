//! Installs packages with apt, those that are missing.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::packages::Package;
use crate::privilege::as_root;

/// An exact version of a package.
type Pin = (String, String);

/// Installs what of `packages` is missing. Where nothing is, nothing is asked of the network.
///
/// On a machine without apt it says what is needed, and leaves it to its owner.
pub(crate) fn install(packages: &[Package]) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(|(name, _)| *name).collect();
    let Some(installed) = installed(&names)? else {
        say!("this machine has no dpkg; these packages, or what they are called here, are needed:");
        packages.iter().for_each(|(name, why)| say!("  {name}: {why}"));
        return Ok(());
    };
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| !installed.iter().any(|installed| installed == name))
        .collect();
    if missing.is_empty() {
        say!("all of {} packages are installed", packages.len());
        return Ok(());
    }
    say!("installing {}", missing.join(" "));
    if !apt_get(&["update"])? {
        say!("apt-get update failed; going on with the package lists that are there");
    }
    if apt_get(&[&["install"], &missing[..]].concat())? {
        return Ok(());
    }
    let pins = pins(&missing)?;
    ensure!(!pins.is_empty(), "apt-get cannot install {}", missing.join(" "));
    let exact: Vec<String> = pins
        .iter()
        .map(|(name, version)| format!("{name}={version}"))
        .collect();
    say!("once more, with {}", exact.join(" "));
    let mut args = vec!["install", "--allow-downgrades"];
    args.extend(exact.iter().map(String::as_str));
    args.extend(
        missing
            .iter()
            .filter(|name| pins.iter().all(|(pin, _)| pin != *name)),
    );
    ensure!(apt_get(&args)?, "apt-get cannot install {}", missing.join(" "));
    Ok(())
}

/// Which of `names` are installed; nothing on a machine without dpkg.
fn installed(names: &[&str]) -> Result<Option<Vec<String>>> {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${Package} ${db:Status-Status}\\n"]);
    match query.args(names).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).context("cannot run dpkg-query"),
        // it fails when it does not know one of them
        Ok(output) => Ok(Some(of_status_installed(&String::from_utf8_lossy(
            &output.stdout,
        )))),
    }
}

fn of_status_installed(text: &str) -> Vec<String> {
    let name = |line: &str| line.strip_suffix(" installed").map(str::to_owned);
    text.lines().filter_map(name).collect()
}

fn apt_get(args: &[&str]) -> Result<bool> {
    let mut command = as_root("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "--quiet"]);
    command.args(["--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]);
    command.args(["-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"]);
    let status = command.args(args).status();
    Ok(status.context("cannot run apt-get as root")?.success())
}

/// The versions that make a set of packages fit together on a machine where some come from elsewhere.
///
/// Packages made from one source often depend on each other in one exact version. A machine may have a newer
/// one, of a backport say, than the one that its archive offers for those that are missing: all packages of that
/// source then take the version of the archive.
fn pins(missing: &[&str]) -> Result<Vec<Pin>> {
    let installed = by_source(&query(
        "dpkg-query",
        &["-W", "-f", "${source:Package} ${Package} ${Version}\\n"],
    )?);
    let mut pins: Vec<Pin> = Vec::new();
    for name in missing {
        let policy = query("apt-cache", &["policy", name])?;
        let Some(version) = field(&policy, "Candidate") else {
            bail!("no repository of this machine has the package {name}");
        };
        let show = query("apt-cache", &["show", "--no-all-versions", name])?;
        let source = field(&show, "Source").unwrap_or(name);
        let relatives = installed
            .iter()
            .filter(|(of, _, present)| of == source && present != version)
            .map(|(_, relative, _)| relative.as_str());
        for package in relatives.chain([*name]) {
            let offered = query("apt-cache", &["madison", package])?;
            let pin = (package.to_owned(), version.to_owned());
            if offers(&offered, version) && !pins.contains(&pin) {
                pins.push(pin);
            }
        }
    }
    Ok(pins)
}

fn query(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lines `source package version`.
fn by_source(text: &str) -> Vec<(String, String, String)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?, words.next()?))
    };
    text.lines().filter_map(line).collect()
}

/// The first word of a field; nothing where it is `(none)`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next().filter(|word| *word != "(none)")
}

/// Whether a line of `apt-cache madison` (`package | version | repository`) has this version.
fn offers(madison: &str, version: &str) -> bool {
    let column = |line: &str| line.split('|').nth(1).map(|column| column.trim() == version);
    madison.lines().filter_map(column).any(|same| same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_print_is_read() {
        let status = "apt installed\nrpm config-files\ngcc installed\n";
        assert_eq!(of_status_installed(status), ["apt", "gcc"]);
        let policy = "qemu-utils:\n  Installed: 1:9.2-1\n  Candidate: 1:7.2-7\n  Version table:\n";
        assert_eq!(field(policy, "Candidate"), Some("1:7.2-7"));
        assert_eq!(field("x:\n  Candidate: (none)\n", "Candidate"), None);
        assert_eq!(
            field("Package: a\nSource: qemu (1:7.2)\n", "Source"),
            Some("qemu")
        );
        let madison = " qemu-utils | 1:7.2-7 | https://example.org bookworm/main amd64 Packages\n";
        assert!(offers(madison, "1:7.2-7") && !offers(madison, "1:7.2"));
        let line = ("qemu".to_owned(), "qemu-utils".to_owned(), "1:9.2-1".to_owned());
        assert_eq!(by_source("qemu qemu-utils 1:9.2-1\n"), [line]);
    }
}
