//! The text of a console without what the kernel says there.
//!
//! The kernel writes at any time, also into the middle of what a program writes: then the program's line goes on behind
//! the kernel's.

/// Takes the text in pieces of any size, and leaves out lines that begin with the kernel's time, as `[   12.345678] `.
#[derive(Debug, Default)]
pub(super) struct WithoutKernel {
    /// What may become such a time.
    held: Vec<u8>,
    in_message: bool,
}

/// What a text is the beginning of.
enum Begins {
    Perhaps,
    Message,
    Text,
}

impl WithoutKernel {
    /// Appends what others said to `out`.
    pub(super) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            if self.in_message {
                self.in_message = byte != b'\n';
                continue;
            }
            if byte == b'[' {
                out.append(&mut self.held);
            }
            if byte != b'[' && self.held.is_empty() {
                out.push(byte);
                continue;
            }
            self.held.push(byte);
            match begins(&self.held) {
                Begins::Perhaps => (),
                Begins::Message => {
                    self.held.clear();
                    self.in_message = true;
                }
                Begins::Text => out.append(&mut self.held),
            }
        }
    }
}

/// Judges a text that begins with `[`: spaces, seconds, a point, six digits of microseconds, `] `.
fn begins(text: &[u8]) -> Begins {
    let spaces = text[1..].iter().take_while(|byte| **byte == b' ').count();
    let stamp = &text[1 + spaces..];
    let seconds = stamp.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = match &stamp[seconds..] {
        [] => return Begins::Perhaps,
        [b'.', rest @ ..] if seconds > 0 => rest,
        _ => return Begins::Text,
    };
    let (fraction, end) = rest.split_at(rest.len().min(6));
    match (fraction.iter().all(u8::is_ascii_digit), end) {
        (true, b"] ") => Begins::Message,
        (true, b"" | b"]") => Begins::Perhaps,
        _ => Begins::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_print_is_put_together_again() {
        let stream = b"[    0.000000] Linux\n[  OK  ] started\nwe[   12.345678] hrtimer: [1.5] slow\n\
            b1 lo[ 1234.000001] input\ngin: [[    1.000000] x\n] [sudo] [ 12.5] a[1] [12.1234567] b";
        for size in [1, 3, stream.len()] {
            let (mut without, mut out) = (WithoutKernel::default(), Vec::new());
            stream
                .chunks(size)
                .for_each(|piece| without.push(piece, &mut out));
            assert_eq!(
                String::from_utf8(out).unwrap(),
                "[  OK  ] started\nweb1 login: [] [sudo] [ 12.5] a[1] [12.1234567] b"
            );
        }
    }
}
