//! Asking apt what an installation takes.

use super::index::{Available, Target};
use super::run::complaints;
use super::{Apt, Pinned};
use crate::distro::Distro;
use crate::error::{Failure, Result, did_you_mean, nearest};

impl Apt {
    /// The packages that apt would install into an empty system for `wanted` (names, `name=version`), in its order.
    pub fn solve(&self, available: &Available, wanted: &[String], distro: &Distro) -> Result<Vec<Pinned>> {
        check_known(available, wanted)?;
        check_versions(available, wanted)?;
        let mut args = vec!["install", "--simulate", "--quiet", "--no-remove"];
        args.extend(wanted.iter().map(String::as_str));
        let output = self.run("apt-get", &args)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(unsolvable(
                &text,
                &complaints(&output).join("\n"),
                available,
                wanted,
            ));
        }
        let chosen = text.lines().filter_map(installed);
        chosen
            .map(|(name, version, architecture)| self.pin(available, name, version, architecture, distro))
            .collect()
    }

    fn pin(
        &self,
        available: &Available,
        name: &str,
        version: &str,
        architecture: &str,
        distro: &Distro,
    ) -> Result<Pinned> {
        let candidate = available.candidate(name, version, architecture);
        let candidate = candidate
            .filter(|candidate| candidate.sha256.len() == 64)
            .ok_or_else(|| Failure::failed(format!("no package list has a SHA-256 of {name} {version}")))?;
        let target = &available.targets[candidate.target];
        Ok(Pinned {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: architecture.to_owned(),
            path: candidate.path.clone(),
            sha256: candidate.sha256.clone(),
            size: candidate.size,
            installed: candidate.installed,
            mirror: self.mirror(target, distro)?,
        })
    }

    /// The id of the repository that an index is of.
    fn mirror(&self, target: &Target, distro: &Distro) -> Result<String> {
        let mut repositories = self.repositories().iter();
        let Some(repository) = repositories.find(|repository| target.is_of(repository)) else {
            let what = format!(
                "apt took a package from {}, which is none of the repositories",
                target.uri
            );
            return Err(Failure::failed(what));
        };
        let id = repository.id.clone();
        Ok(id.unwrap_or_else(|| distro.family.repository_id(&target.suite)))
    }
}

/// Reads `Inst NAME [OLD] (VERSION ORIGIN… [ARCHITECTURE])…`, a line of a simulation.
fn installed(line: &str) -> Option<(&str, &str, &str)> {
    let rest = line.strip_prefix("Inst ")?;
    let (name, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let (version, _) = inside.split_once(' ')?;
    let architecture = inside.rsplit_once('[')?.1.strip_suffix(']')?;
    Some((name.split(':').next()?, version, architecture))
}

/// Refuses names that no repository knows, all at once and with what they may be meant for.
fn check_known(available: &Available, wanted: &[String]) -> Result<()> {
    let names = wanted
        .iter()
        .map(|name| name.split('=').next().unwrap_or_default());
    // `name^` is a task, which is looked up before it is asked for
    let unknown: Vec<&str> = names
        .filter(|name| !name.ends_with('^'))
        .filter(|name| !available.has(name.split(':').next().unwrap_or_default()))
        .collect();
    let Some(first) = unknown.first() else {
        return Ok(());
    };
    let quoted: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
    let is = if unknown.len() == 1 {
        "there is no package"
    } else {
        "there are no packages"
    };
    let near = unknown.iter().flat_map(|name| nearest(name, available.names()));
    let near: Vec<&str> = near.take(3).collect();
    let hint = did_you_mean(&near)
        .unwrap_or_else(|| format!("`apt-cache search {first}` finds packages by what they do"));
    Err(Failure::input(format!("{is} {} in the repositories", quoted.join(", "))).hint(hint))
}

/// Refuses versions that are not there, and says which are.
fn check_versions(available: &Available, wanted: &[String]) -> Result<()> {
    for (name, version) in wanted.iter().filter_map(|wanted| wanted.split_once('=')) {
        if available.versions(name).any(|there| matches(version, there)) {
            continue;
        }
        let mut there: Vec<&str> = available.versions(name).collect();
        there.dedup();
        return Err(Failure::input(format!(
            "there is no version {version} of `{name}` in the repositories"
        ))
        .hint(match there.is_empty() {
            true => format!("`{name}` is a name that other packages provide"),
            false => format!("there is {}", there.join(", ")),
        }));
    }
    Ok(())
}

/// Whether a text matches a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let mut ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
            ends.any(|at| matches(rest, &text[at..]))
        }),
    }
}

/// What to say of packages that cannot be installed together.
fn unsolvable(stdout: &str, complaints: &str, available: &Available, wanted: &[String]) -> Failure {
    let unmet = stdout.find("The following packages have unmet dependencies");
    let unmet = unmet.map(|at| stdout[at..].trim_end()).unwrap_or_default();
    let message = format!("apt finds no way to install this\n{unmet}\n{complaints}").replace("\n\n", "\n");
    let choice = wanted
        .iter()
        .find(|name| !available.is_real(name) && available.has(name));
    let hint = choice.map(|name| {
        let providers: Vec<&str> = available.providers(name).take(5).collect();
        format!(
            "several packages provide `{name}`: name one of them, such as {}",
            providers.join(", ")
        )
    });
    Failure::failed(message.trim_end()).hint_if(hint)
}

#[cfg(test)]
mod tests {
    use super::{installed, matches};

    #[test]
    fn versions_may_have_stars() {
        assert!(matches("1.2*", "1.2.3-4") && matches("*-4", "1.2-4") && matches("1.2", "1.2"));
        assert!(!matches("1.2", "1.2.3") && !matches("1.2*4", "1.2.3") && matches("1.*.3", "1.2.3"));
    }

    #[test]
    fn lines_of_a_simulation_are_read() {
        assert_eq!(
            installed("Inst libc6 (2.41-12 Debian:13.7/stable, Debian-Security:13/stable [amd64]) []"),
            Some(("libc6", "2.41-12", "amd64"))
        );
        assert_eq!(
            installed("Inst adduser (3.134 Debian:12.9/stable [all])"),
            Some(("adduser", "3.134", "all"))
        );
        assert_eq!(installed("Conf adduser (3.134 Debian:12.9/stable [all])"), None);
    }
}
