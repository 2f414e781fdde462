//! CRC-32C (Castagnoli), as ext4 uses it: no inversion at either end.

/// The first table is that of single bytes; the n-th is what such a byte comes to n bytes later.
const TABLES: [[u32; 256]; 8] = tables();

/// Continues `crc` over `bytes`; ext4 starts with `!0`.
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(crc, |crc, eight| {
        let word = u64::from_le_bytes(*eight) ^ u64::from(crc);
        word.to_le_bytes()
            .iter()
            .zip(TABLES.iter().rev())
            .fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)])
    });
    rest.iter().fold(crc, |crc, byte| {
        TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 64 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
            bit += 1;
            if bit % 8 == 0 {
                tables[bit / 8 - 1][index] = crc;
            }
        }
        index += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(!super::update(!0, b"123456789"), 0xe306_9283);
        assert_eq!(!super::update(super::update(!0, b"1"), b"23456789"), 0xe306_9283);
    }
}
