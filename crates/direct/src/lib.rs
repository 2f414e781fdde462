//! Large files read and written past the page cache.
//!
//! A gigabyte that is read or written once, the plain way, takes a gigabyte of fresh pages, which the kernel clears, fills
//! and enters in its books, and for which it throws out what others would have used again. Where the disk is fast that
//! costs several times what the disk needs. Here the bytes go between the disk and [buffers](Buffer) that are used again
//! and again (`O_DIRECT` of open(2)).
//!
//! * [`Reader`]: positioned reads, by threads side by side; what is in the page cache already is taken from there.
//!   [`Input`]: a whole file, read ahead.
//! * [`Writer`]: positioned writes; [`Appender`]: pieces of any length one behind the other; [`Behind`]: full buffers, by a
//!   thread of its own.
//! * [`cached`]: how much of a file is in the page cache.
//!
//! Each has a second description of the file with `O_DIRECT` beside the plain one, so that what does not begin and end at
//! multiples of [`ALIGNMENT`] goes the plain way at any time; the kernel keeps both in step. Where the file system refuses,
//! everything goes the plain way: the bytes are the same. Nothing of this makes a file durable: that is fsync(2).
//!
//! It pays from about [`LARGE`] on. A small file is sooner read again from memory.

mod appender;
mod behind;
mod buffer;
mod cached;
mod input;
mod reader;
mod second;
mod writer;

pub use appender::Appender;
pub use behind::Behind;
pub use buffer::Buffer;
pub use cached::cached;
pub use input::Input;
pub use reader::Reader;
pub use writer::Writer;

/// Offsets, lengths and addresses of what passes the page cache are multiples of this many bytes: the most that a disk's
/// block has. A file system that wants more refuses, and is used the plain way.
pub const ALIGNMENT: usize = 4096;

/// Bytes of a file from which on it is worth it.
pub const LARGE: u64 = 16 << 20;

/// A good size of a [`Buffer`]: the disk is busy most of the time, and the bytes are still in the processor's own cache.
pub const CHUNK: usize = 1 << 20;

/// Bytes up to the next multiple of the alignment.
fn up_to_aligned(at: u64) -> u64 {
    at.next_multiple_of(ALIGNMENT as u64) - at
}

fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

/// What of `length` bytes is whole blocks.
fn whole(length: usize) -> usize {
    length / ALIGNMENT * ALIGNMENT
}
