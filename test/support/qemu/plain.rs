//! Text from a terminal's stream: without escape sequences and carriage returns.

/// Takes the stream in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Plain {
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After `ESC [`: up to a byte in `@..~`.
    Control,
    /// After `ESC ]`, `ESC P` and so on: up to BEL or `ESC \`.
    Command,
    /// After ESC in a command, or after one that takes one more byte.
    Last,
}

impl Plain {
    /// Appends what of `bytes` is text to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, 0x1b) => State::Escape,
                (State::Text, b'\n' | b'\t' | 0x20..=0x7e | 0x80..) => {
                    out.push(byte);
                    State::Text
                }
                (State::Text, _) => State::Text,
                (State::Escape, b'[') => State::Control,
                (State::Escape, b']' | b'P' | b'^' | b'_' | b'X') => State::Command,
                (State::Escape, b'(' | b')' | b'#' | b' ' | b'%') => State::Last,
                (State::Control, 0x40..=0x7e) => State::Text,
                (State::Control, _) => State::Control,
                (State::Command, 0x07) => State::Text,
                (State::Command, 0x1b) => State::Last,
                (State::Command, _) => State::Command,
                (State::Escape | State::Last, _) => State::Text,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_remains() {
        let stream =
            b"\x1bc\x1b[?7l\x1b[2J\x1b[0;32m  OK  \x1b[0m started\r\n\x1b]0;title\x07a\x1b]3008;x\x1b\\b\x1b(Bc\x00";
        for size in [1, 3, stream.len()] {
            let (mut plain, mut out) = (Plain::default(), Vec::new());
            stream.chunks(size).for_each(|piece| plain.push(piece, &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), "  OK   started\nabc");
        }
    }
}
