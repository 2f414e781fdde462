//! What is installed in which order: pure computation on control files.

use std::collections::{BTreeMap, BTreeSet};

use super::control::Control;

/// Packages, as indices into the list that was planned.
pub type Set = BTreeSet<usize>;

/// One round of dpkg: these are unpacked together, then those are configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    pub unpack: Set,
    /// What later rounds need working before they can be unpacked. Empty in the last round: then everything is.
    pub configure: Set,
}

/// Who satisfies what among the packages that are at hand.
#[derive(Debug)]
pub struct Relations<'c> {
    controls: &'c [Control],
    names: BTreeMap<&'c str, Set>,
    provided: BTreeMap<String, Set>,
}

impl<'c> Relations<'c> {
    /// The relations among `controls`.
    pub fn new(controls: &'c [Control]) -> Self {
        let mut names = BTreeMap::<_, Set>::new();
        let mut provided = BTreeMap::<_, Set>::new();
        for (i, control) in controls.iter().enumerate() {
            names.entry(control.package()).or_default().insert(i);
            for name in control.relations("Provides").into_iter().flatten() {
                provided.entry(name).or_default().insert(i);
            }
        }
        Self {
            controls,
            names,
            provided,
        }
    }

    /// What a minimal working system needs: the essential packages, dpkg and its helpers, and all they depend on. With
    /// these files in place the maintainer scripts of these very packages can run.
    pub fn base(&self) -> Set {
        let essential = |(_, c): &(usize, &Control)| {
            c.is_essential() || ["dpkg", "debconf", "base-files", "base-passwd"].contains(&c.package())
        };
        let roots = self.controls.iter().enumerate().filter(essential);
        self.closure(roots.map(|(i, _)| i), &["Pre-Depends", "Depends"])
    }

    /// The rounds in which to install `packages` so that each is unpacked after its `Pre-Depends` are configured.
    pub fn rounds(&self, packages: &Set) -> Vec<Round> {
        let mut rounds = Vec::new();
        let mut configured = Set::new();
        let mut unpacked = Set::new();
        let mut left = packages.clone();
        while !left.is_empty() {
            let waits_for = |i: &usize| -> Set {
                let direct = self.direct(*i, &["Pre-Depends"]);
                direct
                    .into_iter()
                    .filter(|p| packages.contains(p) && !configured.contains(p))
                    .collect()
            };
            let mut unpack: Set = left.iter().copied().filter(|i| waits_for(i).is_empty()).collect();
            if unpack.is_empty() {
                // a circle of Pre-Depends: only a package of a broken archive; dpkg says so
                unpack = left.clone();
            }
            left = &left - &unpack;
            unpacked.extend(&unpack);
            let needed = left.iter().flat_map(waits_for).filter(|i| unpacked.contains(i));
            let needed = self.closure(needed.collect::<Set>(), &["Pre-Depends", "Depends"]);
            let configure = if left.is_empty() {
                Set::new()
            } else {
                (&needed & &unpacked).difference(&configured).copied().collect()
            };
            configured.extend(&configure);
            rounds.push(Round { unpack, configure });
        }
        rounds
    }

    /// `roots` and all that they need by `fields`, directly or not.
    fn closure(&self, roots: impl IntoIterator<Item = usize>, fields: &[&str]) -> Set {
        let mut found = Set::new();
        let mut queue: Vec<_> = roots.into_iter().collect();
        while let Some(i) = queue.pop() {
            if found.insert(i) {
                queue.extend(self.direct(i, fields));
            }
        }
        found
    }

    /// What satisfies the dependencies of a package: of each, the first alternative that is at hand.
    fn direct(&self, i: usize, fields: &[&str]) -> Set {
        let clauses = fields.iter().flat_map(|field| self.controls[i].relations(field));
        let pick = |names: Vec<String>| names.iter().find_map(|name| self.satisfy(name, i));
        clauses.filter_map(pick).collect()
    }

    /// The package `name`, of the architecture of `of` where there are several, or the first that provides it.
    fn satisfy(&self, name: &str, of: usize) -> Option<usize> {
        let found = self.names.get(name).or_else(|| self.provided.get(name))?;
        let architecture = self.controls[of].architecture();
        let same = found
            .iter()
            .find(|i| self.controls[**i].architecture() == architecture);
        same.or(found.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls(texts: &[&str]) -> Vec<Control> {
        let full = |text: &&str| Control::parse(&format!("{text}\nVersion: 1\nArchitecture: all\n")).unwrap();
        texts.iter().map(full).collect()
    }

    fn set(list: &[usize]) -> Set {
        list.iter().copied().collect()
    }

    #[test]
    fn the_base_is_the_closure_of_the_essential() {
        let list = controls(&[
            "Package: bash\nEssential: yes\nPre-Depends: libc6 (>= 2)\nDepends: base-files | other",
            "Package: libc6\nDepends: libgcc",
            "Package: gcc-lib\nProvides: libgcc (= 1)",
            "Package: nginx\nDepends: libc6",
            "Package: base-files",
        ]);
        assert_eq!(Relations::new(&list).base(), set(&[0, 1, 2, 4]));
    }

    #[test]
    fn a_package_is_unpacked_after_what_it_pre_depends_on_works() {
        let list = controls(&[
            "Package: app\nPre-Depends: tool",
            "Package: tool\nDepends: lib",
            "Package: lib",
            "Package: late\nPre-Depends: app",
            "Package: free",
        ]);
        let rounds = Relations::new(&list).rounds(&set(&[0, 1, 2, 3, 4]));
        let round = |unpack: &[usize], configure: &[usize]| Round {
            unpack: set(unpack),
            configure: set(configure),
        };
        assert_eq!(
            rounds,
            [round(&[1, 2, 4], &[1, 2]), round(&[0], &[0]), round(&[3], &[])]
        );
    }

    #[test]
    fn a_circle_ends() {
        let list = controls(&["Package: a\nPre-Depends: b", "Package: b\nPre-Depends: a"]);
        let rounds = Relations::new(&list).rounds(&set(&[0, 1]));
        assert_eq!(rounds.len(), 1);
        assert_eq!(rounds[0].unpack, set(&[0, 1]));
    }
}
