//! Crops as training sees them: decoded, a bounded number kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use kinetograph_dataflows::id::NodeId;

use super::feed::{Feed, FeedError};

/// Side of a crop, pixels.
pub const SIDE: usize = 96;
/// Bytes of a decoded crop: rows of RGB.
pub const BYTES: usize = SIDE * SIDE * 3;

/// Decoded crops, the oldest forgotten first. What is kept changes only the time it takes, never what is seen.
pub struct Crops {
    capacity: usize,
    decoded: HashMap<NodeId, Arc<[u8]>>,
    order: VecDeque<NodeId>,
    unreadable: u64,
}

impl Crops {
    /// Keeps at most `capacity` crops.
    pub fn new(capacity: usize) -> Self {
        Crops { capacity, decoded: HashMap::new(), order: VecDeque::new(), unreadable: 0 }
    }

    /// The crop's pixels, [`BYTES`] long; `None` when it is gone, or is no picture of that size (which is counted and
    /// logged: one bad crop stops nothing).
    ///
    /// # Errors
    /// [`FeedError`] when the state cannot be read.
    pub fn get(&mut self, node: NodeId, feed: &mut impl Feed) -> Result<Option<Arc<[u8]>>, FeedError> {
        if let Some(pixels) = self.decoded.get(&node) {
            return Ok(Some(pixels.clone()));
        }
        let Some(encoded) = feed.crop(node)? else { return Ok(None) };
        let picture = match image::load_from_memory(&encoded) {
            Ok(picture) => picture.into_rgb8().into_raw(),
            Err(reason) => {
                self.unreadable += 1;
                tracing::warn!(node = node.0, %reason, "a crop cannot be decoded; training goes on without it");
                return Ok(None);
            }
        };
        if picture.len() != BYTES {
            self.unreadable += 1;
            tracing::warn!(
                node = node.0,
                bytes = picture.len(),
                "a crop is not 96 x 96; training goes on without it"
            );
            return Ok(None);
        }
        let pixels: Arc<[u8]> = picture.into();
        if self.capacity > 0 {
            while self.decoded.len() >= self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.decoded.remove(&oldest);
            }
            self.decoded.insert(node, pixels.clone());
            self.order.push_back(node);
        }
        Ok(Some(pixels))
    }

    /// Forgets retired nodes.
    pub fn forget(&mut self, retired: &[NodeId]) {
        let before = self.decoded.len();
        retired.iter().for_each(|node| drop(self.decoded.remove(node)));
        if self.decoded.len() < before {
            self.order.retain(|node| self.decoded.contains_key(node));
        }
    }

    /// The number of crops that could not be used so far.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}

/// Writes a crop to the end of `into`, mirrored left to right if `mirror`.
pub fn push_view(pixels: &[u8], mirror: bool, into: &mut Vec<u8>) {
    if !mirror {
        into.extend_from_slice(pixels);
        return;
    }
    for row in pixels.chunks_exact(SIDE * 3) {
        into.extend(row.chunks_exact(3).rev().flatten());
    }
}
