//! Modes as chmod(1) reads them.

use module::{Result, anyhow, bail};

const UMASK: u32 = 0o022;
const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;
const ALL: u32 = 0o7777;

/// A change of permission bits: its steps in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    op: Op,
    /// The bits of those it is about; `None`: nobody was named, so all of them but for the umask.
    who: Option<u32>,
    what: What,
    /// The set-id bits that the text speaks of; a directory keeps the others.
    mentioned: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// These bits, for everybody; and whether `X` stands among them.
    Bits { bits: u32, search: bool },
    /// What these three bits (shift) have now.
    CopyOf(u32),
}

impl Mode {
    /// Reads an octal or a symbolic mode.
    pub fn parse(text: &str) -> Result<Self> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Self(vec![octal(text, Op::Set, text)?]));
        }
        let mut steps = Vec::new();
        for clause in text.split(',') {
            clause_steps(text, clause, &mut steps)?;
        }
        Ok(Self(steps))
    }

    /// The bits that `old` becomes.
    pub fn apply(&self, old: u32, is_dir: bool) -> u32 {
        let mut mode = old & ALL;
        for step in &self.0 {
            let kept = if is_dir { SET_ID & !step.mentioned } else { 0 };
            let bits = match step.what {
                What::Bits { bits, search } if search && (is_dir || mode & 0o111 != 0) => bits | 0o111,
                What::Bits { bits, .. } => bits,
                What::CopyOf(shift) => (mode >> shift & 0o7) * 0o111,
            };
            let bits = bits & step.who.unwrap_or(!UMASK) & !kept;
            mode = match step.op {
                Op::Add => mode | bits,
                Op::Remove => mode & !bits,
                Op::Set => mode & (step.who.map_or(0, |who| !who) | kept) | bits,
            };
        }
        mode & ALL
    }
}

fn octal(text: &str, op: Op, digits: &str) -> Result<Step> {
    let bits = u32::from_str_radix(digits, 8)
        .ok()
        .filter(|bits| *bits <= ALL)
        .ok_or_else(|| invalid(text))?;
    // a fifth digit makes the absence of set-id bits explicit, and so does an operator before the digits
    let explicit = digits.len() > 4 || digits.len() < text.len();
    Ok(Step {
        op,
        who: Some(ALL),
        what: What::Bits { bits, search: false },
        mentioned: if explicit { ALL } else { bits },
    })
}

/// `[ugoa]*([-+=]([rwxXst]*|[ugo]|DIGITS))+`
fn clause_steps(text: &str, clause: &str, steps: &mut Vec<Step>) -> Result<()> {
    let at = clause.find(['+', '-', '=']).ok_or_else(|| invalid(text))?;
    let (who, mut rest) = clause.split_at(at);
    let mut bits = 0;
    for c in who.chars() {
        bits |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => ALL,
            _ => bail!(invalid(text)),
        };
    }
    let who = (!who.is_empty()).then_some(bits);
    while let Some(op) = rest.chars().next() {
        let op = match op {
            '+' => Op::Add,
            '-' => Op::Remove,
            '=' => Op::Set,
            _ => bail!(invalid(text)),
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
        let what = &rest[1..end];
        rest = &rest[end..];
        if what.starts_with(|c: char| c.is_ascii_digit()) {
            if who.is_some() {
                bail!(invalid(text));
            }
            steps.push(octal(text, op, what)?);
            continue;
        }
        let what = permissions(text, what)?;
        let mentioned = match what {
            What::Bits { bits, .. } => bits & who.unwrap_or(ALL),
            What::CopyOf(_) => 0,
        };
        steps.push(Step {
            op,
            who,
            what,
            mentioned,
        });
    }
    Ok(())
}

fn permissions(text: &str, what: &str) -> Result<What> {
    match what {
        "u" => return Ok(What::CopyOf(6)),
        "g" => return Ok(What::CopyOf(3)),
        "o" => return Ok(What::CopyOf(0)),
        _ => {}
    }
    let (mut bits, mut search) = (0, false);
    for c in what.chars() {
        match c {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            'X' => search = true,
            's' => bits |= SET_ID,
            't' => bits |= STICKY,
            _ => bail!(invalid(text)),
        }
    }
    Ok(What::Bits { bits, search })
}

fn invalid(text: &str) -> anyhow::Error {
    anyhow!("`{text}` is not a mode: write it like 0644 or u+x,go-w")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    /// chmod(1) itself says what is right.
    #[test]
    fn chmod_agrees() {
        let texts = "0755 4755 2770 00755 755 0 7777 +t -t u+s g-s ug+s u=rwx g=rx a=rX +X -x +w =w = u= go-w,u+x \
                     u=g g=u o=u,u-w +rw-x a+s o+t u+t a-rwx =rwxs u=rwxs,g=s +0644 =0755 -0111 =00755 g+X o=g-x a=";
        let bad = "x 8 0999 77777 u u+q 0644x +g7 ,u+x u+x, u+rwu u=0644 \u{e4}+x";
        let dir = tempfile::tempdir().unwrap();
        let (file, sub) = (dir.path().join("f"), dir.path().join("d"));
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(&sub).unwrap();
        for old in [0o644, 0o755, 0o4711, 0o2750, 0o6777, 0o1777, 0] {
            for text in texts.split_whitespace() {
                for (path, is_dir) in [(&file, false), (&sub, true)] {
                    std::fs::set_permissions(path, PermissionsExt::from_mode(old)).unwrap();
                    let script = "umask 022; exec chmod \"$1\" -- \"$2\" 2>/dev/null";
                    let mut chmod = Command::new("sh");
                    // where bits are left as the umask had them chmod says so and ends with 1
                    chmod.args(["-c", script, "sh", text]).arg(path).status().unwrap();
                    let wanted = path.metadata().unwrap().permissions().mode() & ALL;
                    let got = Mode::parse(text).unwrap().apply(old, is_dir);
                    assert_eq!(
                        got, wanted,
                        "{text} on {old:o}, directory: {is_dir}: {got:o}, not {wanted:o}"
                    );
                }
            }
        }
        for text in bad.split_whitespace() {
            assert!(Mode::parse(text).is_err(), "{text}");
            let mut chmod = Command::new("chmod");
            let chmod = chmod.args([text, "--"]).arg(&file).stderr(Stdio::null());
            assert!(!chmod.status().unwrap().success(), "{text}");
        }
    }
}
