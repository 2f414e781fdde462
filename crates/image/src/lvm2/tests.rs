use std::process::Command;

use uuid::Uuid;

use super::*;

const SIZE: u64 = 64 << 20;

fn volume(number: u128, name: &str, size: Extents) -> Volume {
    Volume {
        name: name.into(),
        id: Id::of(&Uuid::from_u128(number)),
        size,
    }
}

fn group(volumes: Vec<Volume>) -> Group {
    Group {
        name: "first".into(),
        id: Id::of(&Uuid::from_u128(u128::MAX)),
        pv_id: Id::of(&Uuid::from_u128(7)),
        pv_size: SIZE,
        volumes,
        created: 1_700_000_000,
        host: "osbuild".into(),
    }
}

fn image() -> (tempfile::NamedTempFile, SparseFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let image = SparseFile::new(file.reopen().unwrap(), SIZE).unwrap();
    (file, image)
}

fn device(image: &SparseFile) -> Device<'_> {
    Device {
        image,
        start: 0,
        size: SIZE,
    }
}

#[test]
fn lvm_finds_no_fault_with_it() {
    let volumes = vec![
        volume(1, "root", Extents::Bytes(9 << 20)),
        volume(2, "home", Extents::OfFree(100)),
    ];
    let group = group(volumes);
    let (file, image) = image();
    device(&image)
        .create(&group.pv_id, &group.text().unwrap())
        .unwrap();
    let change = Change {
        name: "second".into(),
        creation_time: Some(1),
        ..Change::default()
    };
    let text = device(&image).text().unwrap();
    device(&image).replace(&changed(&text, &change).unwrap()).unwrap();
    let dump = |what: &str| {
        let mut command = Command::new("pvck");
        command.env("LVM_SUPPRESS_FD_WARNINGS", "1");
        command.args(["--dump", what]).arg(file.path()).output()
    };
    let Ok(output) = dump("headers") else {
        return println!("skipped: pvck of LVM is not installed");
    };
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("CHECK") && !text.contains("WARNING"), "{text}");
    assert!(text.contains("metadata text at 4608 crc"), "{text}");
    let text = String::from_utf8_lossy(&dump("metadata").unwrap().stdout).into_owned();
    assert!(text.contains("second {") && text.contains("home {"), "{text}");
}

#[test]
fn volumes_lie_one_behind_the_other() {
    let text = |volumes| group(volumes).text();
    let good = text(vec![
        volume(1, "a", Extents::Count(3)),
        volume(2, "b", Extents::OfGroup(20)),
        volume(3, "c", Extents::OfFree(50)),
    ])
    .unwrap();
    // 15 extents: 3, 3, and half of 9
    for (count, first) in [(3, 0), (3, 3), (4, 6)] {
        let lines = format!(
            "extent_count = {count}\n\ntype = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pv0\", {first}\n"
        );
        assert!(good.contains(&lines), "{good}");
    }
    assert!(text(vec![volume(1, "a", Extents::Bytes(61 << 20))]).is_err());
    assert!(text(vec![volume(1, "a", Extents::OfFree(1))]).is_err());
    let twice = ["a", "a"].map(|name| volume(1, name, Extents::Count(1)));
    assert!(text(twice.to_vec()).is_err());
}

#[test]
fn the_text_may_go_round_the_end_of_its_area() {
    let (_file, image) = image();
    let device = device(&image);
    device.create(&Id::of(&Uuid::nil()), "x").unwrap();
    let area = Area {
        start: AREA_AT,
        size: AREA_SIZE,
        text_at: AREA_SIZE - 512,
        text_size: 0,
    };
    let long = "0123456789".repeat(100);
    area.replace(&device, &long).unwrap();
    assert_eq!(device.text().unwrap(), long);
    device.replace(&long[1..]).unwrap();
    assert_eq!(device.text().unwrap(), long[1..]);
    assert!(device.replace(&"x".repeat(2 << 20)).is_err());
}

#[test]
fn what_is_no_physical_volume_is_refused() {
    let (_file, image) = image();
    let device = device(&image);
    assert!(device.text().is_err());
    device.create(&Id::of(&Uuid::nil()), "x").unwrap();
    image.write(b"?", LABEL_AT + 100).unwrap();
    let error = device.text().unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    device.create(&Id::of(&Uuid::nil()), "x").unwrap();
    image.write(b"?", AREA_AT + 44).unwrap();
    assert!(device.text().is_err());
}
