//! A small state, made the naive way: coloured crops of ten kinds of object in three videos, and the graph over them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, Rgb, RgbImage};
use kinetograph::state::record::{Counts, EpochLog, MadeWith, NodeRecord, SourceRecord};
use kinetograph::state::{State, encode, key};
use kinetograph::store::memory::MemoryStore;
use kinetograph::store::{Batch, Store, Table};
use kinetograph::verify::Rules;
use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};
use kinetograph_dataflows::index::kernels::score::score;
use kinetograph_dataflows::index::node::{CellId, List, Neighbour, Pair, PairKind};
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::observe::frame::PixelBox;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

pub(crate) const KINDS: u64 = 10;
const TRACKS_OF_A_KIND: u64 = 7;
const DIMS: usize = 24;
const EPOCH: u64 = 6;
const SETTINGS: &str = "k = 12\n[vision]\ntrack_frames = 30\n";

/// The state, and what went into it.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) rules: Rules,
    pub(crate) nodes: BTreeMap<NodeId, (NodeRecord, Arc<[f32]>)>,
    pub(crate) cells: BTreeMap<NodeId, CellId>,
    pub(crate) lists: BTreeMap<(NodeId, CellId), List>,
    pub(crate) clusters: BTreeSet<Vec<NodeId>>,
    pub(crate) inter: BTreeSet<(NodeId, NodeId)>,
    pub(crate) pairs: BTreeSet<Pair>,
    pub(crate) classes: BTreeMap<NodeId, NodeId>,
}

impl World {
    pub(crate) fn put(&self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        let mut batch = Batch::default();
        batch.put(table, key, value);
        self.state.commit(&batch).unwrap();
    }

    pub(crate) fn delete(&self, table: Table, key: Vec<u8>) {
        let mut batch = Batch::default();
        batch.delete(table, key);
        self.state.commit(&batch).unwrap();
    }
}

pub(crate) fn empty() -> State {
    State::over(Arc::new(MemoryStore::default()), Path::new("synthetic")).unwrap()
}

pub(crate) fn rules() -> Rules {
    Rules { k: 12, separation_ns: 5_000_000_000, nprobe: 2, probe_within: 1.3, ..Rules::default() }
}

fn unit(mut v: Vec<f32>) -> Arc<[f32]> {
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    v.iter_mut().for_each(|x| *x /= norm);
    v.into()
}

fn noise(rng: &mut Pcg64) -> Vec<f32> {
    (0..DIMS).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

fn plus(a: &[f32], share: f32, b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + share * b).collect()
}

pub(crate) fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .unwrap();
    bytes.into_inner()
}

fn crop(kind: u64, node: NodeId) -> Vec<u8> {
    let at = |shift: u64| 40 + (kind * 67 + shift * 89) % 180;
    jpeg(&RgbImage::from_fn(96, 96, |x, y| {
        let stripe =
            (u64::from(x + y) + u64::from(node.view()) * 12 + u64::from(node.source().0) * 5) / 16 % 2;
        // A bar as long as the track is late in its video keeps crops of one kind apart.
        if y < 6 && u64::from(x) < 6 * (1 + (node.track().0 >> 12) % 16) {
            return Rgb([250; 3]);
        }
        let colour = if stripe == 0 { [at(0), at(1), at(2)] } else { [at(3), at(4), at(5)] };
        Rgb(colour.map(|c| c as u8))
    }))
}

pub(crate) fn world(seed: u64) -> World {
    let mut rng = Pcg64::seed_from_u64(seed);
    let rules = rules();
    let kinds: Vec<_> = (0..KINDS).map(|_| unit(noise(&mut rng))).collect();
    let mut nodes = BTreeMap::new();
    let mut kind_of = BTreeMap::new();
    for kind in 0..KINDS {
        for of_kind in 0..TRACKS_OF_A_KIND {
            let source = SourceId((of_kind % 3) as u32 + 1);
            let track = TrackId::new(source, of_kind, kind).unwrap();
            let object = plus(&kinds[kind as usize], 0.16, &noise(&mut rng));
            for view in 0..2 + (of_kind % 2) {
                let node = track.node(view as usize).unwrap();
                let seq = of_kind * 45 + view * 30;
                let region = PixelBox { x: kind as i32 - 3, y: 20, w: 48, h: 60 };
                let crop_box = PixelBox { x: kind as i32 - 9, y: 20, w: 60, h: 60 };
                let record =
                    NodeRecord { seq, pts_ns: seq * 33_000_000, region, crop_box, epoch: 1 + of_kind % 4 };
                nodes.insert(node, (record, unit(plus(&object, 0.12, &noise(&mut rng)))));
                kind_of.insert(node, kind);
            }
        }
    }
    let divide = Decision::Divide {
        cell: CellId(0),
        children: (0..3).map(|i| (CellId(i + 1), kinds[i as usize].clone())).collect(),
    };
    let groups = Decision::Group { centroids: kinds[4..8].to_vec() };
    let decisions = [(2, 0, divide), (3, 0, groups), (EPOCH + 1, 0, Decision::Merge { cell: CellId(0) })];
    let mut codebook = Codebook::default();
    decisions[..2].iter().for_each(|(_, _, decision)| codebook.apply(decision).unwrap());

    let cells: BTreeMap<_, _> = nodes.iter().map(|(n, (_, v))| (*n, codebook.cell(v))).collect();
    let lists = lists(&nodes, &cells, &codebook, &rules);
    let clusters = clusters(&lists, &rules);
    let inter: BTreeSet<_> = clusters
        .iter()
        .flat_map(|c| c.iter().flat_map(|a| c.iter().filter(move |b| a < b).map(move |b| (*a, *b))))
        .collect();
    let ids: Vec<NodeId> = nodes.keys().copied().collect();
    let pairs = pairs(&ids, &inter);
    let classes = classes(&ids, &inter);

    let store = MemoryStore::default();
    let mut batch = Batch::default();
    batch.put(Table::Meta, key::EPOCH, encode(&EPOCH));
    batch.put(Table::Meta, key::SINCE, encode(&2u64));
    batch.put(
        Table::Meta,
        key::SETTINGS,
        encode(&MadeWith { config: SETTINGS.into(), space: "synthetic".into() }),
    );
    for (id, name) in [(1, "yard\tnorth"), (2, "gate.mp4"), (3, "street <&> \"corner\"")] {
        let source = SourceRecord {
            uri: format!("file:///video/{id}.mp4"),
            name: name.to_string(),
            fingerprint: id.to_string(),
            position: 500,
            ended: id < 3,
            failure: (id == 2).then(|| "truncated\nafter frame 499".to_string()),
            counts: Counts { frames: 500, mined: 300, ..Counts::default() },
            forgotten: false,
        };
        batch.put(Table::Sources, key::source(SourceId(id)), encode(&source));
    }
    for (node, (record, vector)) in &nodes {
        batch.put(Table::Nodes, key::node(*node), encode(record));
        batch.put(Table::Crops, key::node(*node), crop(kind_of[node], *node));
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        batch.put(Table::Vectors, key::vector(key::FIRST_SPACE, *node), bytes);
        batch.put(Table::Cells, key::in_first_space(&key::node(*node)), cells[node].0.to_be_bytes());
        batch.put(
            Table::Groups,
            key::in_first_space(&key::node(*node)),
            codebook.group(vector).0.to_be_bytes(),
        );
        // Labels are opaque: any number that tells the classes apart will do.
        batch.put(
            Table::Classes,
            key::in_first_space(&key::node(*node)),
            (classes[node].0 ^ 0x5a5a).to_be_bytes(),
        );
    }
    for ((node, cell), list) in &lists {
        batch.put(Table::Lists, key::list(key::FIRST_SPACE, *node, *cell), encode(list));
    }
    clusters.iter().for_each(|c| batch.put(Table::Clusters, key::in_first_space(&key::nodes(c)), []));
    inter.iter().for_each(|(a, b)| batch.put(Table::Edges, key::in_first_space(&key::nodes(&[*a, *b])), []));
    let mut degrees: BTreeMap<NodeId, u32> = BTreeMap::new();
    inter.iter().flat_map(|(a, b)| [*a, *b]).for_each(|node| *degrees.entry(node).or_default() += 1);
    degrees.iter().for_each(|(n, degree)| {
        batch.put(Table::Degrees, key::in_first_space(&key::node(*n)), degree.to_be_bytes())
    });
    pairs.iter().for_each(|p| batch.put(Table::Pairs, key::in_first_space(&key::pair(p)), []));
    for (effective, order, decision) in &decisions {
        batch.put(Table::Decisions, key::decision(key::FIRST_SPACE, *effective, *order), encode(decision));
    }
    for epoch in 1..=EPOCH {
        batch.put(Table::Log, key::epoch(epoch), encode(&EpochLog::default()));
    }
    store.commit(&batch).unwrap();
    let state = State::over(Arc::new(store), Path::new("synthetic")).unwrap();
    World { state, rules, nodes, cells, lists, clusters, inter, pairs, classes }
}

fn lists(
    nodes: &BTreeMap<NodeId, (NodeRecord, Arc<[f32]>)>,
    cells: &BTreeMap<NodeId, CellId>,
    codebook: &Codebook,
    rules: &Rules,
) -> BTreeMap<(NodeId, CellId), List> {
    let mut lists = BTreeMap::new();
    for (a, (of_a, vector)) in nodes {
        for cell in codebook.probed(vector, rules.probes()) {
            let mut list = List::new();
            for (b, (of_b, other)) in nodes {
                let far = a.source() != b.source() || of_a.pts_ns.abs_diff(of_b.pts_ns) > rules.separation_ns;
                if cells[b] == cell && a.track() != b.track() && far {
                    list.push(Neighbour { score: score(vector, other), node: *b });
                }
            }
            list.sort();
            list.truncate(rules.k);
            lists.insert((*a, cell), list);
        }
    }
    lists
}

/// Maximal cliques, one node more at a time: each clique so far is met with the new node's neighbours.
fn clusters(lists: &BTreeMap<(NodeId, CellId), List>, rules: &Rules) -> BTreeSet<Vec<NodeId>> {
    let mut near: BTreeMap<NodeId, Vec<Neighbour>> = BTreeMap::new();
    lists.iter().for_each(|((n, _), list)| near.entry(*n).or_default().extend(list));
    for list in near.values_mut() {
        list.sort();
        list.truncate(rules.k);
    }
    let knows = |a: NodeId, b: NodeId| near[&a].iter().any(|n| n.node == b);
    let mut cliques: BTreeSet<Vec<NodeId>> = BTreeSet::new();
    for node in near.keys().copied() {
        let mut grown = vec![vec![node]];
        for clique in &cliques {
            let mut with: Vec<_> =
                clique.iter().copied().filter(|m| knows(node, *m) && knows(*m, node)).collect();
            with.push(node);
            grown.push(with);
        }
        cliques.extend(grown.iter().cloned());
        let inside = |small: &Vec<NodeId>, big: &Vec<NodeId>| small.iter().all(|n| big.contains(n));
        cliques.retain(|c| !grown.iter().any(|other| c.len() < other.len() && inside(c, other)));
    }
    cliques.into_iter().filter(|c| c.len() >= rules.min_cluster).collect()
}

fn pairs(ids: &[NodeId], inter: &BTreeSet<(NodeId, NodeId)>) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for (via_a, via_b) in inter.iter().copied() {
        for a in ids.iter().copied().filter(|a| a.track() == via_a.track()) {
            for b in ids.iter().copied().filter(|b| b.track() == via_b.track()) {
                let kind = match (a == via_a, b == via_b) {
                    (true, true) => continue,
                    (false, false) => PairKind::BothMoved,
                    (false, true) => PairKind::AMoved,
                    (true, false) => PairKind::BMoved,
                };
                pairs.insert(Pair { a, b, kind, via_a, via_b });
            }
        }
    }
    pairs
}

/// The smallest node that can be reached, by passing labels on until none changes.
fn classes(ids: &[NodeId], inter: &BTreeSet<(NodeId, NodeId)>) -> BTreeMap<NodeId, NodeId> {
    let mut label: BTreeMap<_, _> = ids.iter().map(|n| (*n, *n)).collect();
    loop {
        let before = label.clone();
        for a in ids {
            for b in ids {
                if a.track() == b.track() || inter.contains(&(*a.min(b), *a.max(b))) {
                    let least = label[a].min(label[b]);
                    label.insert(*a, least);
                    label.insert(*b, least);
                }
            }
        }
        if label == before {
            return label;
        }
    }
}
