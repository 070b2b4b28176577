//! Video in, frames out: files of every kind, whole and damaged, and what a list of sources is made from.
#![allow(clippy::unwrap_used)]

mod clips;
mod damage;
mod every_video;
mod flow;
mod listing;
