//! Pictures in, vectors out: embeds a folder of images with a trained network, a fresh one, a TorchScript module or any
//! other descriptor.

pub mod choice;
#[cfg(feature = "train")]
pub mod network;
#[cfg(feature = "train")]
pub mod torchscript;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::imageops::{FilterType, resize};
use safetensors::serialize;
use safetensors::tensor::{Dtype, TensorView};

use crate::train::crops::{BYTES, SIDE};

/// Pictures described at once.
const BATCH: usize = 32;
/// The name of the n x d tensor in the file.
pub const TENSOR: &str = "embeddings";

/// Describes crops (96 x 96 RGB, rows of bytes): n x d values, row after row, or why it cannot.
pub type Describe<'d> = dyn FnMut(&[&[u8]]) -> Result<Vec<f32>, String> + 'd;

/// The numbers of what became of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Pictures.
    pub count: usize,
    /// Pictures that could not be read.
    pub left_out: usize,
    /// Values a picture.
    pub dim: usize,
    /// The list of names, one a line in the order of the rows.
    pub names: PathBuf,
}

/// The failure of a folder of images.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is nothing to embed.
    #[error("{0}: no .jpg, .jpeg or .png in this folder")]
    Empty(PathBuf),
    /// A file cannot be read or written.
    #[error("{file}: {source}")]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// The file system's reason.
        source: io::Error,
    },
    /// Of all there is nothing that can be read.
    #[error("{folder}: none of the {count} pictures in this folder can be read")]
    NoneReadable {
        /// The folder.
        folder: PathBuf,
        /// Files that end like a picture.
        count: usize,
    },
    /// Something that ends like a picture and is a pipe, a socket or a device.
    #[error("{0}: not a regular file")]
    NotAFile(PathBuf),
    /// A file is not the picture its name says.
    #[error("{file}: it cannot be read as a picture ({reason}); remove it from the folder or repair it")]
    Picture {
        /// The file.
        file: PathBuf,
        /// The decoder's reason.
        reason: String,
    },
    /// A name that cannot stand in a list of names.
    #[error("{0:?}: its name is not text of one line; rename it")]
    Name(PathBuf),
    /// The descriptor refused.
    #[error("{file}: it cannot be described ({reason})")]
    Describe {
        /// The first file of the batch.
        file: PathBuf,
        /// The descriptor's reason.
        reason: String,
    },
}

/// Embeds every jpeg and png under `images`, in the order of their paths relative to it: an n x d float32 tensor
/// [`TENSOR`] in `out`, and beside it `*.names.txt` with a relative path a line. Pictures of other sizes are resized to
/// 96 x 96, whatever their shape. Both files appear whole or not at all. A picture that cannot be read is left out, and `tell`
/// hears why.
///
/// # Errors
/// [`FolderError`], which names the file: when none can be read, or something else fails than a picture.
pub fn folder(
    images: &Path,
    out: &Path,
    describe: &mut Describe<'_>,
    tell: &mut dyn FnMut(&FolderError),
) -> Result<Embedded, FolderError> {
    let mut found = Vec::new();
    collect(images, "", &mut BTreeSet::new(), &mut found)?;
    found.sort_unstable();
    if found.is_empty() {
        return Err(FolderError::Empty(images.into()));
    }
    let (mut names, mut values) = (Vec::with_capacity(found.len()), Vec::new());
    let mut dim = None;
    for batch in found.chunks(BATCH) {
        let mut crops = Vec::with_capacity(batch.len());
        let first = names.len();
        for name in batch {
            match read(&images.join(name)) {
                Ok(crop) => {
                    crops.push(crop);
                    names.push(name.as_str());
                }
                Err(error) => tell(&error),
            }
        }
        if crops.is_empty() {
            continue;
        }
        let crops: Vec<&[u8]> = crops.iter().map(Vec::as_slice).collect();
        let refused = |reason| FolderError::Describe { file: images.join(names[first]), reason };
        let rows = describe(&crops).map_err(refused)?;
        let d = *dim.get_or_insert(rows.len() / crops.len());
        if rows.len() != d * crops.len() || d == 0 {
            return Err(refused(format!("{} values for {} pictures", rows.len(), crops.len())));
        }
        values.extend(rows);
    }
    if names.is_empty() {
        return Err(FolderError::NoneReadable { folder: images.into(), count: found.len() });
    }
    let dim = dim.unwrap_or(0);
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let refused = |reason: String| FolderError::Describe { file: out.into(), reason };
    let view =
        TensorView::new(Dtype::F32, vec![names.len(), dim], &bytes).map_err(|e| refused(e.to_string()))?;
    let file = serialize([(TENSOR, view)], None).map_err(|e| refused(e.to_string()))?;
    let list = out.with_extension("names.txt");
    let list_bytes = (names.join("\n") + "\n").into_bytes();
    write_whole([(&list, list_bytes.as_slice()), (out, file.as_slice())])?;
    Ok(Embedded { count: names.len(), left_out: found.len() - names.len(), dim, names: list })
}

/// One picture as a crop: [`BYTES`] of RGB.
///
/// # Errors
/// [`FolderError::Picture`], [`FolderError::NotAFile`] or [`FolderError::Io`], naming the file.
pub fn read(file: &Path) -> Result<Vec<u8>, FolderError> {
    let io = |source| FolderError::Io { file: file.into(), source };
    // Looks before it opens: opening a pipe would wait for its writer.
    if !fs::metadata(file).map_err(io)?.is_file() {
        return Err(FolderError::NotAFile(file.into()));
    }
    let encoded = fs::read(file).map_err(io)?;
    let picture = image::load_from_memory(&encoded)
        .map_err(|e| FolderError::Picture { file: file.into(), reason: e.to_string() })?
        .into_rgb8();
    let picture = match picture.len() == BYTES && picture.width() as usize == SIDE {
        true => picture,
        false => resize(&picture, SIDE as u32, SIDE as u32, FilterType::Triangle),
    };
    Ok(picture.into_raw())
}

/// Collects the files that end like a picture under `root`/`below`, by their names relative to `root`, with slashes. `visited` holds the folders
/// looked at, so that a link back up ends.
fn collect(
    root: &Path,
    below: &str,
    visited: &mut BTreeSet<PathBuf>,
    names: &mut Vec<String>,
) -> Result<(), FolderError> {
    let here = root.join(below);
    let io = |source| FolderError::Io { file: here.clone(), source };
    if !visited.insert(here.canonicalize().map_err(io)?) {
        return Ok(());
    }
    for entry in fs::read_dir(&here).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).filter(|n| !n.contains('\n'));
        let Some(name) = name else { return Err(FolderError::Name(path)) };
        let relative = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() {
            collect(root, &relative, visited, names)?;
        } else if matches!(extension.as_str(), "jpg" | "jpeg" | "png") {
            names.push(relative);
        }
    }
    Ok(())
}

/// Writes both files beside their places before either gets there; on failure neither is left.
fn write_whole(files: [(&Path, &[u8]); 2]) -> Result<(), FolderError> {
    let partial = |file: &Path| {
        let mut name = file.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    };
    let write = |(file, bytes): (&Path, &[u8])| -> Result<(), FolderError> {
        let write = || {
            let mut out = File::create(partial(file))?;
            out.write_all(bytes)?;
            out.sync_all()
        };
        write().map_err(|source| FolderError::Io { file: file.into(), source })
    };
    let place = |(file, _): (&Path, &[u8])| {
        fs::rename(partial(file), file).map_err(|source| FolderError::Io { file: file.into(), source })
    };
    let done = files.into_iter().try_for_each(write).and_then(|()| files.into_iter().try_for_each(place));
    if done.is_err() {
        for (file, _) in files {
            // What is not there need not be removed, and the first error is the one to tell.
            let _: io::Result<()> = fs::remove_file(partial(file));
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_colour(crops: &[&[u8]]) -> Result<Vec<f32>, String> {
        let mean = |crop: &[u8], c: usize| {
            crop.iter().skip(c).step_by(3).map(|v| f32::from(*v)).sum::<f32>() / (SIDE * SIDE) as f32
        };
        Ok(crops.iter().flat_map(|crop| (0..3).map(|c| mean(crop, c))).collect())
    }

    #[test]
    fn a_folder_becomes_rows_in_the_order_of_its_paths() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for (name, colour, (w, h)) in [
            ("b/two.png", [0, 200, 0], (96, 96)),
            ("c.JPEG", [0, 0, 200], (50, 120)),
            ("a.png", [200, 0, 0], (7, 5)),
        ] {
            let file = File::create(dir.path().join(name)).unwrap();
            let format = image::ImageFormat::from_path(name).unwrap();
            image::RgbImage::from_pixel(w, h, image::Rgb(colour))
                .write_to(&mut io::BufWriter::new(file), format)
                .unwrap();
        }
        fs::write(dir.path().join("notes.txt"), "not a picture").unwrap();
        let out = dir.path().join("out.safetensors");
        let embedded = folder(dir.path(), &out, &mut mean_colour, &mut |error| panic!("{error}")).unwrap();
        assert_eq!((embedded.count, embedded.left_out, embedded.dim), (3, 0, 3));
        assert_eq!(
            fs::read_to_string(dir.path().join("out.names.txt")).unwrap(),
            "a.png\nb/two.png\nc.JPEG\n"
        );
        let bytes = fs::read(&out).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let view = tensors.tensor(TENSOR).unwrap();
        assert_eq!((view.dtype(), view.shape()), (Dtype::F32, &[3, 3][..]));
        let rows: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        for (row, colour) in rows.chunks(3).zip([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0], [0.0, 0.0, 200.0]]) {
            assert!(row.iter().zip(colour).all(|(a, b)| (a - b).abs() < 4.0), "{row:?} is not {colour:?}");
        }
    }

    #[test]
    fn an_unreadable_picture_is_named_and_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out.safetensors");
        let embed = || {
            let mut told = Vec::new();
            let done = folder(dir.path(), &out, &mut mean_colour, &mut |e| told.push(e.to_string()));
            (done, told)
        };
        assert!(matches!(embed().0, Err(FolderError::Empty(_))));
        fs::write(dir.path().join("broken.jpg"), b"\xff\xd8\xffnot really").unwrap();
        std::os::unix::fs::symlink("nowhere.png", dir.path().join("link.png")).unwrap();
        let (done, told) = embed();
        assert!(matches!(done, Err(FolderError::NoneReadable { count: 2, .. })));
        assert!(told[0].contains("broken.jpg") && told[1].contains("link.png"), "{told:?}");
        assert!(!out.exists());
        image::RgbImage::new(8, 8).save(dir.path().join("good.png")).unwrap();
        let (done, told) = embed();
        let done = done.unwrap();
        assert_eq!((done.count, done.left_out, told.len()), (1, 2, 2));
        assert_eq!(fs::read_to_string(done.names).unwrap(), "good.png\n");
    }
}
