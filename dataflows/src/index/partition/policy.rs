//! What the codebook's decisions follow: the settings, and the policy that decides from a closed epoch.

mod deciding;
mod settings;

pub use deciding::Deciding;
pub use settings::{CodebookKind, Groups, Settings};
