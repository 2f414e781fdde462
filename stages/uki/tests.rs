use std::process::Command;

use super::*;

/// A program for UEFI with one section, and no room for more than `room` others in its headers.
fn program(room: usize) -> Vec<u8> {
    let table = 0x80 + 4 + 20 + 112;
    let mut bytes = vec![0u8; table + 40 * (1 + room)];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"MZ");
    put(0x3c, &0x80u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    let (coff, optional) = (0x84, 0x98);
    put(coff, &0x8664u16.to_le_bytes());
    put(coff + 2, &1u16.to_le_bytes());
    put(coff + 16, &112u16.to_le_bytes());
    put(coff + 18, &0x0206u16.to_le_bytes());
    put(optional, &0x20bu16.to_le_bytes());
    put(optional + 16, &0x1000u32.to_le_bytes());
    put(optional + 32, &0x1000u32.to_le_bytes());
    put(optional + 36, &0x200u32.to_le_bytes());
    put(optional + 56, &0x2000u32.to_le_bytes());
    put(optional + 68, &10u16.to_le_bytes());
    put(table, b".text\0\0\0");
    let headers = (table + 40 * (1 + room)).next_multiple_of(0x200) as u32;
    for (offset, value) in [
        (8, 5u32),
        (12, 0x1000),
        (16, 0x200),
        (20, headers),
        (36, 0x6000_0020),
    ] {
        put(table + offset, &value.to_le_bytes());
    }
    put(optional + 60, &headers.to_le_bytes());
    bytes.resize(headers as usize, 0);
    bytes.extend_from_slice(b"code!");
    bytes.resize(headers as usize + 0x200, 0);
    bytes
}

/// Name, size and address of each section, as binutils read them.
fn sections(path: &Path) -> Option<Vec<(String, u64, u64)>> {
    let output = Command::new("objdump").arg("-h").arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row.len() >= 7 && row[0].parse::<u32>().is_ok());
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    Some(
        rows.map(|row| (row[1].to_owned(), hex(row[2]), hex(row[3])))
            .collect(),
    )
}

#[test]
fn sections_are_read_back_by_binutils() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uki.efi");
    let kernel: Vec<u8> = (0..70_000u32).map(|n| n as u8).collect();
    // with room in the table, and without
    for room in [20, 0] {
        let mut image = Executable::parse(program(room)).unwrap();
        for index in 0..8 {
            image
                .add(&format!(".s{index}"), vec![index; 10 + 600 * usize::from(index)])
                .unwrap();
        }
        image.add(".linux", kernel.clone()).unwrap();
        std::fs::write(&path, image.finish().unwrap()).unwrap();
        let Some(found) = sections(&path) else {
            return println!("skipped: there is no objdump");
        };
        assert_eq!(found.len(), 10, "{found:?}");
        assert!(
            found.windows(2).all(|pair| pair[0].2 + pair[0].1 <= pair[1].2),
            "{found:?}"
        );
        assert_eq!((found[9].0.as_str(), found[9].1), (".linux", 70_000));
        let out = dir.path().join("out");
        for (section, content) in [(".linux", &kernel[..]), (".text", b"code!"), (".s0", &[0; 10])] {
            let dump = format!("{section}={}", out.display());
            let mut objcopy = Command::new("objcopy");
            objcopy.args(["-O", "binary", "--dump-section", &dump]);
            objcopy.arg(&path).arg(dir.path().join("copy"));
            assert!(objcopy.status().unwrap().success());
            assert!(std::fs::read(&out).unwrap().starts_with(content), "{section}");
        }
    }
}

#[test]
fn what_is_no_program_is_refused() {
    for bytes in [&b""[..], b"MZ", &[0; 200]] {
        assert!(Executable::parse(bytes.to_vec()).is_err());
    }
    let mut cut = program(0);
    cut.truncate(0xa0);
    assert!(Executable::parse(cut).is_err());
}
