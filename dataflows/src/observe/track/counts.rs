//! The counts of what became of candidates and tracks, by name.

use serde::{Deserialize, Serialize};

/// Why a track ended before it had all its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// The object no longer stood out from its surroundings.
    LowPsr,
    /// Too much of it left the frame.
    LeftFrame,
    /// It became too small.
    TooSmall,
    /// It came to cover an older track.
    Merged,
    /// It had all its frames, but went nowhere or was seldom where something moved.
    Still,
    /// Its segment was over, or frames did not come in order.
    SegmentEnd,
    /// The frame changed its size or had no readable pixels.
    BadFrame,
}

/// Why a candidate did not start a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// An active track covers it already.
    Overlap,
    /// As many tracks are active as are allowed.
    Full,
    /// Fewer frames are left in the segment than a track needs.
    TooLate,
    /// It is too small, or not a box at all.
    TooSmall,
    /// Too little of it is inside the frame.
    Outside,
    /// No filter or crop can be made of what it covers.
    Untrackable,
    /// The segment has used up its track numbers.
    NoNumber,
}

impl Lost {
    /// All reasons.
    pub const ALL: [Lost; 7] = [
        Lost::LowPsr,
        Lost::LeftFrame,
        Lost::TooSmall,
        Lost::Merged,
        Lost::Still,
        Lost::SegmentEnd,
        Lost::BadFrame,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Lost::LowPsr => "low_psr",
            Lost::LeftFrame => "left_frame",
            Lost::TooSmall => "too_small",
            Lost::Merged => "merged",
            Lost::Still => "still",
            Lost::SegmentEnd => "segment_end",
            Lost::BadFrame => "bad_frame",
        }
    }
}

impl Refused {
    /// All reasons.
    pub const ALL: [Refused; 7] = [
        Refused::Overlap,
        Refused::Full,
        Refused::TooLate,
        Refused::TooSmall,
        Refused::Outside,
        Refused::Untrackable,
        Refused::NoNumber,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Overlap => "overlap",
            Refused::Full => "full",
            Refused::TooLate => "too_late",
            Refused::TooSmall => "too_small",
            Refused::Outside => "outside",
            Refused::Untrackable => "untrackable",
            Refused::NoNumber => "no_number",
        }
    }
}

/// Says what became of candidates and tracks so far. Every track started is finished, lost or still active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Tracks started.
    pub started: u64,
    /// Tracks that had all their frames.
    pub finished: u64,
    /// Tracks dropped, in the order of [`Lost::ALL`].
    pub lost: [u64; Lost::ALL.len()],
    /// Candidates refused, in the order of [`Refused::ALL`].
    pub refused: [u64; Refused::ALL.len()],
}

impl Counts {
    /// Tracks dropped for this reason.
    pub fn lost(&self, why: Lost) -> u64 {
        self.lost[why as usize]
    }

    /// Candidates refused for this reason.
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize]
    }

    /// Every count with its stable name: `started`, `finished`, `lost_...`, `refused_...`.
    pub fn named(&self) -> impl Iterator<Item = (String, u64)> {
        let lost = Lost::ALL.map(|why| (format!("lost_{}", why.name()), self.lost(why)));
        let refused = Refused::ALL.map(|why| (format!("refused_{}", why.name()), self.refused(why)));
        [("started".to_string(), self.started), ("finished".to_string(), self.finished)]
            .into_iter()
            .chain(lost)
            .chain(refused)
    }

    pub(super) fn lose(&mut self, why: Lost) {
        self.lost[why as usize] += 1;
    }

    pub(super) fn refuse(&mut self, why: Refused) {
        self.refused[why as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        let mut counts = Counts::default();
        for (n, why) in Lost::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| counts.lose(why));
        }
        for (n, why) in Refused::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| counts.refuse(why));
        }
        let named: std::collections::BTreeMap<_, _> = counts.named().collect();
        assert_eq!(named.len(), 2 + Lost::ALL.len() + Refused::ALL.len());
        assert_eq!((named["lost_low_psr"], named["lost_bad_frame"]), (1, 7));
        assert_eq!((named["refused_overlap"], named["refused_no_number"]), (1, 7));
    }
}
