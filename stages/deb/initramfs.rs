//! Making the initramfs once, from the calls of update-initramfs that package scripts made.

use std::collections::BTreeSet;

use module::{Result, Tree};

use super::dpkg::{Dpkg, WORK};
use super::quiet::{INITRAMFS_CALLS, with_mounts};

/// What all scripts that make an initramfs with initramfs-tools read.
const FUNCTIONS: &str = "usr/share/initramfs-tools/hook-functions";
/// Functions of ours before them: of the programs that are started half are spared, and the result is the same.
const SHORTCUTS: &str = include_str!("shortcuts.sh");

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
    let calls = calls(&tree.read_text(INITRAMFS_CALLS)?, &present);
    let mut shortcuts = Vec::new();
    if tree.is_file(FUNCTIONS) {
        let source = format!("{WORK}/hook-functions");
        tree.write(&source, [SHORTCUTS.as_bytes(), &tree.read(FUNCTIONS)?].concat())?;
        shortcuts.push((source, FUNCTIONS.to_owned()));
    }
    with_mounts(tree, &shortcuts, || {
        calls
            .iter()
            .try_for_each(|call| dpkg.tool("update-initramfs").args(call).run())
    })
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

    #[test]
    fn shortcuts_say_what_the_programs_say() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"
            cd "$1"; root=$(pwd -P); mkdir -p a/b; echo x >a/b/file; ln -s b a/link; ln -s file a/b/other
            for path in a/b/file a/b a/link a/link/file a/b/other a//b a/./b a/b/ a/b/.. a/none none/none . '' /; do
                for path in "$path" "$root/$path" "//$root/$path" "/$path"; do
                    for call in 'realpath -ms' 'realpath -s' realpath 'readlink -f' 'readlink -e' readlink; do
                        ours=$($call "$path" 2>&1); ours="$ours $?"
                        theirs=$(command $call "$path" 2>&1); theirs="$theirs $?"
                        [ "$ours" = "$theirs" ] || echo "$call $path: $ours, not $theirs"
                    done
                done
            done
            for path in /bin /bin/sh /sbin /lib /usr/bin/sh; do
                [ "$(readlink -f $path)" = "$(command readlink -f $path)" ] || echo "readlink $path"
            done
            mkdir -p a/b a/new/dir && test -d a/new/dir || echo mkdir
            ! mkdir -p a/b/file 2>/dev/null || echo mkdir over a file"#;
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("{SHORTCUTS}{script}"), "sh"])
            .arg(dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.trim(), "");
    }
}
