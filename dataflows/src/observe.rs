//! The vision half of the dataflow: plain functions that [`mine`], [`track`] and [`embed`], and the same as [`operators`] over streams of
//! frames.

pub mod embed;
pub mod frame;
pub mod image;
pub mod mine;
pub mod operators;
pub mod stream;
pub mod track;
