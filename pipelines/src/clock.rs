//! Presentation times that start at 0 and always grow, whatever the file says.

/// Used where a file gives no frame rate: 30 frames a second.
const DEFAULT_PERIOD_NS: u64 = 33_333_333;
/// A step back by more than this is a new start of the file's clock, not two frames out of order.
const RESTART_NS: u64 = 1_000_000_000;
/// A step forward by more than this is a damaged time or a new start too: one hour.
const LONGEST_GAP_NS: u64 = 3_600_000_000_000;
/// Times past this (292 years) are nonsense and count as missing.
const LAST_SENSIBLE_NS: u64 = i64::MAX as u64;

/// Gives each frame its time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The file's time that counts as `base_ns`.
    start_ns: u64,
    /// Our time at `start_ns`: 0 until the file's clock restarts.
    base_ns: u64,
    /// Our time of the last frame.
    last_ns: Option<u64>,
    /// True when `start_ns` is set.
    started: bool,
}

impl Clock {
    /// The time of the next frame, whose file says `time_ns`, in a stream of `rate` frames a second (0 over
    /// anything where that is unknown or varies). The first frame is at 0. A missing time is one frame after
    /// the last; a time at or shortly before the last becomes 1 ns after it; a clock that starts again, or
    /// jumps by over an hour, goes on one frame after.
    pub(crate) fn stamp(&mut self, time_ns: Option<u64>, rate: (i32, i32)) -> u64 {
        let next_ns = self.last_ns.map_or(0, |last| last.saturating_add(period_ns(rate)));
        let now_ns = match time_ns.filter(|time| *time <= LAST_SENSIBLE_NS) {
            None => next_ns,
            Some(time) if !self.started => {
                (self.start_ns, self.base_ns, self.started) = (time, next_ns, true);
                next_ns
            }
            Some(time) => {
                let ours = i128::from(self.base_ns) + i128::from(time) - i128::from(self.start_ns);
                let last = self.last_ns.unwrap_or(0);
                let gap = ours - i128::from(last);
                if gap < -i128::from(RESTART_NS) || gap > i128::from(LONGEST_GAP_NS) {
                    (self.start_ns, self.base_ns) = (time, next_ns);
                    next_ns
                } else {
                    u64::try_from(ours).unwrap_or(0).max(last.saturating_add(1))
                }
            }
        };
        self.last_ns = Some(now_ns);
        now_ns
    }
}

/// The duration of one frame, nanoseconds.
fn period_ns(rate: (i32, i32)) -> u64 {
    match rate {
        (over, under) if over > 0 && under > 0 => {
            let period = i64::from(under) * 1_000_000_000 / i64::from(over);
            u64::try_from(period).unwrap_or(DEFAULT_PERIOD_NS).max(1)
        }
        _ => DEFAULT_PERIOD_NS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(times: &[Option<u64>], rate: (i32, i32)) -> Vec<u64> {
        let mut clock = Clock::default();
        times.iter().map(|time| clock.stamp(*time, rate)).collect()
    }

    #[test]
    fn times_start_at_zero_and_keep_their_gaps() {
        assert_eq!(stamps(&[Some(500), Some(540), Some(900)], (25, 1)), [0, 40, 400]);
    }

    #[test]
    fn missing_times_follow_the_frame_rate() {
        assert_eq!(stamps(&[None, None, None], (25, 1)), [0, 40_000_000, 80_000_000]);
        assert_eq!(stamps(&[None, None], (0, 1)), [0, DEFAULT_PERIOD_NS]);
        assert_eq!(stamps(&[Some(7), None, Some(90_000_007)], (25, 1)), [0, 40_000_000, 90_000_000]);
        // The file's first known time belongs to the second frame.
        assert_eq!(stamps(&[None, Some(123), Some(133)], (25, 1)), [0, 40_000_000, 40_000_010]);
    }

    #[test]
    fn repeated_and_swapped_times_still_grow() {
        assert_eq!(
            stamps(&[Some(0), Some(80), Some(80), Some(40), Some(120)], (25, 1)),
            [0, 80, 81, 82, 120]
        );
    }

    #[test]
    fn a_clock_that_starts_again_goes_on() {
        let hour = 3_600_000_000_000;
        let got = stamps(&[Some(hour), Some(2 * hour), Some(0), Some(40)], (25, 1));
        assert_eq!(got, [0, hour, hour + 40_000_000, hour + 40_000_040]);
    }

    #[test]
    fn one_damaged_time_does_not_move_the_rest() {
        let wrapped = 95_443_000_000_000;
        let got = stamps(&[Some(0), Some(40_000_000), Some(wrapped), Some(120_000_000)], (25, 1));
        assert_eq!(got, [0, 40_000_000, 80_000_000, 120_000_000]);
    }

    #[test]
    fn nonsense_counts_as_missing() {
        assert_eq!(
            stamps(&[Some(0), Some(u64::MAX - 1), Some(80_000_000)], (25, 1)),
            [0, 40_000_000, 80_000_000]
        );
    }
}
