//! Pictures as the vision code works on them.

pub mod crop;
pub mod gray;
