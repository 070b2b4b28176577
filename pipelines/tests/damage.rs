//! Files that are cut, damaged, empty, not video, or not there: frames before the damage, a typed error, no
//! hang.

use std::path::{Path, PathBuf};

use crate::clips::{data, make, read, read_path, refusal};
use kinetograph_pipelines::{IngestError, NamedSource};

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The first six tenths of a shared video.
fn cut(folder: &Path, video: &Path) -> PathBuf {
    let bytes = std::fs::read(video).unwrap();
    write(folder, video.file_name().unwrap().to_str().unwrap(), &bytes[..bytes.len() * 6 / 10])
}

/// Bytes without any order, the same on every run.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| byte()).collect()
}

#[test]
fn a_cut_video_gives_its_frames_and_then_the_error() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    for video in [
        "tracking/davis_horsejump_high.webm",
        "tracking/otb_couple.mkv",
        "tracking/otb_crossing.avi",
        "tracking/davis_parkour.ts",
    ] {
        let (whole, _) = read_path(&data.join(video));
        let path = cut(folder.path(), &data.join(video));
        let (frames, end) = read_path(&path);
        assert!(frames.len() > 10 && frames.len() < whole.len(), "{video}: {} frames", frames.len());
        // The frame at the cut itself may be half there.
        let sure = frames.len() - 1;
        assert!(frames[..sure] == whole[..sure], "{video}: frames before the cut are unharmed");
        let error = end.error.unwrap();
        let at = frames.len() as u64;
        assert!(matches!(&error, IngestError::Damaged { frames, .. } if *frames == at), "{video}: {error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_cut_mp4_gives_frames_when_its_index_comes_first_and_an_error_always() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (frames, end) = read_path(&cut(folder.path(), &data.join("video/one_by_one_person.mp4")));
    assert!(frames.len() > 500, "{} frames", frames.len());
    assert!(matches!(end.error, Some(IngestError::Damaged { .. })), "{end:?}");
    let error = refusal(&cut(folder.path(), &data.join("tracking/otb_car4.mp4")));
    assert!(matches!(&error, IngestError::Damaged { frames: 0, .. }), "{error}");
    assert!(error.to_string().contains("cut short"), "{error}");
}

#[test]
fn damage_in_the_middle_never_hangs_and_decodes_alike_every_time() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    for video in [
        "tracking/davis_dog.mp4",
        "tracking/davis_horsejump_high.webm",
        "tracking/otb_couple.mkv",
        "tracking/otb_crossing.avi",
        "tracking/davis_parkour.ts",
    ] {
        let mut bytes = std::fs::read(data.join(video)).unwrap();
        let (from, length) = (bytes.len() / 3, bytes.len() / 3);
        for (at, byte) in noise(200).iter().enumerate() {
            bytes[from + at * length / 200] ^= byte | 1;
        }
        let path = write(folder.path(), &video.replace('/', "_"), &bytes);
        let (once, end) = read_path(&path);
        let (again, end_again) = read_path(&path);
        assert!(once.len() > 10, "{video}: {end:?}");
        assert_eq!(end, end_again, "{video}");
        assert!(once == again, "{video} decodes alike");
    }
}

#[test]
fn what_is_no_video_is_refused_by_kind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let empty = refusal(&write(folder, "empty.mp4", b""));
    assert!(matches!(empty, IngestError::Empty { .. }), "{empty}");
    let text = refusal(&write(folder, "text.mp4", "once upon a time ".repeat(5000).as_bytes()));
    assert!(matches!(text, IngestError::NotVideo { .. }), "{text}");
    let random = refusal(&write(folder, "random.mp4", &noise(200_000)));
    assert!(matches!(random, IngestError::NotVideo { .. }), "{random}");
    let tiny = refusal(&write(folder, "tiny.mp4", &[7]));
    assert!(matches!(tiny, IngestError::NotVideo { .. }), "{tiny}");
    std::fs::create_dir(folder.join("folder.mp4")).unwrap();
    let inner = refusal(&folder.join("folder.mp4"));
    assert!(matches!(inner, IngestError::Folder { .. }), "{inner}");
    let device = refusal(Path::new("/dev/null"));
    assert!(matches!(device, IngestError::NotAFile { .. }), "{device}");
    for (name, error) in [("empty.mp4", empty), ("text.mp4", text), ("random.mp4", random)] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn random_bytes_behind_a_true_beginning_end_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, head) in [
        ("a.mp4", &b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"[..]),
        (
            "a.mkv",
            b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x88matroska",
        ),
        ("a.avi", b"RIFF\0\x10\0\0AVI LIST"),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
    ] {
        let mut bytes = head.to_vec();
        bytes.extend(noise(100_000));
        let (frames, end) = read_path(&write(folder.path(), name, &bytes));
        assert!(end.error.is_some(), "{name}: {} frames and no error", frames.len());
    }
}

#[test]
fn a_file_that_went_away_or_may_not_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "gone.mp4", b"x");
    let source = NamedSource::from_path(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (_, end) = read(&source);
    assert!(matches!(end.error, Some(IngestError::Missing { .. })), "{end:?}");
    assert!(matches!(source.source.fingerprint(), Err(IngestError::Missing { .. })));

    let path = write(folder.path(), "locked.mp4", b"x");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    if std::fs::File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let denied = refusal(&path);
    assert!(matches!(denied, IngestError::Denied { .. }), "{denied}");
}

#[test]
fn sound_alone_is_no_video_and_sound_beside_video_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for (name, encode) in
        [("a.wav", "wavenc"), ("a.ogg", "vorbisenc ! oggmux"), ("a.mkv", "vorbisenc ! matroskamux")]
    {
        let path = folder.path().join(name);
        let line = format!("audiotestsrc num-buffers=100 ! {encode} ! filesink location={}", path.display());
        if make(&line).is_some() {
            let error = refusal(&path);
            assert!(matches!(error, IngestError::NoVideoStream { .. }), "{error}");
        }
    }
    let path = folder.path().join("both.mkv");
    let line = format!(
        "matroskamux name=m ! filesink location={} \
         audiotestsrc num-buffers=400 ! vorbisenc ! queue ! m. \
         videotestsrc num-buffers=200 ! video/x-raw,width=64,height=48 ! jpegenc ! queue ! m. \
         videotestsrc num-buffers=200 ! video/x-raw,width=96,height=48 ! jpegenc ! queue ! m.",
        path.display()
    );
    if make(&line).is_some() {
        let (frames, end) = read_path(&path);
        assert_eq!((frames.len(), end.error), (200, None));
        assert!(frames.iter().all(|frame| frame.source_size == frames[0].source_size), "one stream only");
    }
}

#[test]
fn a_bad_address_is_refused() {
    for uri in ["http://example.org/a.mp4", "file://", "file:relative.mp4", "nonsense"] {
        let error = NamedSource::from_uri(uri).err().unwrap();
        assert!(matches!(error, IngestError::BadUri { .. }), "{uri}: {error}");
    }
}
