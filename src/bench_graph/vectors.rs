//! `--vectors`: rows of a safetensors file, each read from the disk when it is wanted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kinetograph_dataflows::index::kernels::vector::{Precision, Vector};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

/// A header may have so many bytes.
const HEADER_BYTES: u64 = 100 << 20;

/// The fault in the vectors.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A node without a row.
    #[error("{}: has no vector of node {node}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The node.
        node: u64,
    },
    /// A vector with a value that is infinite or undefined.
    #[error("{}: value {at} of row {row} is {value}; every value must be finite", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: u32,
        /// The value's place in it, from 0.
        at: usize,
        /// The value.
        value: f32,
    },
}

/// The tensor `vectors` (n x d, F32 or F16; or the only matrix of these types) and, if the file has it, the tensor `nodes` (n, I64 or
/// U64) that says whose they are. Without, row i is node i's.
pub struct Vectors {
    path: PathBuf,
    file: File,
    /// First byte of the first row.
    begin: u64,
    rows: u32,
    length: usize,
    /// Of the file's values.
    stored: Precision,
    /// Of the vectors that are made of them.
    precision: Precision,
    row_of: Option<HashMap<u64, u32>>,
}

impl Vectors {
    /// Opens `path`; of its values only the nodes' numbers are read. Vectors are given in `precision`.
    ///
    /// # Errors
    /// When it cannot be read or does not hold such tensors.
    pub fn open(path: &Path, precision: Precision) -> Result<Self, VectorsError> {
        let io = |error| VectorsError::Unreadable { path: path.to_path_buf(), error };
        let wrong = |reason: String| VectorsError::Format { path: path.to_path_buf(), reason };
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let mut size = [0; 8];
        if bytes < 8 {
            return Err(wrong(format!("not a safetensors file: it has {bytes} bytes")));
        }
        file.read_exact_at(&mut size, 0).map_err(io)?;
        let size = u64::from_le_bytes(size);
        if size > HEADER_BYTES || 8 + size > bytes {
            return Err(wrong(format!("not a safetensors file: it says that its header has {size} bytes")));
        }
        let mut header = vec![0; size as usize];
        file.read_exact_at(&mut header, 8).map_err(io)?;
        let tensors: Metadata = serde_json::from_slice(&header)
            .map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
        let (expected, found) = (tensors.data_len() as u64, bytes - 8 - size);
        if expected != found {
            let reason = format!("its header promises {expected} bytes of values, it has {found}");
            return Err(wrong(reason));
        }
        let (name, vectors) = matrix(&tensors).map_err(wrong)?;
        let [rows, length] = vectors.shape[..] else {
            return Err(wrong(format!("tensor `{name}` is no matrix: shape {:?}", vectors.shape)));
        };
        let rows = u32::try_from(rows).map_err(|_| wrong(format!("{rows} rows; 2^32 - 1 can be used")))?;
        if length == 0 {
            return Err(wrong(format!("tensor `{name}` has rows of 0 values")));
        }
        let begin = |tensor: &TensorInfo| 8 + size + tensor.data_offsets.0 as u64;
        let row_of = match tensors.info("nodes") {
            None => None,
            Some(nodes) => {
                if nodes.shape != [rows as usize] || !matches!(nodes.dtype, Dtype::I64 | Dtype::U64) {
                    let reason = format!("tensor `nodes` must be {rows} numbers of type I64 or U64");
                    return Err(wrong(reason));
                }
                let mut bytes = vec![0; rows as usize * 8];
                file.read_exact_at(&mut bytes, begin(nodes)).map_err(io)?;
                Some(numbered(&bytes, nodes.dtype).map_err(wrong)?)
            }
        };
        let stored = if vectors.dtype == Dtype::F16 { Precision::F16 } else { Precision::F32 };
        let begin = begin(vectors);
        Ok(Vectors { path: path.to_path_buf(), file, begin, rows, length, stored, precision, row_of })
    }

    /// d, the number of values of each vector.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The row of `node`.
    ///
    /// # Errors
    /// When it has none.
    pub fn row(&self, node: u64) -> Result<u32, VectorsError> {
        let row = match &self.row_of {
            Some(rows) => rows.get(&node).copied(),
            None => u32::try_from(node).ok().filter(|row| *row < self.rows),
        };
        row.ok_or_else(|| VectorsError::Missing { path: self.path.clone(), node })
    }

    /// The vector in `row`, scaled to unit length as the graph wants it; a vector of zeros stays one.
    ///
    /// # Errors
    /// When it cannot be read or is not finite.
    pub fn read(&self, row: u32) -> Result<Vector, VectorsError> {
        let size = match self.stored {
            Precision::F32 => 4,
            Precision::F16 => 2,
        };
        let mut bytes = vec![0; self.length * size];
        let at = self.begin + u64::from(row) * bytes.len() as u64;
        let io = |error| VectorsError::Unreadable { path: self.path.clone(), error };
        self.file.read_exact_at(&mut bytes, at).map_err(io)?;
        let stored = Vector::from_bytes(&bytes, self.stored);
        let values = stored.as_ref().map_or(Cow::default(), Vector::values);
        if let Some((at, value)) = values.iter().copied().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(VectorsError::NotFinite { path: self.path.clone(), row, at, value });
        }
        let norm = values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        let unit: Vec<f32> = values.iter().map(|x| (f64::from(*x) * scale) as f32).collect();
        Ok(Vector::new(&unit, self.precision))
    }
}

fn matrix(tensors: &Metadata) -> Result<(String, &TensorInfo), String> {
    let all = tensors.tensors();
    let named = all.get("vectors").map(|tensor| ("vectors".to_string(), *tensor));
    let mut matrices =
        all.iter().filter(|(_, t)| matches!(t.dtype, Dtype::F32 | Dtype::F16) && t.shape.len() == 2);
    let found = match (named, matrices.next(), matrices.next()) {
        (Some(named), ..) => named,
        (None, Some((name, tensor)), None) => (name.clone(), *tensor),
        _ => {
            let mut names: Vec<_> = all.keys().map(String::as_str).collect();
            names.sort_unstable();
            return Err(format!("no tensor `vectors` among {names:?}"));
        }
    };
    match found.1.dtype {
        Dtype::F32 | Dtype::F16 => Ok(found),
        other => Err(format!("tensor `{}` has values of type {other:?}, expected F32 or F16", found.0)),
    }
}

fn numbered(bytes: &[u8], dtype: Dtype) -> Result<HashMap<u64, u32>, String> {
    let mut rows = HashMap::with_capacity(bytes.len() / 8);
    for (row, number) in bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).enumerate() {
        if dtype == Dtype::I64 && (number as i64) < 0 {
            return Err(format!("tensor `nodes`: node {} of row {row} is negative", number as i64));
        }
        if let Some(other) = rows.insert(number, row as u32) {
            return Err(format!("tensor `nodes`: rows {other} and {row} are both of node {number}"));
        }
    }
    Ok(rows)
}
