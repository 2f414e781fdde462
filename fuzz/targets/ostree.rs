//! OSTree archives of strangers: objects taken apart, files added, commits taken over and laid out.
#![no_main]

#[path = "support/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use ostree::object::{Kind, dirtree};
use ostree::parse::{Directory, Head, Root};
use ostree::{Archive, Checksum, Commit, Meta};
use place::Place;
use tree::Tree;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    match how {
        0..=0x3f => parse(rest),
        0x40..=0x7f => stored(rest),
        _ => drop(checked_out(&mut Unstructured::new(rest))),
    }
});

/// Bytes that are to be one of the kinds of objects.
fn parse(data: &[u8]) {
    let _ = Root::of_commit(data);
    if let Some(meta) = Meta::of_dirmeta(data) {
        assert_eq!(
            Meta::of_dirmeta(&meta.dirmeta()),
            Some(meta),
            "it is another one when written"
        );
    }
    if let Some(Directory { files, directories }) = Directory::of_dirtree(data) {
        let names = files
            .iter()
            .map(|(name, _)| name)
            .chain(directories.iter().map(|(name, ..)| name));
        for name in names {
            assert!(
                !name.is_empty() && name != "." && name != ".." && !name.contains('/'),
                "{name:?} is no name"
            );
        }
        let again = Directory::of_dirtree(&dirtree(&files, &directories));
        assert_eq!(
            again,
            Some(Directory { files, directories }),
            "it is another one when written"
        );
    }
    if let Ok(Some(head)) = Head::read(&mut &data[..]) {
        let again = head.meta.archive_header(&head.target, head.size);
        assert_eq!(
            Head::read(&mut &again[..]).ok().flatten(),
            Some(head),
            "it is another one when written"
        );
    }
}

/// A file as an archive has it, under a name that cannot be its checksum.
fn stored(data: &[u8]) {
    let place = Place::new();
    let parent = Tree::open(place.dir("tree")).expect("it was made just now");
    let archive = Archive::open_or_create(&parent, "repo").expect("it can be made");
    let added = archive.add_file(Checksum::of(data), &mut &data[..]);
    assert!(added.is_err(), "a file under the checksum of something else");
}

/// A commit whose checksums are right, of names, owners, modes and attributes that nobody would give.
fn checked_out(data: &mut Unstructured<'_>) -> Result<()> {
    let place = Place::new();
    let open = |name: &str| Tree::open(place.dir(name)).expect("it was made just now");
    let (from, to, tree) = (open("from"), open("to"), open("tree"));
    let from = Archive::open_or_create(&from, "repo").expect("it can be made");
    let to = Archive::open_or_create(&to, "repo").expect("it can be made");
    let names = place.names();
    let root = directory(&from, data, 0)?;
    let commit = match data.ratio(1, 8)? {
        true => data.bytes(data.len().min(200))?.to_vec(),
        false => Commit::default().object(root.0, root.1),
    };
    let checksum = Checksum::of(&commit);
    from.add_commit(checksum, &commit).expect("its checksum is right");
    let taken = to.take(&from, checksum, data.arbitrary()?);
    if taken.is_ok() {
        let laid_out = to.checkout(checksum, &tree);
        let whole = to.objects(checksum).is_ok();
        assert!(
            whole || laid_out.is_err(),
            "a commit that is not whole is laid out"
        );
    }
    assert_eq!(place.names(), names, "nothing gets out of a tree");
    Ok(())
}

/// A directory with some things in it: its dirtree and dirmeta.
fn directory(to: &Archive, data: &mut Unstructured<'_>, depth: usize) -> Result<(Checksum, Checksum)> {
    let (mut files, mut directories) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..data.int_in_range(0..=4)? {
        let name = name(data)?;
        if depth < 4 && data.ratio(1, 3)? {
            directories.insert(name, directory(to, data, depth + 1)?);
        } else {
            files.insert(name, file(to, data)?);
        }
    }
    let files: Vec<_> = files.into_iter().collect();
    let directories: Vec<_> = directories
        .into_iter()
        .map(|(name, (tree, meta))| (name, tree, meta))
        .collect();
    let mut add = |kind, bytes: Vec<u8>| {
        let checksum = Checksum::of(&bytes);
        to.add_metadata(kind, checksum, &bytes)
            .expect("its checksum is right");
        checksum
    };
    let tree = add(Kind::DirTree, dirtree(&files, &directories));
    Ok((tree, add(Kind::DirMeta, meta(data, 0o040_000)?.dirmeta())))
}

/// A file or symbolic link; now and then one that is said to be longer than it is.
fn file(to: &Archive, data: &mut Unstructured<'_>) -> Result<Checksum> {
    let target = match data.ratio(1, 3)? {
        true => PathBuf::from(name(data)?).join(name(data)?).display().to_string(),
        false => String::new(),
    };
    let meta = meta(data, if target.is_empty() { 0o100_000 } else { 0o120_000 })?;
    let content = data.bytes(data.len().min(5))?;
    let size = content.len() as u64 + u64::from(data.ratio(1, 8)?);
    let mut stored = meta.archive_header(&target, if target.is_empty() { size } else { 0 });
    let mut whole = meta.file_header(&target);
    if target.is_empty() {
        let mut encoder = DeflateEncoder::new(&mut stored, Compression::fast());
        encoder.write_all(content).expect("there is memory");
        encoder.finish().expect("there is memory");
        whole.extend_from_slice(content);
    }
    let checksum = Checksum::of(&whole);
    // those that cannot be added are missing then
    let _ = to.add_file(checksum, &mut &stored[..]);
    Ok(checksum)
}

fn meta(data: &mut Unstructured<'_>, kind: u32) -> Result<Meta> {
    let mut attributes = Vec::new();
    for _ in 0..data.int_in_range(0..=2)? {
        let name = *data.choose(&[
            "user.x",
            "trusted.overlay.opaque",
            "security.capability",
            "",
            "user.",
        ])?;
        attributes.push((name.into(), data.bytes(data.len().min(3))?.to_vec()));
    }
    let number = |data: &mut Unstructured<'_>| -> Result<u32> {
        Ok(if data.ratio(1, 4)? { data.arbitrary()? } else { 0 })
    };
    Ok(Meta {
        uid: number(data)?,
        gid: number(data)?,
        mode: if data.ratio(1, 4)? {
            data.arbitrary()?
        } else {
            kind | 0o755
        },
        attributes,
    })
}

fn name(data: &mut Unstructured<'_>) -> Result<String> {
    Ok(match data.int_in_range(0..=6)? {
        0 | 1 => "a".to_owned(),
        2 => "b".to_owned(),
        3 => "..".to_owned(),
        4 => "../a".to_owned(),
        5 => Path::new("/")
            .join(data.arbitrary::<&str>()?)
            .display()
            .to_string(),
        _ => data.arbitrary::<&str>()?.to_owned(),
    })
}
