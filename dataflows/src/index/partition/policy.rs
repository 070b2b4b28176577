//! The settings that the codebook's decisions follow, and the policy that decides from a closed epoch.

mod deciding;
mod settings;

pub use deciding::Deciding;
pub use settings::{CodebookKind, Groups, Settings};
