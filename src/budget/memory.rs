//! The number of nodes that this machine has room for.

use std::fs;

use kinetograph_dataflows::index::kernels::vector::Precision;

/// The memory that is assumed where the system does not tell.
const UNKNOWN: u64 = 8 << 30;
/// One part in so many of the memory is the graph's; the rest is for decoding, training and the disk cache.
const SHARE: u64 = 2;
/// Copies of a vector that a run holds: the one that the policies look at, and the one that is searched.
const VECTORS: u64 = 2;
/// Bytes of a list's entry in all that holds lists: search, clusters, the committer.
const ENTRY: u64 = 64;
/// Bytes of a node for everything else: places, clusters, edges, pairs, classes.
const REST: u64 = 3 << 10;

/// Memory of this machine, or of the control group that this process is confined to if that is less, in bytes.
pub fn bytes() -> u64 {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let limits = [total(&read("/proc/meminfo")), limit(&read("/sys/fs/cgroup/memory.max"))];
    limits.into_iter().flatten().min().unwrap_or(UNKNOWN)
}

/// Nodes whose graph fits into half of `bytes`, with vectors of `dim` values kept in `precision` and lists of `k` entries. At least one.
pub fn nodes(bytes: u64, dim: usize, precision: Precision, k: usize) -> usize {
    let value = match precision {
        Precision::F32 => 4,
        Precision::F16 => 2,
    };
    let node = VECTORS * value * dim as u64 + ENTRY * k as u64 + REST;
    usize::try_from(bytes / SHARE / node).unwrap_or(usize::MAX).max(1)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn limit(memory_max: &str) -> Option<u64> {
    memory_max.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_machine_and_control_group_counts() {
        assert_eq!(total("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(24 << 20));
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
        assert_eq!((total(""), limit("max\n")), (None, None));
        assert!(bytes() > 1 << 20);
    }

    #[test]
    fn longer_vectors_leave_room_for_fewer_nodes() {
        let singles = |bytes, dim| nodes(bytes, dim, Precision::F32, 10);
        assert!(singles(16 << 30, 4608) < singles(16 << 30, 512));
        assert_eq!(singles(16 << 30, 512), nodes(16 << 30, 1024, Precision::F16, 10));
        assert_eq!(singles(0, 512), 1);
        let million = singles(24 << 30, 512);
        assert!((1_000_000..4_000_000).contains(&million), "{million} nodes in 24 GiB");
    }
}
