//! Kinetograph: live or growing video in, a graph of moving objects and a trained representation out.
//!
//! This crate is the engine around the dataflow of [`kinetograph_dataflows`]: the durable store, the run loop, the
//! trainer and the command line.

pub mod bench_graph;
pub mod budget;
pub mod cli;
pub mod collections;
pub mod config;
pub mod embed;
pub mod engine;
pub mod epoch;
pub mod export;
pub mod forget;
pub mod gallery;
pub mod lock;
mod message;
pub mod peak_rss;
pub mod recompute;
pub mod reshard;

pub mod state;
pub mod stats;
pub mod store;
pub mod train;
pub mod turn;
pub mod verify;
