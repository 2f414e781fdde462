//! What a machine that is lost said last.

use std::path::Path;

/// So many lines say enough.
const TAIL: usize = 8;

/// The lines of a file, without what only a terminal understands.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let plain = |line: &str| -> String {
        let line = line.chars().filter(|c| !c.is_control() || *c == '\t');
        line.collect::<String>().trim_end().to_owned()
    };
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(plain).filter(|line| !line.is_empty()).collect()
}

/// Why the machine is lost, as the end of a message: what its first process said, or its kernel, or else the last lines
/// of whoever said something.
pub(crate) fn reason(console: &[String], qemu: &[String], virtiofsd: &[String]) -> String {
    let last = |mark: &str| {
        let line = console
            .iter()
            .rev()
            .find_map(|line| line.find(mark).map(|at| &line[at..]));
        line.map(str::to_owned)
    };
    let known = last("error: ").or_else(|| last("Kernel panic - "));
    if let Some(line) = known {
        return format!(": {}", line.trim_start_matches("error: "));
    }
    // what an emulated processor lacks
    let qemu: Vec<String> = qemu
        .iter()
        .filter(|line| !line.contains(": warning: "))
        .cloned()
        .collect();
    let all = [
        ("its console ends with", console),
        ("QEMU said", &qemu),
        ("virtiofsd said", virtiofsd),
    ];
    match all.iter().find(|(_, lines)| !lines.is_empty()) {
        None => String::new(),
        Some((what, lines)) => format!(
            "; {what}\n{}",
            lines[lines.len().saturating_sub(TAIL)..].join("\n")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn the_one_who_knows_is_heard() {
        let panic = "[    7.9] Kernel panic - not syncing: sysrq triggered crash";
        let console = texts(&[panic, "[    7.9] Call Trace:"]);
        let said = reason(&console, &texts(&["x"]), &[]);
        assert_eq!(said, ": Kernel panic - not syncing: sysrq triggered crash");
        let console = texts(&[
            "error: cannot mount virtiofs",
            "[    1.0] Kernel panic - not syncing: init",
        ]);
        assert_eq!(reason(&console, &[], &[]), ": cannot mount virtiofs");
    }

    #[test]
    fn else_the_last_lines_of_somebody() {
        let warning = "qemu-system-x86_64: warning: TCG doesn't support requested feature";
        let said = reason(
            &[],
            &texts(&[warning, "qemu-system-x86_64: no memory"]),
            &texts(&["y"]),
        );
        assert_eq!(said, "; QEMU said\nqemu-system-x86_64: no memory");
        assert_eq!(
            reason(&[], &texts(&[warning]), &texts(&["y"])),
            "; virtiofsd said\ny"
        );
        assert_eq!(reason(&[], &[], &[]), "");
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert!(reason(&many, &[], &[]).starts_with("; its console ends with\n92\n"));
    }
}
