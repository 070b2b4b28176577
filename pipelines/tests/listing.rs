//! From arguments to sources, and what a source is known by.

use std::path::Path;

use kinetograph_pipelines::{IngestError, Listing, NamedSource, expand};

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn names(arguments: &[String]) -> Vec<String> {
    let Listing { sources, skipped } = expand(arguments).unwrap();
    assert_eq!(skipped, []);
    sources.into_iter().map(|source| source.name).collect()
}

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["b.mp4", "a.MKV", "notes.txt", ".hidden.mp4", "in/c.webm", "in/deep/d.ts", "in/b.mp4", "odd[1].avi"]
    {
        write(folder.path(), name, name.as_bytes());
    }
    folder
}

#[test]
fn a_folder_gives_its_videos_in_order_to_its_depths() {
    let folder = tree();
    let got = names(&[folder.path().display().to_string()]);
    let base = folder.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(got, ["a.MKV", &format!("{base}/b.mp4"), "in/b.mp4", "c.webm", "d.ts", "odd[1].avi"]);
}

#[cfg(unix)]
#[test]
fn a_link_back_up_ends_and_a_linked_file_is_listed_once() {
    let folder = tree();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("in/up")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("b.mp4"), folder.path().join("z.mp4")).unwrap();
    assert_eq!(names(&[folder.path().display().to_string()]).len(), 6);
}

#[cfg(unix)]
#[test]
fn what_ends_like_a_video_and_is_none_is_named_once_and_the_others_are_listed() {
    let folder = tree();
    let at = |rest: &str| format!("{}/{rest}", folder.path().display());
    std::os::unix::fs::symlink("nowhere", at("broken.mp4")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("broken.txt")).unwrap();
    let made = std::process::Command::new("mkfifo").args([at("in/pipe.mkv")]).status().unwrap();
    assert!(made.success());
    for (arguments, videos) in [
        (vec![at("")], 6),
        (vec![at("."), at(""), at("in")], 6),
        (vec![at("**/*.m*")], 2),
        (vec![at("broken.m*"), at("in/*.mkv")], 0),
    ] {
        let Listing { sources, skipped } = expand(&arguments).unwrap();
        let [broken, pipe] = &skipped[..] else { panic!("{arguments:?}: {skipped:?}") };
        assert!(
            matches!(broken, IngestError::Missing { place } if place.ends_with("broken.mp4")),
            "{broken}"
        );
        assert!(matches!(pipe, IngestError::NotAFile { place } if place.ends_with("in/pipe.mkv")), "{pipe}");
        assert_eq!(sources.len(), videos, "{arguments:?}");
    }
}

#[test]
fn patterns_paths_and_addresses_give_each_video_once() {
    let folder = tree();
    let at = |rest: &str| format!("{}/{rest}", folder.path().display());
    assert_eq!(names(&[at("*.mp4")]), ["b.mp4"], "names that begin with a dot aside");
    assert_eq!(names(&[at("**/*.mp4")]).len(), 2);
    assert_eq!(names(&[at("in/*")]), ["b.mp4", "c.webm", "d.ts"]);
    assert_eq!(
        names(&[at("*.txt")]),
        ["notes.txt"],
        "a pattern that spells out its ending is taken at its word"
    );
    assert_eq!(names(&[at("odd[1].avi")]), ["odd[1].avi"], "a path that exists is no pattern");
    let uri = NamedSource::from_path(&folder.path().join("b.mp4")).unwrap().uri().to_owned();
    assert_eq!(names(&[uri, at("b.mp4"), at("in/../b.mp4"), at("[ab].mp4")]), ["b.mp4"]);
    let tests = ["test://?frames=3", "test://x?frames=3", "test://?frames=3"].map(str::to_owned);
    assert_eq!(names(&tests), ["test://?frames=3", "test://x?frames=3"]);
    assert_eq!(expand(&[]), Ok(Listing::default()));
}

#[test]
fn an_argument_that_gives_nothing_is_named() {
    let folder = tree();
    std::fs::create_dir(folder.path().join("bare")).unwrap();
    let at = |rest: &str| format!("{}/{rest}", folder.path().display());
    let error = |argument: &str| {
        let error = expand(&[at("b.mp4"), argument.to_owned()]).unwrap_err();
        assert!(error.to_string().contains(argument), "{error} names {argument}");
        error
    };
    assert!(matches!(error(&at("*.mov")), IngestError::NoMatch { .. }));
    assert!(matches!(error(&at("bare")), IngestError::NoMatch { .. }));
    assert!(matches!(error(&at("none.mp4")), IngestError::Missing { .. }));
    assert!(matches!(error(&at("a[.mp4")), IngestError::BadPattern { .. }));
    assert!(matches!(error("rtsp://camera/1"), IngestError::BadUri { .. }));
    assert!(matches!(error("test://?frames=many"), IngestError::BadTestPattern { .. }));
    assert!(matches!(error(""), IngestError::Missing { .. }));
}

#[test]
fn a_fingerprint_follows_the_content_not_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = vec![1u8; 300_000];
    let print = |name: &str, bytes: &[u8]| {
        write(folder.path(), name, bytes);
        NamedSource::from_path(&folder.path().join(name)).unwrap().source.fingerprint().unwrap()
    };
    let first = print("a.mp4", &bytes);
    assert_eq!(print("moved.mp4", &bytes), first);
    assert!(first.starts_with(&format!("{:x}-", bytes.len())), "{first}");
    let mut all = vec![first];
    for change in [0, 65_535, 299_999, 234_464] {
        bytes[change] = 2;
        all.push(print("b.mp4", &bytes));
    }
    bytes.push(1);
    all.push(print("b.mp4", &bytes));
    all.push(print("b.mp4", b""));
    all.push(print("b.mp4", b"short"));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "every change of an end or of the length shows");
    let test = NamedSource::from_uri("test://?frames=3").unwrap();
    assert_eq!(test.source.fingerprint().unwrap(), test.uri());
}
