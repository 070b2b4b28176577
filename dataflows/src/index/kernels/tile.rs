//! A tile: six queries and sixteen rows, multiplied and compared with thresholds.

use super::encoding::{Encoding, LANE};

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Queries that meet a panel at a time: with 16 rows their sums fill 12 of AVX2's 16 registers.
pub(crate) const QUERIES: usize = 6;

/// A lane of each row of a panel: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub(crate) [[u8; LANE]; ROWS]);

/// Sums of products of six queries with the rows of a panel: whole numbers, or the bits of singles.
pub(crate) type Sums = [[i32; ROWS]; QUERIES];

/// Fast scores of six queries with the rows of a panel.
pub(crate) type Tile = [[f32; ROWS]; QUERIES];

/// Some lanes of a panel and of the queries that meet it.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) panel: &'a [Lane],
    /// A lane of each of six queries, little-endian; bytes have their sign here.
    pub(crate) values: &'a [[i32; QUERIES]],
    /// Says how many of the queries there are. What becomes of the others' sums is left open.
    pub(crate) count: usize,
    /// Says whether sums begin at zero.
    pub(crate) first: bool,
    /// Says what is read soon, to be brought near.
    pub(crate) next: &'a [Lane],
}

/// Says what makes scores of sums, and what these are compared with.
pub(crate) struct Epilogue<'a> {
    /// Says what is too much in each query's sums.
    pub(crate) zeros: [i32; QUERIES],
    /// Says what a step of each query is worth.
    pub(crate) scales: [f32; QUERIES],
    /// Says what a step of each row is worth.
    pub(crate) row_scales: &'a [f32; ROWS],
    /// Each row's threshold.
    pub(crate) thresholds: &'a [f32; ROWS],
    /// Each query's own threshold.
    pub(crate) own: [f32; QUERIES],
}
