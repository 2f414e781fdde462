//! A header of a format: zeros with fields at their offsets.

/// Bytes being filled in.
#[derive(Debug, Clone)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    pub(crate) fn new(size: usize) -> Self {
        Self(vec![0; size])
    }

    /// With these bytes at `offset`, which must lie within.
    pub(crate) fn bytes(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn le16(self, offset: usize, value: u16) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    pub(crate) fn le32(self, offset: usize, value: u32) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    pub(crate) fn le64(self, offset: usize, value: u64) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    pub(crate) fn be16(self, offset: usize, value: u16) -> Self {
        self.bytes(offset, &value.to_be_bytes())
    }

    pub(crate) fn be32(self, offset: usize, value: u32) -> Self {
        self.bytes(offset, &value.to_be_bytes())
    }

    pub(crate) fn be64(self, offset: usize, value: u64) -> Self {
        self.bytes(offset, &value.to_be_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}
