//! Numbers as few bytes: seven bits a byte, the lowest first, the top bit set on all but the last; and sorted ids as their differences.

use crate::id::NodeId;

/// Appends `number` to `bytes`.
pub(crate) fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes the first number off `bytes`.
pub(crate) fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

/// Appends sorted `ids` to `bytes`.
pub(crate) fn push_ids(bytes: &mut Vec<u8>, ids: impl IntoIterator<Item = NodeId>) {
    let mut last = 0;
    for id in ids {
        push(bytes, id.0 - last);
        last = id.0;
    }
}

/// The ids in `bytes`, to its end.
pub(crate) fn ids(mut bytes: &[u8]) -> impl Iterator<Item = NodeId> + '_ {
    let mut last = 0;
    std::iter::from_fn(move || {
        last += pull(&mut bytes)?;
        Some(NodeId(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_numbers_come_back() {
        let numbers = [0, 1, 127, 128, 300, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| push(&mut bytes, *number));
        let mut rest = &bytes[..];
        numbers.iter().for_each(|number| assert_eq!(pull(&mut rest), Some(*number)));
        assert_eq!(pull(&mut rest), None);
        let mut bytes = Vec::new();
        push_ids(&mut bytes, numbers.map(NodeId));
        assert_eq!(ids(&bytes).collect::<Vec<_>>(), numbers.map(NodeId));
    }
}
