//! Checks that a file is as long as its own container says. GStreamer reads a cut AVI, Matroska or WebM file to
//! where it breaks off and reports a normal end; only the lengths written in the file tell.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};

/// Lengths from here on are what writers put who do not know the length yet, in a 32-bit field.
const UNKNOWN_32: u64 = 0x7fff_0000;

/// The length in bytes that the container states, when it states one and the file is shorter. MP4 and MOV by
/// their chain of boxes, AVI by its RIFF chunks, Matroska and WebM by their top elements, MPEG-TS by its whole
/// packets (so one cut in 188 goes unseen); other formats state none.
pub(crate) fn stated_length_if_cut(file: &mut File) -> Result<Option<u64>> {
    let actual = file.seek(SeekFrom::End(0))?;
    let mut head = [0u8; 12];
    if actual < head.len() as u64 {
        return Ok(None);
    }
    read_at(file, 0, &mut head)?;
    if let Some(packet) = packet_bytes(file, actual)? {
        return Ok((actual % packet != 0).then(|| actual.next_multiple_of(packet)));
    }
    let next: fn(&mut File, u64, u64) -> Result<Option<u64>> = match head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => box_end,
        [b'R', b'I', b'F', b'F', ..] => riff_end,
        [0x1a, 0x45, 0xdf, 0xa3, ..] => element_end,
        _ => return Ok(None),
    };
    let mut at = 0;
    while at < actual {
        match next(file, at, actual)? {
            Some(end) if end > actual => return Ok(Some(end)),
            Some(end) if end > at => at = end,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Returns true when the file is an MP4 or MOV without the index (`moov`) that its frames are found by: the boxes can be
/// followed to the file's end, or to the one that is cut, and it is not among the whole ones.
pub(crate) fn lacks_index(file: &mut File) -> Result<bool> {
    let actual = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut name = [0u8; 8];
    while at + 8 <= actual {
        read_at(file, at, &mut name)?;
        let Some(end) = box_end(file, at, actual)? else { return Ok(false) };
        let whole = end <= actual;
        // A top-level `meta` is a still picture's index (HEIF).
        if (at == 0 && &name[4..] != b"ftyp") || (whole && matches!(&name[4..], b"moov" | b"meta")) {
            return Ok(false);
        }
        at = end;
    }
    Ok(at > 0)
}

fn read_at(file: &mut File, at: u64, into: &mut [u8]) -> Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(into)
}

/// Boxes that stand at a file's top level: ISO/IEC 14496-12, and `wide` and `pnot` of QuickTime. Anything else
/// is taken for what some other program put behind the video.
const BOXES: [&[u8; 4]; 17] = [
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"moof", b"mfra", b"sidx",
    b"ssix", b"styp", b"emsg", b"prft", b"pdin", b"meta",
];

/// Where the box at `at` ends (ISO/IEC 14496-12, 4.2); `None` when it runs to the file's end or is no box.
fn box_end(file: &mut File, at: u64, actual: u64) -> Result<Option<u64>> {
    let mut header = [0u8; 16];
    let have = header.len().min((actual - at) as usize);
    read_at(file, at, &mut header[..have])?;
    if have < 8 || !BOXES.iter().any(|name| header[4..8] == name[..]) {
        return Ok(None);
    }
    let length = match be(&header[..4]) {
        0 => return Ok(None),
        1 if have == 16 => be(&header[8..16]),
        length => length,
    };
    Ok(if length < 8 { None } else { at.checked_add(length) })
}

/// The packet length of a transport stream: 188 bytes (ISO/IEC 13818-1, 2.4.3), or 192 with the times that
/// cameras put before each. Known by the first three sync bytes.
fn packet_bytes(file: &mut File, actual: u64) -> Result<Option<u64>> {
    for (packet, sync) in [(188, 0), (192, 4)] {
        if actual < 3 * packet {
            return Ok(None);
        }
        let mut all = true;
        for at in 0..3 {
            let mut byte = [0u8];
            read_at(file, at * packet + sync, &mut byte)?;
            all &= byte == [0x47];
        }
        if all {
            return Ok(Some(packet));
        }
    }
    Ok(None)
}

/// Where the RIFF chunk at `at` ends; OpenDML files have several.
fn riff_end(file: &mut File, at: u64, actual: u64) -> Result<Option<u64>> {
    let mut header = [0u8; 8];
    if actual - at < 8 {
        return Ok(None);
    }
    read_at(file, at, &mut header)?;
    let length = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
    let known = header.starts_with(b"RIFF") && length > 0 && length < UNKNOWN_32;
    Ok(known
        .then_some(at + 8 + length + (length & 1))
        .map(|end| if end == actual + 1 { actual } else { end }))
}

/// Where the top element at `at` ends (RFC 8794, sections 4 to 6); `None` when its size is unknown.
fn element_end(file: &mut File, at: u64, actual: u64) -> Result<Option<u64>> {
    let mut header = [0u8; 12];
    let have = header.len().min((actual - at) as usize);
    read_at(file, at, &mut header[..have])?;
    // The EBML header, the segment, and space left free between them; anything else was put behind the video.
    let id_bytes = match header {
        [0x1a, 0x45, 0xdf, 0xa3, ..] | [0x18, 0x53, 0x80, 0x67, ..] => 4,
        [0xec, ..] => 1,
        _ => return Ok(None),
    };
    if id_bytes >= have {
        return Ok(None);
    }
    let size_bytes = header[id_bytes].leading_zeros() as usize + 1;
    let data = id_bytes + size_bytes;
    if size_bytes > 8 || data > have {
        return Ok(None);
    }
    let mask = (1u64 << (7 * size_bytes)) - 1;
    let size = be(&header[id_bytes..data]) & mask;
    Ok(if size == mask { None } else { at.checked_add(data as u64 + size) })
}

/// A big-endian number of up to 8 bytes.
fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn stated(bytes: &[u8]) -> Option<u64> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        stated_length_if_cut(&mut file).unwrap()
    }

    fn indexless(bytes: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        lacks_index(&mut file).unwrap()
    }

    #[test]
    fn a_cut_mp4_is_known_by_its_boxes() {
        let mut whole = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
        whole.extend(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14abcd");
        whole.extend(b"\0\0\0\x0cmoovabcd");
        assert_eq!(stated(&whole), None);
        assert_eq!(stated(&whole[..whole.len() - 1]), Some(48));
        assert_eq!(stated(&whole[..34]), Some(36));
        assert_eq!([48, 47, 36, 34, 16].map(|end| indexless(&whole[..end])), [false, true, true, true, true]);
        assert!(!indexless(b"") && !indexless(&[b'x'; 50]));
        // A last box that runs to the end of the file has no length to miss.
        assert_eq!(stated(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\0mdatab"), None);
    }

    #[test]
    fn a_cut_avi_is_known_by_its_riff_chunks() {
        let mut whole = b"RIFF\x08\0\0\0AVI abcd".to_vec();
        whole.extend(b"RIFF\x05\0\0\0AVIXa\0");
        assert_eq!(stated(&whole), None);
        assert_eq!(stated(&whole[..whole.len() - 1]), None, "the padding byte may be missing");
        assert_eq!(stated(&whole[..whole.len() - 2]), Some(30));
        assert_eq!(stated(b"RIFF\xff\xff\xff\xffAVI abcd"), None);
    }

    #[test]
    fn a_cut_matroska_is_known_by_its_segment() {
        let mut whole = vec![0x1a, 0x45, 0xdf, 0xa3, 0x84, 1, 2, 3, 4];
        whole.extend([0x18, 0x53, 0x80, 0x67, 0x40, 0x03, 1, 2, 3]);
        assert_eq!(stated(&whole), None);
        assert_eq!(stated(&whole[..17]), Some(18));
        // Of unknown size, as live writers leave it.
        assert_eq!(stated(&[0x1a, 0x45, 0xdf, 0xa3, 0x80, 0x18, 0x53, 0x80, 0x67, 0xff, 1, 2]), None);
    }

    #[test]
    fn a_cut_transport_stream_is_known_by_its_last_packet() {
        for (length, sync) in [(188, 0), (192, 4)] {
            let mut packet = vec![0u8; length];
            packet[sync] = 0x47;
            let whole = packet.repeat(4);
            assert_eq!(stated(&whole), None);
            assert_eq!(stated(&whole[..4 * length - 1]), Some(4 * length as u64));
        }
    }

    #[test]
    fn other_bytes_state_no_length() {
        for bytes in [&b""[..], b"short", &[0u8; 64], &[0xffu8; 64], b"\x1a\x45\xdf\xa3\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(stated(bytes), None);
        }
    }
}
