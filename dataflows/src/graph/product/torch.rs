//! The product by libtorch: rows are tensors on a device, scores are compared with floors there, and only hits come back.
//!
//! Rows are multiplied by thousands, as a GPU wants it. The first ones are fewer: before a new vector has met any, all reach its
//! floor, and as each block is at most as large as all before it, a block brings about as many hits as a list is long.

use std::ops::Range;

use half::f16;
use tch::{Kind, TchError, Tensor};

use super::batch::{Hit, Late};
use super::bound::distance;
use super::kind::Device;
use super::panels::Storage;

/// Rows of the first block.
const FIRST: usize = 512;
/// Rows of a chunk. No block lies across two.
const CHUNK: usize = 1 << 15;
/// Rows there is room for in a new chunk.
const LEAST: usize = 64;

/// Rows of d values each, on a device, in chunks. New ones wait to go there together.
#[derive(Debug)]
pub struct Tensors {
    d: usize,
    device: Device,
    storage: Storage,
    /// Each but the last has [`CHUNK`] rows, the last one as much room as it came to need, doubled each time.
    chunks: Vec<Tensor>,
    /// Rows in the chunks.
    placed: usize,
    /// Rows after those (row-major), as they will be stored.
    waiting: Vec<f32>,
    waiting_rows: usize,
}

impl Tensors {
    /// Without rows; they will have `d` values.
    pub(super) fn new(d: usize, storage: Storage, device: Device) -> Self {
        Tensors { d, device, storage, chunks: Vec::new(), placed: 0, waiting: Vec::new(), waiting_rows: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.placed + self.waiting_rows
    }

    pub(super) fn push(&mut self, row: &[f32]) -> f64 {
        assert_eq!(row.len(), self.d, "rows of one cell have one length");
        let from = self.waiting.len();
        self.waiting_rows += 1;
        match self.storage {
            Storage::F32 | Storage::Bytes | Storage::Words => self.waiting.extend_from_slice(row),
            // Rounded here, so that the device has nothing to round.
            Storage::F16 => self.waiting.extend(row.iter().map(|value| f16::from_f32(*value).to_f32())),
        }
        distance(row, self.waiting[from..].iter().copied())
    }

    pub(super) fn swap_remove(&mut self, at: usize) {
        assert!(at < self.len(), "row {at} of {}", self.len());
        self.settle();
        let last = self.placed - 1;
        if at != last {
            done(self.rows(at..at + 1).and_then(|mut row| row.f_copy_(&self.rows(last..last + 1)?)));
        }
        self.placed = last;
        self.chunks.truncate(self.placed.div_ceil(CHUNK));
    }

    pub(super) fn together(&self) -> usize {
        match self.device {
            Device::Cpu => 256,
            Device::Cuda(_) => 1024,
        }
    }

    pub(super) fn lates(&mut self, places: Range<usize>, lates: Vec<Late>) -> TorchBatch {
        self.settle();
        let mut parts = Vec::new();
        let mut from = places.start;
        while from < places.end {
            let to = places.end.min((from / CHUNK + 1) * CHUNK);
            parts.push(done(self.rows(from..to).and_then(|rows| rows.f_to_kind(Kind::Float))));
            from = to;
        }
        TorchBatch { vectors: done(Tensor::f_cat(&parts, 0)), lates }
    }

    /// Sends the rows that wait to the device.
    pub(super) fn settle(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        while self.waiting_rows > 0 {
            let room = CHUNK - self.placed % CHUNK;
            let count = self.waiting_rows.min(room);
            let (rows, later) = rest.split_at(count * self.d);
            done(self.append(rows, count));
            (rest, self.waiting_rows) = (later, self.waiting_rows - count);
        }
        self.waiting = waiting;
        self.waiting.clear();
    }

    /// Puts `count` rows into the last chunk, or into a new one if it is full.
    fn append(&mut self, rows: &[f32], count: usize) -> Result<(), TchError> {
        let (chunk, used) = (self.placed / CHUNK, self.placed % CHUNK);
        let room = self.chunks.get(chunk).map_or(0, |chunk| chunk.size()[0] as usize);
        if used + count > room {
            let room = (used + count).next_power_of_two().max(LEAST);
            let kind = match self.storage {
                Storage::F32 | Storage::Bytes | Storage::Words => Kind::Float,
                Storage::F16 => Kind::Half,
            };
            let larger = Tensor::f_empty([room as i64, self.d as i64], (kind, on(self.device)))?;
            if used > 0 {
                larger.f_narrow(0, 0, used as i64)?.f_copy_(&self.chunks[chunk].f_narrow(
                    0,
                    0,
                    used as i64,
                )?)?;
            }
            self.chunks.truncate(chunk);
            self.chunks.push(larger);
        }
        let rows = Tensor::f_from_slice(rows)?.f_view([count as i64, self.d as i64])?;
        self.chunks[chunk].f_narrow(0, used as i64, count as i64)?.f_copy_(&rows)?;
        self.placed += count;
        Ok(())
    }

    /// A view of rows that are in one chunk.
    fn rows(&self, places: Range<usize>) -> Result<Tensor, TchError> {
        self.chunks[places.start / CHUNK].f_narrow(0, (places.start % CHUNK) as i64, places.len() as i64)
    }

    /// Where the block that begins at `from` ends, and rows with it.
    fn block(&self, from: usize) -> usize {
        let most = match self.device {
            Device::Cpu => 4096,
            Device::Cuda(_) => CHUNK,
        };
        (from + from.clamp(FIRST, most)).min(self.placed)
    }
}

/// Vectors that meet the same rows together.
#[derive(Debug)]
pub struct TorchBatch {
    /// m x d, on the device.
    vectors: Tensor,
    lates: Vec<Late>,
}

impl TorchBatch {
    pub(super) fn lates(&mut self) -> &mut [Late] {
        &mut self.lates
    }

    pub(super) fn propose(
        &self,
        rows: &Tensors,
        from: usize,
        floors: &[f32],
        hits: &mut Vec<Hit>,
    ) -> Option<usize> {
        assert_eq!(rows.waiting_rows, 0, "rows are settled before they are met");
        let end = self.lates.iter().map(|late| late.rows).max()?;
        let block = from..rows.block(from).min(end);
        if block.is_empty() {
            return None;
        }
        done(self.meet(rows, block.clone(), &floors[block.clone()], hits));
        (block.end < end.min(rows.placed)).then_some(block.end)
    }

    /// Adds to `hits` the pairs with the rows of a block that reach a floor.
    fn meet(
        &self,
        rows: &Tensors,
        block: Range<usize>,
        floors: &[f32],
        hits: &mut Vec<Hit>,
    ) -> Result<(), TchError> {
        let device = on(rows.device);
        let column = |values: &[f32]| Tensor::f_from_slice(values)?.f_to_device(device)?.f_unsqueeze(1);
        let scores = self.vectors.f_mm(&rows.rows(block.clone())?.f_to_kind(Kind::Float)?.f_tr()?)?;
        let own: Vec<f32> = self.lates.iter().map(|late| late.floor).collect();
        let floors = Tensor::f_from_slice(floors)?.f_to_device(device)?.f_minimum(&column(&own)?)?;
        // "Not less than" holds for an undefined score, too, which comes of infinite sums.
        let mut reached = scores.f_lt_tensor(&floors)?.f_logical_not_()?;
        if self.lates.iter().any(|late| late.rows < block.end) {
            let met: Vec<i64> = self.lates.iter().map(|late| late.rows as i64).collect();
            let met = Tensor::f_from_slice(&met)?.f_to_device(device)?.f_unsqueeze(1)?;
            let places = Tensor::f_arange_start(block.start as i64, block.end as i64, (Kind::Int64, device))?;
            reached = reached.f_logical_and_(&places.f_lt_tensor(&met)?)?;
        }
        let at = reached.f_view(-1)?.f_nonzero()?.f_view(-1)?;
        let fast = scores.f_view(-1)?.f_index_select(0, &at)?;
        let home = |tensor: Tensor| tensor.f_to_device(tch::Device::Cpu);
        let (at, fast) = (Vec::<i64>::try_from(&home(at)?)?, Vec::<f32>::try_from(&home(fast)?)?);
        hits.extend(at.into_iter().zip(fast).map(|(at, fast)| {
            let (late, row) = (at as usize / block.len(), at as usize % block.len());
            Hit { late, row: block.start + row, fast }
        }));
        Ok(())
    }
}

fn on(device: Device) -> tch::Device {
    match device {
        Device::Cpu => tch::Device::Cpu,
        Device::Cuda(number) => tch::Device::Cuda(number),
    }
}

/// What libtorch gives. It gives nothing only when its device has no memory left or is gone, and then the worker ends as it does when the
/// machine's own memory is used up: what is committed is not lost.
fn done<T>(given: Result<T, TchError>) -> T {
    given.unwrap_or_else(|error| panic!("libtorch cannot keep or multiply rows: {error}"))
}
