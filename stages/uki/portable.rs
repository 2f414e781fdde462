//! Programs in Microsoft's Portable Executable format, and sections that are added to them.
//!
//! ```text
//! 0x3c   offset of "PE\0\0"
//! PE     "PE\0\0", COFF header (20 bytes), optional header, section table (40 bytes each)
//!        the sections' bytes, each at a multiple of the file alignment
//! ```
//!
//! All numbers are little-endian. In memory sections lie at multiples of the section alignment.

use module::{Context, Result, ensure};

/// Offsets in the optional header of a 64-bit or 32-bit program alike.
const SECTION_ALIGNMENT: usize = 32;
const FILE_ALIGNMENT: usize = 36;
const SIZE_OF_IMAGE: usize = 56;
const SIZE_OF_HEADERS: usize = 60;
const CHECKSUM: usize = 64;

/// Initialized data that can be read.
const DATA: u32 = 0x4000_0040;
const COFF_SIZE: usize = 20;
const ENTRY: usize = 40;

/// A program for UEFI.
#[derive(Debug)]
pub struct Executable {
    bytes: Vec<u8>,
    /// Where the COFF header and the optional header begin, and the section table.
    coff: usize,
    optional: usize,
    table: usize,
    added: Vec<(String, Vec<u8>)>,
}

impl Executable {
    /// Reads the headers.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let coff = get(&bytes, 0x3c, 4)? as usize + 4;
        ensure!(
            bytes.get(..2) == Some(b"MZ") && bytes.get(coff - 4..coff) == Some(b"PE\0\0"),
            "the stub is not a program for UEFI"
        );
        let optional = coff + COFF_SIZE;
        let table = optional + get(&bytes, coff + 16, 2)? as usize;
        let executable = Self {
            bytes,
            coff,
            optional,
            table,
            added: Vec::new(),
        };
        for alignment in [FILE_ALIGNMENT, SECTION_ALIGNMENT] {
            let alignment = executable.header(alignment)?;
            ensure!(
                alignment.is_power_of_two(),
                "the stub has an alignment of {alignment}"
            );
        }
        Ok(executable)
    }

    /// Adds a section behind all others.
    pub fn add(&mut self, name: &str, content: Vec<u8>) -> Result<()> {
        ensure!(name.len() <= 8, "{name} is too long for a section's name");
        self.added.push((name.to_owned(), content));
        Ok(())
    }

    /// The program with what was added.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.make_room()?;
        let (file_alignment, section_alignment) =
            (self.header(FILE_ALIGNMENT)?, self.header(SECTION_ALIGNMENT)?);
        let count = self.sections()?;
        let mut address = 0;
        for index in 0..count {
            let entry = self.table + index * ENTRY;
            let end = get(&self.bytes, entry + 12, 4)? + get(&self.bytes, entry + 8, 4)?;
            address = address.max(end);
        }
        let align = |value: u64, alignment: u64| value.next_multiple_of(alignment);
        let added = std::mem::take(&mut self.added);
        for (index, (name, content)) in added.iter().enumerate() {
            let entry = self.table + (count + index) * ENTRY;
            let (size, at) = (
                content.len() as u64,
                align(self.bytes.len() as u64, file_alignment),
            );
            address = align(address, section_alignment);
            self.bytes[entry..entry + ENTRY].fill(0);
            self.bytes[entry..entry + name.len()].copy_from_slice(name.as_bytes());
            let rounded = align(size, file_alignment);
            for (offset, value) in [
                (8, size),
                (12, address),
                (16, rounded),
                (20, at),
                (36, DATA.into()),
            ] {
                put(&mut self.bytes, entry + offset, value)?;
            }
            self.bytes.resize(usize::try_from(at)?, 0);
            self.bytes.extend_from_slice(content);
            self.bytes.resize(usize::try_from(at + rounded)?, 0);
            address += size.max(1);
        }
        let number = u16::try_from(count + added.len())?;
        self.bytes[self.coff + 2..self.coff + 4].copy_from_slice(&number.to_le_bytes());
        put(
            &mut self.bytes,
            self.optional + SIZE_OF_IMAGE,
            align(address, section_alignment),
        )?;
        // UEFI does not look at it
        put(&mut self.bytes, self.optional + CHECKSUM, 0)?;
        Ok(self.bytes)
    }

    /// Moves the sections' bytes back until the table has room for those that are added.
    fn make_room(&mut self) -> Result<()> {
        let count = self.sections()?;
        let end = (self.table + (count + self.added.len()) * ENTRY) as u64;
        let old = self.header(SIZE_OF_HEADERS)?;
        if end <= old {
            return Ok(());
        }
        let new = end.next_multiple_of(self.header(FILE_ALIGNMENT)?);
        for index in 0..count {
            let entry = self.table + index * ENTRY;
            ensure!(
                get(&self.bytes, entry + 12, 4)? >= new,
                "the stub has no room for more sections"
            );
            let at = get(&self.bytes, entry + 20, 4)?;
            if at != 0 {
                put(&mut self.bytes, entry + 20, at + new - old)?;
            }
        }
        // symbols, which nobody needs, are found by their place in the file
        put(&mut self.bytes, self.coff + 8, 0)?;
        put(&mut self.bytes, self.coff + 12, 0)?;
        put(&mut self.bytes, self.optional + SIZE_OF_HEADERS, new)?;
        let (old, new) = (usize::try_from(old)?, usize::try_from(new)?);
        ensure!(old <= self.bytes.len(), "the stub is cut off");
        self.bytes.splice(old..old, std::iter::repeat_n(0, new - old));
        Ok(())
    }

    fn sections(&self) -> Result<usize> {
        Ok(get(&self.bytes, self.coff + 2, 2)? as usize)
    }

    fn header(&self, offset: usize) -> Result<u64> {
        get(&self.bytes, self.optional + offset, 4)
    }
}

/// The number of `size` bytes at `offset`.
fn get(bytes: &[u8], offset: usize, size: usize) -> Result<u64> {
    let field = bytes.get(offset..offset + size).context("the stub is cut off")?;
    Ok(field
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn put(bytes: &mut [u8], offset: usize, value: u64) -> Result<()> {
    let value = u32::try_from(value).context("the image is larger than 4 GiB")?;
    let field = bytes.get_mut(offset..offset + 4).context("the stub is cut off")?;
    field.copy_from_slice(&value.to_le_bytes());
    Ok(())
}
