//! How long the chains of layers get: the layers at the top of a full one become one with the new layer.

use std::path::PathBuf;

use tree::Tree;
use tree::index::{GoOn, Index, Markers, TreeDigest, squash_upon};

use crate::info::Info;
use crate::object::{Below, read_index};
use crate::store::Store;
use crate::{Error, Object, Result, usage};

/// No tree gets more layers: overlayfs has a limit, and each one makes lookups slower.
pub(crate) const LAYERS: usize = if fault::ON { 4 } else { 60 };

impl Store {
    /// How many of the layers of `base` stay below the layer of the object `digest` that was made on it, which takes so many
    /// `bytes`. Those above are to become one with it.
    pub(crate) fn kept_layers(
        &self,
        base: &Object,
        digest: &TreeDigest,
        bytes: impl FnOnce() -> Result<u64>,
    ) -> Result<usize> {
        let chain = base.chain();
        // an object cannot lie below itself, which could only come from a damaged one that is now replaced
        let itself = chain.iter().rposition(|other| other == digest);
        if itself.is_none() && chain.len() < LAYERS {
            return Ok(chain.len());
        }
        let below_itself = itself.map_or(chain.len(), |at| chain.len() - 1 - at);
        let most = below_itself.min(LAYERS - 1).min(chain.len() - 1);
        // an index is read to make them one: that takes time, and what is copied space as well
        let index = base
            .path()
            .join("index")
            .metadata()
            .map_or(0, |index| index.len());
        let mut sizes = vec![bytes()? + index / 4];
        sizes.extend(chain.iter().map(|digest| self.layer_size(digest)));
        Ok(cheapest(&sizes, most))
    }

    /// Bytes on disk of an object's layer.
    fn layer_size(&self, digest: &TreeDigest) -> u64 {
        let dir = self.object_dir(digest);
        let index = dir.join("index").metadata();
        match (Info::read(&dir), index) {
            (Some(info), Ok(index)) => info.size.saturating_sub(index.len()),
            _ => usage::disk_usage(&dir.join("layer")),
        }
    }

    /// Makes the empty directory `to` one layer of the layers `above`, the topmost first, that lies on `below`. What it lies
    /// on in the end: nothing where it had to be the whole tree.
    pub(crate) fn merge_layers<'o>(
        &self,
        above: Vec<PathBuf>,
        below: Below<'o>,
        to: &Tree,
        go_on: GoOn<'_>,
    ) -> Result<Below<'o>> {
        let _span = trace::span("merge");
        let index = match below.digest() {
            Some(digest) => read_index(&self.object_dir(digest), *digest),
            None => Ok(Index::empty()),
        };
        let (index, kept) = match index {
            Ok(index) => (index, below),
            // without it nobody knows what the layers above have to hide
            Err(Error::Damaged { .. }) => (Index::empty(), Below::default()),
            Err(other) => return Err(other),
        };
        let mut layers = above;
        if kept.digest().is_none() {
            layers.extend(below.layers().iter().cloned());
        }
        let layers: tree::Result<Vec<Tree>> = layers.iter().map(Tree::open).collect();
        squash_upon(&index, &layers?, to, Markers::of_this_process(), go_on)?;
        Ok(kept)
    }
}

/// How many layers, at least one and at most so many, are to stay below a new one: so that fewest bytes are copied for each
/// layer that the chain loses. `sizes` are those of the layers, the new one first. 0: none may stay.
fn cheapest(sizes: &[u64], most: usize) -> usize {
    let mut best: Option<(usize, u128, u128)> = None;
    for kept in 1..=most {
        let copied = sizes.iter().rev().skip(kept).map(|size| u128::from(*size)).sum();
        // of so many and the new one there will be one
        let lost = (sizes.len() - 1 - kept) as u128;
        if best.is_none_or(|(_, least, of)| copied * of < least * lost) {
            best = Some((kept, copied, lost));
        }
    }
    best.map_or(0, |(kept, ..)| kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of layers from the bottom to the new one.
    fn kept(sizes: &[u64]) -> usize {
        let sizes: Vec<u64> = sizes.iter().rev().copied().collect();
        cheapest(&sizes, sizes.len() - 2)
    }

    #[test]
    fn the_layers_that_cost_least_become_one() {
        assert_eq!(kept(&[8000, 1, 1, 1, 1]), 1, "a large bottom stays");
        assert_eq!(
            kept(&[1, 1, 9000, 1, 1, 1]),
            3,
            "and so does what is large in the middle"
        );
        assert_eq!(
            kept(&[8000, 4, 1, 1, 1]),
            2,
            "what was merged before is not copied for little"
        );
        assert_eq!(kept(&[8000, 40, 30, 20, 3, 1]), 4);
        assert_eq!(kept(&[5, 5, 5, 5, 5]), 1);
        assert_eq!(kept(&[7, 0, 0, 0, 0]), 1, "of equals the longest");
        assert_eq!(
            kept(&[1, 1, 1, 900]),
            1,
            "a large new one is copied for all that it can free"
        );
        assert_eq!(kept(&[u64::MAX, u64::MAX, u64::MAX, u64::MAX]), 1);
        assert_eq!(cheapest(&[1, 1, 1], 0), 0, "none may stay");
    }

    /// What `stages` cost on a bottom: bytes written again, and the longest chain.
    fn cost(bottom: u64, stages: &[u64], longest: usize) -> (u64, usize) {
        let mut chain = vec![bottom];
        let (mut copied, mut most) = (0, 1);
        for stage in stages {
            chain.push(*stage);
            if chain.len() > longest {
                let merged = chain.split_off(kept(&chain)).iter().sum();
                copied += merged;
                chain.push(merged);
            }
            most = most.max(chain.len());
        }
        (copied, most)
    }

    #[test]
    fn long_pipelines_cost_what_their_stages_are() {
        let bottom = 8 << 30;
        let even = vec![1 << 20; 200];
        let (copied, longest) = cost(bottom, &even, 60);
        assert_eq!(longest, 60);
        assert!(copied <= 200 << 20, "{copied}");
        // of all sizes, the large ones where they do most harm: no more than all of them once for each full chain
        let uneven: Vec<u64> = (0..1000)
            .map(|n| if n % 59 == 58 { 1 << 30 } else { (n % 7) << 12 })
            .collect();
        let (copied, longest) = cost(bottom, &uneven, 60);
        assert_eq!(longest, 60);
        let all: u64 = uneven.iter().sum();
        assert!(copied <= 3 * all, "{copied} of {all}");
    }
}
