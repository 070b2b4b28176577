//! Rows that are gone, to look for in every list of a cell.

use std::collections::HashSet;

use crate::id::NodeId;

/// A set of nodes that says quickly that one is not in it.
#[derive(Debug)]
pub(super) struct Gone {
    nodes: HashSet<NodeId>,
    /// A bit for each value of [`bit`]: zero when no node has it.
    filter: Vec<u64>,
}

/// Bits of the filter, as a power of two: one in eight is set by the 8000 rows that a full default cell twice over has.
const BITS: u32 = 16;

/// A node's bit: the word it is in, and the word with nothing else. By Fibonacci hashing (Knuth, The Art of Computer Programming 3,
/// section 6.4), whose upper bits are the ones to use.
fn bit(node: NodeId) -> (usize, u64) {
    let bit = node.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - BITS);
    ((bit / 64) as usize, 1 << (bit % 64))
}

impl Gone {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().copied()
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        let (word, bit) = bit(node);
        self.filter[word] & bit != 0 && self.nodes.contains(&node)
    }
}

impl FromIterator<NodeId> for Gone {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let nodes: HashSet<NodeId> = nodes.into_iter().collect();
        let mut filter = vec![0; if nodes.is_empty() { 0 } else { 1 << (BITS - 6) }];
        for (word, bit) in nodes.iter().map(|node| bit(*node)) {
            filter[word] |= bit;
        }
        Gone { nodes, filter }
    }
}
