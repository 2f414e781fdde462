//! Many small downloads from a server on this machine.

use anyhow::Result;
use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use support::{Httpd, Reply};

use super::Bench;
use super::builder::{Build, remove};
use super::outcome::Outcome;
use super::series::Series;

const COUNT: u32 = 2000;

/// Fetches [`COUNT`] files of a few KiB into a fresh store.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let Some(peer) = &bench.peer else {
        say!("skipped: sources: there is no peer to compare with");
        return Ok(Vec::new());
    };
    let dir = bench.dir("sources")?;
    let files = (0..COUNT).map(|number| {
        (
            format!("/{number}"),
            format!("{number}\n").repeat(700).into_bytes(),
        )
    });
    let files: Vec<_> = files.collect();
    let replies = files
        .iter()
        .map(|(path, content)| (path.clone(), Reply::Content(content.clone())));
    let server = Httpd::serve(replies);
    let mut items = Map::new();
    for (path, content) in &files {
        let digest: String = Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        items.insert(format!("sha256:{digest}"), json!({"url": server.url(path)}));
    }
    let manifest = dir.join("manifest.json");
    let text = json!({"version": "2", "sources": {"org.osbuild.curl": {"items": items}},
        "pipelines": [{"name": "tree", "stages": [{"type": "org.osbuild.noop"}]}]});
    std::fs::write(&manifest, text.to_string())?;
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    for round in 0..=bench.runs {
        for (builder, series) in [(&bench.ours, &mut ours), (peer, &mut theirs)] {
            let (store, out) = (dir.join("store"), dir.join("out"));
            let spent = builder.build(&Build::of(&manifest, &store, &out, &["tree"]))?;
            remove(&[&store, &out])?;
            if round > 0 {
                series.push(spent.wall);
            }
        }
        say!("sources: round {round} of {}", bench.runs);
    }
    let what = "2,000 small sources from a local server";
    Ok(vec![Outcome::faster(
        "sources",
        what,
        (ours, "Python osbuild", theirs),
        5.0,
    )])
}
