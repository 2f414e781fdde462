//! Decompression, told by the first bytes: names and media types may say anything.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::process::{Child, ChildStdout, Command, Stdio};

use direct::{Input, Reader};
use liblzma::stream::Stream;

use crate::compress::spawning;
use crate::{Error, Result};

const BUFFER: usize = 256 * 1024;

/// The content of `file`, decompressed as far as it is compressed: gzip, bzip2, xz, lzma, zstd; lzip, lzop and compress
/// by the build root's tools.
pub fn open(file: File) -> Result<Box<dyn Read>> {
    let mut same = file.try_clone()?;
    let mut from = buffered(file);
    let start = from.fill_buf()?;
    let tool = match start {
        [0x1f, 0x8b, ..] => return Ok(Box::new(Gunzip::new(from))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Ok(Box::new(zstd::stream::read::Decoder::with_buffer(from)?));
        }
        [b'B', b'Z', b'h', ..] => return Ok(Box::new(bzip2::bufread::MultiBzDecoder::new(from))),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            return Ok(Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(from)));
        }
        // properties 3/0/2, a dictionary of whole KiB: what every encoder writes
        [0x5d, 0, 0, ..] => {
            let stream = Stream::new_lzma_decoder(u64::MAX).map_err(io::Error::from)?;
            return Ok(Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream)));
        }
        [b'L', b'Z', b'I', b'P', ..] => "lzip",
        [0x89, b'L', b'Z', b'O', ..] => "lzop",
        [0x1f, 0x9d, ..] => "gzip",
        _ => return Ok(Box::new(from)),
    };
    drop(from);
    same.rewind()?;
    let mut child = Command::new(tool)
        .arg("-dc")
        .stdin(same)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| spawning(tool, error))?;
    let Some(stdout) = child.stdout.take() else {
        return Error::unsuitable(format!("`{tool}` has no output"));
    };
    Ok(Box::new(Filter { tool, child, stdout }))
}

/// The content of the gzip members of `file`; zeros may follow them, as on a tape, but nothing else.
pub fn gunzip(file: File) -> impl Read {
    Gunzip::new(buffered(file))
}

/// Reads a file, a large one ahead and past the page cache: an archive is read once.
fn buffered(mut file: File) -> Box<dyn BufRead> {
    let is_large = |metadata: Metadata| metadata.is_file() && metadata.len() >= direct::LARGE;
    if file.metadata().is_ok_and(is_large)
        && let Ok(at) = file.stream_position()
    {
        return Box::new(Input::new(Reader::new(file), at));
    }
    Box::new(BufReader::with_capacity(BUFFER, file))
}

struct Gunzip<R> {
    /// `None` at the end.
    member: Option<flate2::bufread::GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    fn new(from: R) -> Self {
        Self {
            member: Some(flate2::bufread::GzDecoder::new(from)),
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let length = member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                self.member = Some(member);
                return Ok(length);
            }
            let mut rest = member.into_inner();
            match rest.fill_buf()?.first() {
                None => {}
                Some(0) => only_zeros(rest)?,
                Some(_) => self.member = Some(flate2::bufread::GzDecoder::new(rest)),
            }
        }
        Ok(0)
    }
}

fn only_zeros(mut rest: impl BufRead) -> io::Result<()> {
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something else follows the compressed data",
            ));
        }
        match bytes.len() {
            0 => return Ok(()),
            length => rest.consume(length),
        }
    }
}

/// What a tool decompresses; that it failed is known at its end.
struct Filter {
    tool: &'static str,
    child: Child,
    stdout: ChildStdout,
}

impl Read for Filter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stdout.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            let status = self.child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("`{}` failed: {status}", self.tool)));
            }
        }
        Ok(length)
    }
}

impl Drop for Filter {
    /// Ends one whose output nobody read to its end.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn members_follow_one_another_and_zeros_the_last() {
        let mut packed = Vec::new();
        for part in [&b"one "[..], b"two"] {
            crate::gzip::write(&mut packed, 1, |out| out.write_all(part)).unwrap();
        }
        packed.extend([0; 700]);
        let mut text = String::new();
        gunzip(file(&packed)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
        packed.push(b'x');
        assert!(gunzip(file(&packed)).read_to_string(&mut text).is_err());
        packed.truncate(20);
        assert!(gunzip(file(&packed)).read_to_string(&mut text).is_err());
    }

    #[test]
    fn what_is_compressed_here_is_told_by_its_first_bytes() {
        use crate::compress::{Compression, write};
        for compression in [
            None,
            Some(Compression::Gzip),
            Some(Compression::Bzip2),
            Some(Compression::Xz),
            Some(Compression::Lzma),
            Some(Compression::Zstd),
        ] {
            let packed = tempfile::tempfile().unwrap();
            let end = packed.try_clone().unwrap();
            write(end, compression, |out| -> Result<()> {
                Ok(out.write_all(b"some text")?)
            })
            .unwrap();
            let mut packed = packed;
            packed.rewind().unwrap();
            let mut text = String::new();
            open(packed).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "some text", "{compression:?}");
        }
    }

    #[test]
    fn a_large_file_is_read_to_its_end_from_where_it_stands() {
        let content: Vec<u8> = (0..direct::LARGE + 12_345)
            .map(|n| ((n * n) >> 9) as u8)
            .collect();
        let mut all = Vec::new();
        let mut from = file(&content);
        open(from.try_clone().unwrap())
            .unwrap()
            .read_to_end(&mut all)
            .unwrap();
        assert!(all == content);
        all.clear();
        from.seek(io::SeekFrom::Start(77)).unwrap();
        open(from).unwrap().read_to_end(&mut all).unwrap();
        assert!(all == content[77..]);
        let mut packed = Vec::new();
        crate::gzip::write(&mut packed, 0, |out| out.write_all(&content)).unwrap();
        all.clear();
        gunzip(file(&packed)).read_to_end(&mut all).unwrap();
        assert!(all == content);
    }
}
