//! `vectors.safetensors`, written row by row: no more than a row of it is ever in memory.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Context;
use kinetograph_dataflows::id::NodeId;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::folder::Folder;

/// The file's name.
pub(crate) const FILE: &str = "vectors.safetensors";
/// The header is padded to this, so that the values are aligned.
const ALIGNED: usize = 8;

/// Writes the tensors `nodes` (n, I64) and `vectors` (n x `length`, F32); `row` puts a node's `length` values into an
/// empty buffer.
///
/// # Errors
/// When `row` fails or gives another number of values, a node's number is too large, or the file cannot be written.
pub(crate) fn vectors(
    folder: &Folder,
    ids: &[NodeId],
    length: usize,
    mut row: impl FnMut(NodeId, &mut Vec<f32>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = folder.path(FILE);
    let place = || path.display().to_string();
    let (of_nodes, of_vectors) = (ids.len() * 8, ids.len() * length * 4);
    let tensor = |dtype, shape, from, bytes| TensorInfo { dtype, shape, data_offsets: (from, from + bytes) };
    let tensors = vec![
        ("nodes".to_string(), tensor(Dtype::I64, vec![ids.len()], 0, of_nodes)),
        ("vectors".to_string(), tensor(Dtype::F32, vec![ids.len(), length], of_nodes, of_vectors)),
    ];
    let mut header = serde_json::to_vec(&Metadata::new(None, tensors)?)?;
    header.resize(header.len().next_multiple_of(ALIGNED), b' ');

    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).with_context(place)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).with_context(place)?;
    file.write_all(&header).with_context(place)?;
    for id in ids {
        let number = i64::try_from(id.0).with_context(|| format!("node {id}: too large for {FILE}"))?;
        file.write_all(&number.to_le_bytes()).with_context(place)?;
    }
    let mut values = Vec::with_capacity(length);
    for id in ids {
        values.clear();
        row(*id, &mut values)?;
        if values.len() != length {
            anyhow::bail!("node {id}: vector of {} values, the others have {length}", values.len());
        }
        for value in &values {
            file.write_all(&value.to_le_bytes()).with_context(place)?;
        }
    }
    file.flush().with_context(place)
}
