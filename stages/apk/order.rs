//! Which package comes before which.

use std::collections::{BTreeMap, BTreeSet};

use super::package::Package;

/// The name in a dependency: `name`, `name>=1.2`, `so:libc.so.1`, `name@repository`.
fn name_of(dependency: &str) -> &str {
    dependency
        .split(['<', '>', '=', '~', '@'])
        .next()
        .unwrap_or_default()
}

/// For each package, those of the same list that it needs.
fn needs(packages: &[Package]) -> Vec<Vec<usize>> {
    let mut providers = BTreeMap::<&str, Vec<usize>>::new();
    for (index, package) in packages.iter().enumerate() {
        for name in std::iter::once(package.name()).chain(package.values("provides")) {
            providers.entry(name_of(name)).or_default().push(index);
        }
    }
    let of = |package: &Package| {
        // `!name`: must not be there
        let names = package
            .values("depend")
            .filter(|dependency| !dependency.starts_with('!'));
        names
            .filter_map(|name| providers.get(name_of(name)))
            .flatten()
            .copied()
            .collect()
    };
    packages.iter().map(of).collect()
}

/// Each package behind those it needs, else by name. Of packages that need each other the first by name comes last.
pub fn sorted(mut packages: Vec<Package>) -> Vec<Package> {
    packages.sort_by(|a, b| a.name().cmp(b.name()));
    let needs = needs(&packages);
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for start in 0..packages.len() {
        // a stack of our own: chains are long
        let mut stack = vec![(start, false)];
        while let Some((index, left)) = stack.pop() {
            if left {
                order.push(index);
            } else if seen.insert(index) {
                stack.push((index, true));
                stack.extend(
                    needs[index]
                        .iter()
                        .rev()
                        .filter(|need| !seen.contains(need))
                        .map(|need| (*need, false)),
                );
            }
        }
    }
    let mut packages: Vec<Option<Package>> = packages.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|index| packages[index].take())
        .collect()
}

/// The packages that no other needs, and as many more as it takes for all to be needed.
pub fn wanted(packages: &[Package]) -> Vec<&str> {
    let needs = needs(packages);
    let others = |index: usize| {
        let users = needs.iter().enumerate().filter(move |(user, _)| *user != index);
        users.flat_map(|(_, list)| list).any(|need| *need == index)
    };
    let (free, needed): (Vec<usize>, Vec<usize>) = (0..packages.len()).partition(|index| !others(*index));
    let (mut reached, mut wanted) = (BTreeSet::new(), Vec::new());
    for index in free.into_iter().chain(needed.into_iter().rev()) {
        if reached.contains(&index) {
            continue;
        }
        wanted.push(packages[index].name());
        let mut stack = vec![index];
        while let Some(index) = stack.pop() {
            if reached.insert(index) {
                stack.extend(&needs[index]);
            }
        }
    }
    wanted
}
