//! Making the initramfs once, from the calls of update-initramfs that package scripts made.

use std::collections::BTreeSet;

use module::{Result, Tree};

use super::dpkg::Dpkg;
use super::quiet::INITRAMFS_CALLS;

/// Runs update-initramfs as often as needed: once for each kernel.
pub fn make(tree: &Tree, dpkg: &Dpkg<'_>) -> Result<()> {
    if !tree.exists(INITRAMFS_CALLS) {
        return Ok(());
    }
    let mut present = BTreeSet::new();
    for name in tree.list("boot")? {
        if let Some(version) = name.to_str().and_then(|name| name.strip_prefix("initrd.img-")) {
            present.insert(version.to_owned());
        }
    }
    for call in calls(&tree.read_text(INITRAMFS_CALLS)?, &present) {
        dpkg.tool("update-initramfs").args(&call).run()?;
    }
    Ok(())
}

/// The calls to make for the ones that were `noted`, one on a line, where the kernels `present` have an initramfs.
///
/// Those that make one are repeated as they were; an update without a version is one of each kernel that has
/// an initramfs and gets no new one.
fn calls(noted: &str, present: &BTreeSet<String>) -> Vec<Vec<String>> {
    let mut made = BTreeSet::new();
    let mut updated = BTreeSet::new();
    let mut calls = Vec::<Vec<String>>::new();
    for line in noted.lines() {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let after_k = words.iter().skip_while(|word| *word != "-k").nth(1);
        let version = after_k.filter(|version| *version != "all");
        match version {
            _ if words.iter().any(|word| word.starts_with("-c")) => {
                made.extend(version.cloned());
                if !calls.contains(&words) {
                    calls.push(words);
                }
            }
            Some(version) => {
                updated.insert(version.clone());
            }
            None => updated.extend(present.iter().cloned()),
        }
    }
    let update = |version: &String| ["-u", "-k", version].map(str::to_owned).to_vec();
    calls.extend(updated.difference(&made).map(update));
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(noted: &str, present: &[&str]) -> Vec<String> {
        let present = present.iter().map(|v| (*v).to_owned()).collect();
        calls(noted, &present)
            .iter()
            .map(|words| words.join(" "))
            .collect()
    }

    #[test]
    fn a_new_kernel_is_served_once() {
        let noted = "-u\n-c -k 6.1.0-1 -b /boot\n-c -k 6.1.0-1 -b /boot\n-u -k all\n";
        assert_eq!(run(noted, &[]), ["-c -k 6.1.0-1 -b /boot"]);
    }

    #[test]
    fn an_update_reaches_the_kernels_that_are_there() {
        assert_eq!(run("-u\n", &["5", "6"]), ["-u -k 5", "-u -k 6"]);
        assert_eq!(run("-u\n-c -k 6\n", &["5", "6"]), ["-c -k 6", "-u -k 5"]);
        assert_eq!(run("-u -k 5\n", &["5", "6"]), ["-u -k 5"]);
        assert_eq!(run("-u\n", &[]), Vec::<String>::new());
    }
}
