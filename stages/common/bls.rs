//! The entries of the Boot Loader Specification, `loader/entries/*.conf` below a `/boot`.

use module::{Result, Tree, ensure};

/// The paths of the entries below `boot`, sorted. No directory of entries is the same as an empty one.
pub fn boot_entries(tree: &Tree, boot: &str) -> Result<Vec<String>> {
    let dir = format!("{boot}/loader/entries");
    if !tree.is_dir(&dir) {
        return Ok(Vec::new());
    }
    let names = tree.list(&dir)?;
    let names = names.iter().filter_map(|name| name.to_str());
    Ok(names
        .filter(|name| name.ends_with(".conf") && !name.starts_with('.'))
        .map(|name| format!("{dir}/{name}"))
        .collect())
}

/// Appends kernel arguments to the `options` of each entry below `boot`; no entry at all is an error.
pub fn append_kernel_arguments(tree: &Tree, boot: &str, arguments: &[String]) -> Result<()> {
    let entries = boot_entries(tree, boot)?;
    ensure!(
        !entries.is_empty(),
        "there is no boot entry in {boot}/loader/entries: install a kernel that makes one before this stage"
    );
    for path in entries {
        tree.write(&path, with_arguments(&tree.read_text(&path)?, arguments))?;
    }
    Ok(())
}

/// The entry with the arguments at the end of its first line of options, which is added where there is none.
fn with_arguments(entry: &str, arguments: &[String]) -> String {
    let mut lines: Vec<String> = entry.lines().map(str::to_owned).collect();
    if !arguments.is_empty() {
        let arguments = arguments.join(" ");
        match lines.iter_mut().find(|line| line.starts_with("options ")) {
            Some(line) => *line = format!("{line} {arguments}"),
            None => lines.push(format!("options {arguments}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::with_arguments;

    #[test]
    fn the_first_options_are_extended() {
        let add = |entry| with_arguments(entry, &["a".into(), "b=c".into()]);
        assert_eq!(
            add("title x\noptions ro\noptions q"),
            "title x\noptions ro a b=c\noptions q\n"
        );
        assert_eq!(add("title x\n"), "title x\noptions a b=c\n");
        assert_eq!(with_arguments("options ro\n", &[]), "options ro\n");
    }
}
