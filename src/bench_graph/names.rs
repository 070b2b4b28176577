//! The names of nodes, tracks and sources outside, and their ids inside.

use std::collections::HashMap;

use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};

use super::ops::Fault;

/// Sources have 24 bits of an id.
const SOURCES: usize = 1 << 24;
/// Tracks of a source have 32; the id's constructor takes them in segments of so many.
const SEGMENT: u64 = 1 << 12;
/// Views of a track have 8.
const VIEWS: u16 = 1 << 8;

/// A node that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its id inside.
    pub id: NodeId,
    /// Its row in the file of vectors.
    pub row: u32,
    /// When it was seen, nanoseconds.
    pub pts_ns: u64,
    /// Number of nodes of its source that came before.
    pub frame: u64,
    /// Place of its track.
    track: u32,
}

/// A source by its ordinal.
struct Source {
    name: String,
    /// Inserts so far: the next node's frame.
    frames: u64,
    /// Tracks begun so far: the next track's ordinal.
    tracks: u64,
    live: HashMap<String, u32>,
}

struct Track {
    id: TrackId,
    name: String,
    views: u16,
    /// Views whose nodes went in earlier epochs.
    free: Vec<u8>,
    nodes: u16,
}

/// Ids are given in the order of the file: sources count up from 0, tracks in their source, views in their track. A view's
/// id is given again once the epoch its node went in is over; a track's is not.
#[derive(Default)]
pub struct Names {
    sources: Vec<Source>,
    source_of: HashMap<String, u32>,
    tracks: Vec<Track>,
    /// Places in `tracks` to be used again.
    vacant: Vec<u32>,
    nodes: HashMap<u64, Live>,
    /// Nodes that went in this epoch.
    going: Vec<(u32, u8)>,
}

impl Names {
    /// `node`, whose vector is in `row`, comes: its id.
    ///
    /// # Errors
    /// When it is there already, or there is no id left.
    pub fn insert(
        &mut self,
        node: u64,
        track: &str,
        source: &str,
        row: u32,
        pts_ns: u64,
    ) -> Result<NodeId, Fault> {
        if self.nodes.contains_key(&node) {
            return Err(Fault::Twice(node));
        }
        let source = self.source(source)?;
        let at = self.track(source, track)?;
        let track = &mut self.tracks[at as usize];
        let view = match track.free.pop() {
            Some(view) => view,
            None if track.views < VIEWS => {
                track.views += 1;
                (track.views - 1) as u8
            }
            None => {
                let reason = format!("track `{}` has {VIEWS} nodes; more have no ids", track.name);
                return Err(Fault::Full(reason));
            }
        };
        track.nodes += 1;
        // A view is below 256, for which there always is an id.
        let id = track.id.node(usize::from(view)).unwrap_or(NodeId(0));
        let source = &mut self.sources[source as usize];
        self.nodes.insert(node, Live { id, row, pts_ns, frame: source.frames, track: at });
        source.frames += 1;
        Ok(id)
    }

    /// `node` goes: what it was.
    ///
    /// # Errors
    /// When it is not there, or is of another track or source than the ones named.
    pub fn delete(
        &mut self,
        node: u64,
        track: Option<String>,
        source: Option<String>,
    ) -> Result<Live, Fault> {
        let live = *self.nodes.get(&node).ok_or(Fault::Absent(node))?;
        let (its_track, its_source) = self.track_and_source(&live);
        for (what, came, said) in [("track", its_track, track), ("source", its_source, source)] {
            if let Some(said) = said.filter(|said| said != came) {
                return Err(Fault::Other { node, what, came: came.to_string(), said });
            }
        }
        self.nodes.remove(&node);
        self.going.push((live.track, live.id.view()));
        Ok(live)
    }

    /// The epoch is over.
    pub fn close_epoch(&mut self) {
        for (at, view) in std::mem::take(&mut self.going) {
            let track = &mut self.tracks[at as usize];
            track.nodes -= 1;
            track.free.push(view);
            if track.nodes == 0 {
                let source = &mut self.sources[track.id.source().0 as usize];
                source.live.remove(&track.name);
                self.vacant.push(at);
            }
        }
    }

    /// Track and source of a node that is there, as they are called outside.
    pub fn track_and_source(&self, live: &Live) -> (&str, &str) {
        let track = &self.tracks[live.track as usize];
        (&track.name, &self.sources[track.id.source().0 as usize].name)
    }

    /// The nodes that are there by their numbers outside, in no order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (u64, &Live)> {
        self.nodes.iter().map(|(node, live)| (*node, live))
    }

    /// Each source with its name and how many nodes came in it.
    pub fn sources(&self) -> impl Iterator<Item = (SourceId, &str, u64)> {
        self.sources.iter().enumerate().map(|(at, s)| (SourceId(at as u32), s.name.as_str(), s.frames))
    }

    fn source(&mut self, name: &str) -> Result<u32, Fault> {
        if let Some(at) = self.source_of.get(name) {
            return Ok(*at);
        }
        if self.sources.len() == SOURCES {
            return Err(Fault::Full(format!("there are {SOURCES} sources; more have no ids")));
        }
        let at = self.sources.len() as u32;
        self.sources.push(Source { name: name.into(), frames: 0, tracks: 0, live: HashMap::new() });
        self.source_of.insert(name.into(), at);
        Ok(at)
    }

    fn track(&mut self, of: u32, name: &str) -> Result<u32, Fault> {
        let source = &mut self.sources[of as usize];
        if let Some(at) = source.live.get(name) {
            return Ok(*at);
        }
        let id = TrackId::new(SourceId(of), source.tracks / SEGMENT, source.tracks % SEGMENT);
        let id = id.ok_or_else(|| {
            Fault::Full(format!("source `{}` had {} tracks; more have no ids", source.name, source.tracks))
        })?;
        source.tracks += 1;
        let track = Track { id, name: name.into(), views: 0, free: Vec::new(), nodes: 0 };
        let at = match self.vacant.pop() {
            Some(at) => {
                self.tracks[at as usize] = track;
                at
            }
            None => {
                self.tracks.push(track);
                self.tracks.len() as u32 - 1
            }
        };
        self.sources[of as usize].live.insert(name.into(), at);
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_and_a_views_id_comes_back_after_its_epoch() {
        let mut names = Names::default();
        let a = names.insert(70, "car", "yard", 0, 9).unwrap();
        assert_eq!((a.source(), a.view()), (SourceId(0), 0));
        let b = names.insert(71, "car", "yard", 1, 9).unwrap();
        assert_eq!((b.track(), b.view()), (a.track(), 1));
        let c = names.insert(72, "car", "gate", 2, 9).unwrap();
        assert_eq!((c.source(), c.view()), (SourceId(1), 0));

        let gone = names.delete(70, Some("car".into()), Some("yard".into())).unwrap();
        assert_eq!((gone.id, gone.row, gone.frame, gone.pts_ns), (a, 0, 0, 9));
        let d = names.insert(73, "car", "yard", 3, 9).unwrap();
        assert_eq!(d.view(), 2, "the first view may still be on its way out");
        names.close_epoch();
        assert_eq!(names.insert(70, "car", "yard", 0, 9).unwrap(), a);
        names.delete(72, None, None).unwrap();
        names.close_epoch();
        let f = names.insert(72, "car", "gate", 2, 9).unwrap();
        assert_ne!(f.track(), c.track(), "a track that was gone is a new one");
        let frames: Vec<_> = names.sources().map(|(_, name, frames)| (name, frames)).collect();
        assert_eq!(frames, [("yard", 4), ("gate", 2)]);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut names = Names::default();
        names.insert(72, "car", "gate", 2, 9).unwrap();
        assert!(matches!(names.insert(72, "car", "gate", 2, 9), Err(Fault::Twice(72))));
        assert!(matches!(names.delete(99, None, None), Err(Fault::Absent(99))));
        let said = names.delete(72, Some("bus".into()), None).unwrap_err().to_string();
        assert_eq!(said, "node 72 came with track `car`, not `bus`");
        names.delete(72, Some("car".into()), Some("gate".into())).unwrap();
    }

    #[test]
    fn a_track_has_256_views() {
        let mut names = Names::default();
        (0..256).for_each(|node| assert!(names.insert(node, "t", "s", 0, 0).is_ok()));
        assert!(names.insert(256, "t", "s", 0, 0).unwrap_err().to_string().contains("256 nodes"));
    }
}
