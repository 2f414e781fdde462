//! The records of a zip archive (PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.3.16).

/// Sizes and offsets from here on are in a zip64 field.
pub(crate) const LARGE: u64 = 0xffff_ffff;
/// Made on Unix, by the rules of version 3.0.
const MADE_BY: u16 = 3 << 8 | 30;
/// The name is UTF-8.
const UTF8: u16 = 1 << 11;

/// A member, as far as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// With a slash at the end of a directory.
    pub(crate) name: Vec<u8>,
    /// Kind and permissions.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) deflated: bool,
    pub(crate) crc: u32,
    pub(crate) size: u64,
    /// What it takes in the archive.
    pub(crate) packed: u64,
    /// Where its header is.
    pub(crate) offset: u64,
    /// Its sizes are in a zip64 field.
    pub(crate) large: bool,
}

impl Record {
    /// The header before the content.
    pub(crate) fn local(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        if self.large {
            extra.extend(field(
                1,
                &[self.size.to_le_bytes(), self.packed.to_le_bytes()].concat(),
            ));
        }
        extra.extend(self.unix());
        let mut bytes = b"PK\x03\x04".to_vec();
        self.common(&mut bytes, self.large, self.large, extra.len());
        bytes.extend_from_slice(&self.name);
        bytes.extend(extra);
        bytes
    }

    /// The entry of the directory at the end.
    pub(crate) fn central(&self) -> Vec<u8> {
        let sizes = [
            (self.size, self.large || self.size >= LARGE),
            (self.packed, self.large || self.packed >= LARGE),
            (self.offset, self.offset >= LARGE),
        ];
        let wide: Vec<u8> = sizes
            .iter()
            .filter(|(_, wide)| *wide)
            .flat_map(|(value, _)| value.to_le_bytes())
            .collect();
        let mut extra = Vec::new();
        if !wide.is_empty() {
            extra.extend(field(1, &wide));
        }
        extra.extend(self.unix());
        let mut bytes = b"PK\x01\x02".to_vec();
        bytes.extend(MADE_BY.to_le_bytes());
        self.common(&mut bytes, sizes[0].1, sizes[1].1, extra.len());
        // comment, disk, internal attributes
        bytes.extend([0; 6]);
        let directory = u32::from(self.name.ends_with(b"/")) << 4;
        bytes.extend((self.mode << 16 | directory).to_le_bytes());
        bytes.extend(narrow(self.offset, sizes[2].1).to_le_bytes());
        bytes.extend_from_slice(&self.name);
        bytes.extend(extra);
        bytes
    }

    /// What both headers have: version, flags, method, time, sum, sizes, lengths.
    fn common(&self, bytes: &mut Vec<u8>, wide_size: bool, wide_packed: bool, extra: usize) {
        let version: u16 = match (wide_size || wide_packed, self.deflated) {
            (true, _) => 45,
            (false, true) => 20,
            (false, false) => 10,
        };
        let utf8 = !self.name.is_ascii() && std::str::from_utf8(&self.name).is_ok();
        let (date, time) = dos_time(self.mtime);
        for number in [
            version,
            if utf8 { UTF8 } else { 0 },
            if self.deflated { 8 } else { 0 },
            time,
            date,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(narrow(self.packed, wide_packed).to_le_bytes());
        bytes.extend(narrow(self.size, wide_size).to_le_bytes());
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes.extend((extra as u16).to_le_bytes());
    }

    /// Info-ZIP's fields of the time and of the owner.
    fn unix(&self) -> Vec<u8> {
        let seconds = self.mtime.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let mut time = vec![1];
        time.extend(seconds.to_le_bytes());
        let mut owner = vec![1, 4];
        owner.extend(self.uid.to_le_bytes());
        owner.push(4);
        owner.extend(self.gid.to_le_bytes());
        [field(0x5455, &time), field(0x7875, &owner)].concat()
    }
}

/// The records at the end of an archive whose directory of `count` entries is at `start` and takes `length` bytes.
pub(crate) fn end(count: u64, start: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if count >= 0xffff || start >= LARGE || length >= LARGE {
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44u64.to_le_bytes());
        bytes.extend(MADE_BY.to_le_bytes());
        bytes.extend(45u16.to_le_bytes());
        bytes.extend([0; 8]);
        for number in [count, count, length, start] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07");
        bytes.extend([0; 4]);
        bytes.extend((start + length).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
    }
    bytes.extend(b"PK\x05\x06");
    bytes.extend([0; 4]);
    let short = count.min(0xffff) as u16;
    bytes.extend(short.to_le_bytes());
    bytes.extend(short.to_le_bytes());
    bytes.extend((length.min(LARGE) as u32).to_le_bytes());
    bytes.extend((start.min(LARGE) as u32).to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

fn field(id: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend((content.len() as u16).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

fn narrow(value: u64, wide: bool) -> u32 {
    if wide { u32::MAX } else { value as u32 }
}

/// Date and time of DOS, which begin in 1980, in UTC.
fn dos_time(seconds: i64) -> (u16, u16) {
    // 1980-01-01, and the last second of 2107
    let seconds = seconds.clamp(315_532_800, 4_354_819_199);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's days of the civil calendar: years begin in March; all of these are in three eras
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + 400 * era + i64::from(month <= 2);
    let date = (year - 1980) << 9 | month << 5 | day;
    let time = (rest / 3600) << 11 | (rest / 60 % 60) << 5 | (rest % 60 / 2);
    (date as u16, time as u16)
}

#[cfg(test)]
mod tests {
    use super::dos_time;

    #[test]
    fn dates_of_dos() {
        assert_eq!(dos_time(0), (1 << 5 | 1, 0));
        // 2000-02-29 12:16:30
        assert_eq!(
            dos_time(951_826_590),
            (20 << 9 | 2 << 5 | 29, 12 << 11 | 16 << 5 | 15)
        );
        assert_eq!(dos_time(i64::MAX).0, 127 << 9 | 12 << 5 | 31);
    }
}
