//! Stored rows, sixteen to a panel.

use half::f16;
use serde::{Deserialize, Serialize};

use super::bound::distance;
use super::slabs::Slabs;
use super::steps::{LONGEST, Width};
use super::tile::{ROWS, Strip};

/// How rows are stored for the product. The lists are the same: what takes less memory proposes more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value.
    F16,
    /// Whole vectors a byte a value, in steps of each vector's own; their shadows 2 bytes.
    #[default]
    Bytes,
    /// 2 bytes a value, in steps of each vector's own.
    Words,
}

impl Storage {
    /// How our own kernel keeps `whole` vectors of `d` values, or shadows of them, where it keeps them in steps.
    pub(super) fn steps(self, d: usize, whole: bool) -> Option<Width> {
        match self {
            Storage::Bytes if whole && d <= LONGEST => Some(Width::Bytes),
            Storage::Bytes | Storage::Words if d <= LONGEST => Some(Width::Words),
            _ => None,
        }
    }
}

/// Rows of d values each, in an order of their own: a row's place changes only when another is taken out.
#[derive(Clone, Debug)]
pub struct Panels {
    d: usize,
    len: usize,
    stored: Stored,
}

/// A panel: d strips of one value a row.
#[derive(Clone, Debug)]
enum Stored {
    F32(Slabs<Strip>),
    F16(Slabs<[f16; ROWS]>),
}

impl Panels {
    /// Without rows; they will have `d` values.
    pub fn new(d: usize, storage: Storage) -> Self {
        let stored = match storage {
            Storage::F16 => Stored::F16(Slabs::new(d)),
            _ => Stored::F32(Slabs::new(d)),
        };
        Panels { d, len: 0, stored }
    }

    /// Values a row (d).
    pub fn d(&self) -> usize {
        self.d
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `row` (d values) at the end. Returns how far what is stored is from it.
    pub fn push(&mut self, row: &[f32]) -> f64 {
        assert_eq!(row.len(), self.d, "rows of one cell have one length");
        let (panel, lane) = (self.len / ROWS, self.len % ROWS);
        self.len += 1;
        match &mut self.stored {
            Stored::F32(panels) => {
                if panel == panels.len() {
                    panels.push(Strip([0.0; ROWS]));
                }
                let strips = panels.panel_mut(panel).iter_mut();
                strips.zip(row).for_each(|(strip, value)| strip.0[lane] = *value);
                0.0
            }
            Stored::F16(panels) => {
                if panel == panels.len() {
                    panels.push([f16::ZERO; ROWS]);
                }
                let panel = panels.panel_mut(panel);
                panel.iter_mut().zip(row).for_each(|(strip, value)| strip[lane] = f16::from_f32(*value));
                distance(row, panel.iter().map(|strip| strip[lane].to_f32()))
            }
        }
    }

    /// A row as it is stored (d values), into `row`.
    pub fn read(&self, at: usize, row: &mut Vec<f32>) {
        assert!(at < self.len, "row {at} of {}", self.len);
        let (panel, lane) = (at / ROWS, at % ROWS);
        row.clear();
        match &self.stored {
            Stored::F32(panels) => row.extend(panels.panel(panel).iter().map(|strip| strip.0[lane])),
            Stored::F16(panels) => row.extend(panels.panel(panel).iter().map(|strip| strip[lane].to_f32())),
        }
    }

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        assert!(at < self.len, "row {at} of {}", self.len);
        self.len -= 1;
        match &mut self.stored {
            Stored::F32(panels) => swap_remove(panels, at, self.len, |strip, lane| &mut strip.0[lane]),
            Stored::F16(panels) => swap_remove(panels, at, self.len, |strip, lane| &mut strip[lane]),
        }
    }

    /// Panels, the last of them perhaps with places free.
    pub fn panels(&self) -> usize {
        self.len.div_ceil(ROWS)
    }

    /// A panel's values; `decoded` is room for them where they are stored in another form.
    pub(super) fn panel<'a>(&'a self, panel: usize, decoded: &'a mut Vec<Strip>) -> &'a [Strip] {
        match &self.stored {
            Stored::F32(panels) => panels.panel(panel),
            Stored::F16(panels) => {
                decoded.resize(self.d, Strip([0.0; ROWS]));
                for (strip, half) in decoded.iter_mut().zip(panels.panel(panel)) {
                    decode(half, &mut strip.0);
                }
                decoded
            }
        }
    }

    /// What is read after `panel`, when it is stored as it is used.
    pub(super) fn after(&self, panel: usize) -> &[Strip] {
        match &self.stored {
            Stored::F32(panels) => panels.panel(panel + 1),
            Stored::F16(_) => &[],
        }
    }
}

fn decode(half: &[f16; ROWS], strip: &mut [f32; ROWS]) {
    use half::slice::HalfFloatSliceExt;
    half.as_slice().convert_to_f32_slice(strip);
}

fn swap_remove<S: Copy, V: Copy>(
    panels: &mut Slabs<S>,
    at: usize,
    last: usize,
    value: impl Fn(&mut S, usize) -> &mut V,
) {
    for i in 0..panels.panel(at / ROWS).len() {
        let moved = *value(&mut panels.panel_mut(last / ROWS)[i], last % ROWS);
        *value(&mut panels.panel_mut(at / ROWS)[i], at % ROWS) = moved;
    }
    if last.is_multiple_of(ROWS) {
        panels.pop();
    }
}
