//! The square cut around a region: cut, scale to 96 x 96, encode, decode.
//!
//! The encoded bytes are what is stored, and vectors are computed from them, so a later re-embedding sees the same
//! input.

use std::io::Cursor;
use std::sync::Arc;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat, ImageReader, Limits};
use thiserror::Error;

use crate::observe::frame::{Frame, Rect};

/// Columns and rows of a crop, pixels (the paper's views are 96 x 96).
pub const SIDE: usize = 96;

/// JPEG quality of a stored crop: above 90 the loss is invisible to gradient features.
pub const QUALITY: u8 = 92;

/// A cut may be this many times the frame's longer side; more would be almost only repeated edge.
const MAX_REACH: f32 = 4.0;

/// Why a crop or a still could not be made or read.
#[derive(Debug, Error)]
pub enum CropError {
    /// The frame's bytes are not height x width x 3, or it has no pixels.
    #[error("frame of {width} x {height} has {bytes} bytes of RGB")]
    Frame {
        /// Columns the frame claims.
        width: usize,
        /// Rows the frame claims.
        height: usize,
        /// Bytes it has.
        bytes: usize,
    },
    /// The square is empty, not finite, or much larger than the frame.
    #[error("cannot cut a square of {side} px at ({x}, {y})")]
    Square {
        /// Left edge, pixels.
        x: f32,
        /// Top edge, pixels.
        y: f32,
        /// Side, pixels.
        side: f32,
    },
    /// Scaling failed.
    #[error("scaling a crop")]
    Scale(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// JPEG encoding or decoding failed.
    #[error("JPEG coding")]
    Jpeg(#[from] image::ImageError),
    /// A decoded crop is not 96 x 96.
    #[error("a crop of {width} x {height} px is not {SIDE} x {SIDE}")]
    Size {
        /// Columns found.
        width: u32,
        /// Rows found.
        height: u32,
    },
}

/// A 96 x 96 picture of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crop {
    rgb: Vec<u8>,
}

impl Crop {
    /// Cuts `square` out of `frame` and scales it. Where it reaches over the frame, edge pixels are repeated. The
    /// side is `square.w` rounded to whole pixels; `square.h` is not looked at.
    ///
    /// # Errors
    /// When the frame's bytes do not match its size, or the square is empty, not finite or out of proportion.
    pub fn cut(frame: &Frame, square: Rect) -> Result<Crop, CropError> {
        let (width, height) = checked_size(frame)?;
        let bad = CropError::Square { x: square.x, y: square.y, side: square.w };
        let longest = frame.width.max(frame.height) as f32;
        let in_reach = |v: f32| v.abs() <= MAX_REACH * longest + 1.0;
        // NaN fails every comparison, so this refuses it too.
        if !(square.w > 0.0 && in_reach(square.w) && in_reach(square.x) && in_reach(square.y)) {
            return Err(bad);
        }
        let side = (square.w.round() as usize).max(1);
        let (left, top) = (square.x.round() as i64, square.y.round() as i64);
        let mut cut = Vec::with_capacity(side * side * 3);
        for row in 0..side as i64 {
            let y = (top + row).clamp(0, height - 1) as usize;
            let line = &frame.rgb[y * frame.width * 3..(y + 1) * frame.width * 3];
            for column in 0..side as i64 {
                let x = (left + column).clamp(0, width - 1) as usize;
                cut.extend_from_slice(&line[x * 3..x * 3 + 3]);
            }
        }
        scale(&cut, side)
    }

    /// `SIDE` x `SIDE` x 3 bytes, row-major, R G B.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The crop as the JPEG that is stored. The same pixels give the same bytes.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn encode(&self) -> Result<Arc<[u8]>, CropError> {
        Ok(encode_rgb(&self.rgb, SIDE, SIDE, QUALITY)?.into())
    }

    /// Reads a stored crop.
    ///
    /// # Errors
    /// When the bytes are not a JPEG or not of 96 x 96 pixels.
    pub fn decode(jpeg: &[u8]) -> Result<Crop, CropError> {
        let mut reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
        // A hostile header must not make us allocate; anything larger than a crop is refused below anyway.
        let mut limits = Limits::default();
        limits.max_image_width = Some(4096);
        limits.max_image_height = Some(4096);
        reader.limits(limits);
        let picture = reader.decode()?;
        if (picture.width(), picture.height()) != (SIDE as u32, SIDE as u32) {
            return Err(CropError::Size { width: picture.width(), height: picture.height() });
        }
        Ok(Crop { rgb: picture.into_rgb8().into_raw() })
    }
}

/// The square around the middle of `region`, its side `margin` times the region's longer side.
pub fn square_around(region: Rect, margin: f32) -> Rect {
    let side = region.w.max(region.h) * margin;
    let (x, y) = region.centre();
    Rect { x: x - side / 2.0, y: y - side / 2.0, w: side, h: side }
}

/// A whole frame as a JPEG of the given quality (1 to 100).
///
/// # Errors
/// When the frame's bytes do not match its size, or a side is over 65 535 pixels.
pub fn encode_still(frame: &Frame, quality: u8) -> Result<Vec<u8>, CropError> {
    checked_size(frame)?;
    encode_rgb(&frame.rgb, frame.width, frame.height, quality)
}

/// Columns and rows, once the frame's bytes are known to match them.
fn checked_size(frame: &Frame) -> Result<(i64, i64), CropError> {
    let expected = frame.width.checked_mul(frame.height).and_then(|n| n.checked_mul(3));
    if expected != Some(frame.rgb.len()) || frame.rgb.is_empty() {
        return Err(CropError::Frame { width: frame.width, height: frame.height, bytes: frame.rgb.len() });
    }
    Ok((frame.width as i64, frame.height as i64))
}

fn scale(cut: &[u8], side: usize) -> Result<Crop, CropError> {
    if side == SIDE {
        return Ok(Crop { rgb: cut.to_vec() });
    }
    let mut rgb = vec![0; SIDE * SIDE * 3];
    // The typed calls: the others compile every pixel type there is into this crate.
    let from = TypedImageRef::<U8x3>::from_buffer(side as u32, side as u32, cut)
        .map_err(|error| CropError::Scale(Box::new(error)))?;
    let mut to = TypedImage::<U8x3>::from_buffer(SIDE as u32, SIDE as u32, &mut rgb)
        .map_err(|error| CropError::Scale(Box::new(error)))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new()
        .resize_typed(&from, &mut to, &options)
        .map_err(|error| CropError::Scale(Box::new(error)))?;
    Ok(Crop { rgb })
}

fn encode_rgb(rgb: &[u8], width: usize, height: usize, quality: u8) -> Result<Vec<u8>, CropError> {
    let mut jpeg = Vec::new();
    // An over-long side saturates and is refused by the encoder.
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    if width.max(height) > usize::from(u16::MAX) {
        return Err(CropError::Size { width: side(width), height: side(height) });
    }
    JpegEncoder::new_with_quality(&mut jpeg, quality.clamp(1, 100)).encode(
        rgb,
        side(width),
        side(height),
        ExtendedColorType::Rgb8,
    )?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SourceId;

    fn frame(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 3]) -> Frame {
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                rgb.extend_from_slice(&pixel(x, y));
            }
        }
        let source_size = (width, height);
        Frame { source: SourceId(1), seq: 0, pts_ns: 0, width, height, source_size, rgb: Arc::new(rgb) }
    }

    fn square(x: f32, y: f32, side: f32) -> Rect {
        Rect { x, y, w: side, h: side }
    }

    #[test]
    fn a_crop_of_its_own_size_is_copied_pixel_by_pixel() {
        let frame = frame(200, 150, |x, y| [x as u8, y as u8, 7]);
        let crop = Crop::cut(&frame, square(20.0, 30.0, 96.0)).unwrap();
        assert_eq!(&crop.rgb()[..3], &[20, 30, 7]);
        assert_eq!(&crop.rgb()[96 * 96 * 3 - 3..], &[115, 125, 7]);
    }

    #[test]
    fn edge_pixels_are_repeated_where_the_square_reaches_over() {
        let frame = frame(100, 100, |x, _| if x == 0 { [200, 10, 10] } else { [0, 0, 0] });
        let crop = Crop::cut(&frame, square(-96.0, 2.0, 96.0)).unwrap();
        assert!(crop.rgb().chunks_exact(3).all(|p| p == [200, 10, 10]));
    }

    #[test]
    fn the_stored_bytes_are_the_same_each_time_and_decode_to_nearly_the_same_picture() {
        let frame = frame(300, 200, |x, y| [(x / 2) as u8, (y / 2) as u8, ((x + y) / 4) as u8]);
        let crop = Crop::cut(&frame, square(11.3, -5.0, 170.2)).unwrap();
        let jpeg = crop.encode().unwrap();
        assert_eq!(jpeg, crop.encode().unwrap());
        let back = Crop::decode(&jpeg).unwrap();
        assert_eq!(back, Crop::decode(&jpeg).unwrap());
        let worst = crop.rgb().iter().zip(back.rgb()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst < 24, "worst pixel differs by {worst}");
    }

    #[test]
    fn bad_squares_frames_and_bytes_are_typed_errors() {
        let good = frame(64, 48, |_, _| [9, 9, 9]);
        for bad in [
            square(0.0, 0.0, 0.0),
            square(f32::NAN, 0.0, 10.0),
            square(0.0, f32::INFINITY, 10.0),
            square(0.0, 0.0, f32::NAN),
            square(0.0, 0.0, 1e9),
            square(-1e9, 0.0, 10.0),
        ] {
            assert!(matches!(Crop::cut(&good, bad), Err(CropError::Square { .. })), "{bad:?}");
        }
        let mut short = good.clone();
        short.rgb = Arc::new(vec![0; 10]);
        assert!(matches!(Crop::cut(&short, square(0.0, 0.0, 8.0)), Err(CropError::Frame { .. })));
        assert!(matches!(encode_still(&short, 90), Err(CropError::Frame { .. })));
        assert!(matches!(Crop::decode(b"not a picture"), Err(CropError::Jpeg(_))));
        let still = encode_still(&good, 90).unwrap();
        assert!(matches!(Crop::decode(&still), Err(CropError::Size { width: 64, height: 48 })));
    }

    #[test]
    fn a_region_is_in_the_middle_of_its_square() {
        let square = square_around(Rect { x: 10.0, y: 20.0, w: 10.0, h: 40.0 }, 1.2);
        assert_eq!(square, Rect { x: -9.0, y: 16.0, w: 48.0, h: 48.0 });
    }
}
