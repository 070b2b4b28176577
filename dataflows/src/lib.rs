//! Kinetograph's dataflow, without any system library: find moving objects in frames, follow them, describe them,
//! and keep the graph over them (neighbours, clusters, pairs, classes) right at every epoch.
//!
//! Vision ([`mine`], [`track`], [`embed`]) is plain functions over pixels; the graph ([`graph`]) is timely and
//! differential operators, each beside a plain recompute that serves as its oracle; [`wire`](mod@wire) puts all of it on one page.

pub mod embed;
pub mod frame;
pub mod graph;
pub mod id;
pub mod image;
pub mod mine;
pub mod observe;
pub mod settings;
pub mod time;
pub mod track;
pub mod wire;
