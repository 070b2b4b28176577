//! How long `verify` takes over a large state, and how much memory.
//!
//!     cargo bench -p kinetograph-benches --bench verify -- [NODES [DIMENSIONS]]     (default 100000 128)
//!
//! A process of its own makes the state (clustered vectors, a grown codebook, and the graph over them, all as they should be) in a
//! temporary folder. This one verifies it, vectors taken as they are; then breaks one score and verifies again: the same
//! work, and one list that differs.

// What fails here fails the measurement.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use kinetograph::peak_rss::peak_rss_bytes;
use kinetograph::recompute::cores::on_all_cores;
use kinetograph::recompute::nearest::{self, Lists, Member};
use kinetograph::recompute::relations;
use kinetograph::state::record::{EpochLog, NodeRecord, SourceRecord};
use kinetograph::state::{State, encode, key};
use kinetograph::store::{Batch, Table};
use kinetograph::verify::{Rules, verify};
use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};
use kinetograph_dataflows::index::kernels::score::Score;
use kinetograph_dataflows::index::node::CellId;
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::policy::{Deciding, Settings};
use kinetograph_dataflows::observe::frame::PixelBox;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records written at a time.
const BATCH: usize = 100_000;
/// Tracks that look alike.
const ALIKE: u64 = 8;
const SOURCES: u64 = 50;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let nodes = numbers.first().copied().unwrap_or(100_000);
    let dimensions = numbers.get(1).copied().unwrap_or(128);
    if let Some(place) = std::env::var_os("VERIFY_BENCH_MAKE") {
        return make(Path::new(&place), nodes, dimensions);
    }
    // A folder that is named is used again.
    let kept = std::env::var_os("VERIFY_BENCH_STATE");
    let dir = tempfile::tempdir().unwrap();
    let place = kept.map_or_else(|| dir.path().join("state"), std::path::PathBuf::from);
    if !place.exists() {
        let begin = Instant::now();
        let me = std::env::current_exe().unwrap();
        let made = Command::new(me)
            .args([nodes.to_string(), dimensions.to_string()])
            .env("VERIFY_BENCH_MAKE", &place)
            .status();
        assert!(made.unwrap().success(), "the state could not be made");
        println!("{nodes} nodes of {dimensions} values: made in {:.1} s", begin.elapsed().as_secs_f64());
    }
    let state = State::open(&place).unwrap();
    let rules = Rules::default();
    let began: Mutex<Vec<(String, f64)>> = Mutex::default();
    let begin = Instant::now();
    let report = verify(&state, &rules, None, &|collection, _, _| {
        let mut began = began.lock().unwrap();
        if began.last().is_none_or(|(last, _)| last != collection) {
            began.push((collection.to_string(), begin.elapsed().as_secs_f64()));
        }
    });
    let (report, seconds) = (report.unwrap(), begin.elapsed().as_secs_f64());
    print!("{report}");
    assert_eq!(report.differences, 0, "the state is as it should be");
    for (collection, at) in began.into_inner().unwrap() {
        println!("{collection} began after {at:.1} s");
    }
    println!("verified in {seconds:.1} s, {} MiB at most", peak_rss_bytes() >> 20);

    let view = state.view().unwrap();
    let ((node, cell), mut list) =
        view.lists().unwrap().into_iter().find(|(_, list)| list.len() > 3).unwrap();
    drop(view);
    let right = encode(&list);
    list[2].score = Score(f32::from_bits(list[2].score.0.to_bits() ^ 1));
    let mut batch = Batch::default();
    batch.put(Table::Lists, key::list(key::FIRST_SPACE, node, cell), encode(&list));
    state.commit(&batch).unwrap();
    let begin = Instant::now();
    let report = verify(&state, &rules, None, &|_, _, _| {}).unwrap();
    assert_eq!((report.differences, report.check("lists").unwrap().differences), (1, 1), "{report}");
    println!("a score that is off by a bit: found in {:.1} s", begin.elapsed().as_secs_f64());
    let mut batch = Batch::default();
    batch.put(Table::Lists, key::list(key::FIRST_SPACE, node, cell), right);
    state.commit(&batch).unwrap();
}

fn unit(mut v: Vec<f32>) -> std::sync::Arc<[f32]> {
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    v.iter_mut().for_each(|x| *x /= norm);
    v.into()
}

fn make(place: &Path, nodes: usize, dimensions: usize) {
    let mut rng = Pcg64::seed_from_u64(1);
    let mut noise = |share: f32| -> Vec<f32> {
        (0..dimensions).map(|_| share * rng.random_range(-1.0f32..1.0)).collect()
    };
    let plus = |a: &[f32], b: Vec<f32>| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f32>>();
    let (mut members, mut centre, mut at) = (Vec::with_capacity(nodes), noise(1.0), 0u64);
    while members.len() < nodes {
        if at.is_multiple_of(ALIKE) {
            centre = noise(1.0);
        }
        let source = SourceId((at % SOURCES) as u32);
        let track = TrackId::new(source, at / SOURCES / 4096, at / SOURCES % 4096).unwrap();
        let object = plus(&centre, noise(0.4));
        for view in 0..2 {
            members.push(Member {
                id: track.node(view).unwrap(),
                pts_ns: at * 100_000_000 + view as u64 * 1_000_000_000,
                vector: unit(plus(&object, noise(0.2))).into(),
                cell: CellId(0),
            });
        }
        at += 1;
    }
    members.sort_unstable_by_key(|member| member.id);

    let (codebook, decisions) = grown(&mut members);
    let last = decisions.last().map_or(1, |(epoch, _)| *epoch);
    let rules = Rules::default();
    let made = nearest::lists(
        &members,
        &codebook,
        &rules,
        |node, cell, list| Some(((node, cell), list)),
        &|_, _| {},
    );
    let mut lists: Lists = made;
    lists.sort_unstable_by_key(|(key, _)| *key);
    let ids: Vec<NodeId> = members.iter().map(|member| member.id).collect();
    let mutual = relations::mutual(&ids, &lists, rules.k);
    let clusters = relations::clusters(&ids, &mutual, rules.min_cluster, &|_| {});
    let inter = relations::inter(&clusters);
    let tracks = relations::tracks(ids.iter().copied());
    let pairs = relations::pairs(&inter, &tracks);
    let classes = relations::classes(&ids, &tracks, &inter);

    let mut writing = Writing { state: State::open(place).unwrap(), batch: Batch::default() };
    for source in 0..SOURCES as u32 {
        let record = SourceRecord {
            uri: format!("file:///{source}.mp4"),
            name: source.to_string(),
            fingerprint: source.to_string(),
            position: u64::MAX,
            ended: true,
            failure: None,
            counts: Default::default(),
            forgotten: false,
        };
        writing.put(Table::Sources, key::source(SourceId(source)), encode(&record));
    }
    let crop = crop();
    let anywhere = PixelBox { x: 0, y: 0, w: 96, h: 96 };
    for member in &members {
        let record =
            NodeRecord { seq: 1, pts_ns: member.pts_ns, region: anywhere, crop_box: anywhere, epoch: 1 };
        writing.put(Table::Nodes, key::node(member.id), encode(&record));
        writing.put(Table::Crops, key::node(member.id), crop.clone());
        let vector = member.vector.to_bytes();
        writing.put(Table::Vectors, key::vector(key::FIRST_SPACE, member.id), vector);
        writing.put(
            Table::Cells,
            key::in_first_space(&key::node(member.id)),
            member.cell.0.to_be_bytes().to_vec(),
        );
        let group = codebook.group(&member.vector.values()).0.to_be_bytes();
        writing.put(Table::Groups, key::in_first_space(&key::node(member.id)), group.to_vec());
        writing.put(
            Table::Classes,
            key::in_first_space(&key::node(member.id)),
            classes[&member.id].0.to_be_bytes().to_vec(),
        );
    }
    for ((node, cell), list) in &lists {
        writing.put(Table::Lists, key::list(key::FIRST_SPACE, *node, *cell), encode(list));
    }
    clusters
        .iter()
        .for_each(|cluster| writing.put(Table::Clusters, key::in_first_space(&key::nodes(cluster)), vec![]));
    inter
        .iter()
        .for_each(|(a, b)| writing.put(Table::Edges, key::in_first_space(&key::nodes(&[*a, *b])), vec![]));
    let mut degrees: BTreeMap<NodeId, u32> = BTreeMap::new();
    inter.iter().flat_map(|(a, b)| [*a, *b]).for_each(|node| *degrees.entry(node).or_default() += 1);
    for (node, degree) in degrees {
        writing.put(Table::Degrees, key::in_first_space(&key::node(node)), degree.to_be_bytes().to_vec());
    }
    pairs.iter().for_each(|pair| writing.put(Table::Pairs, key::in_first_space(&key::pair(pair)), vec![]));
    for (order, (epoch, decision)) in decisions.iter().enumerate() {
        writing.put(
            Table::Decisions,
            key::decision(key::FIRST_SPACE, *epoch, order as u64),
            encode(decision),
        );
    }
    writing.put(Table::Log, key::epoch(last), encode(&EpochLog::default()));
    writing.put(Table::Meta, key::EPOCH.to_vec(), encode(&last));
    writing.state.commit(&writing.batch).unwrap();
}

/// The codebook that the policy comes to, with everybody in their cells, and what it decided.
fn grown(members: &mut [Member]) -> (Codebook, Vec<(u64, Decision)>) {
    let (mut codebook, mut decisions) = (Codebook::default(), Vec::new());
    let vectors: BTreeMap<NodeId, _> = members.iter().map(|m| (m.id, m.vector.clone())).collect();
    let mut quiet = 0;
    for epoch in 1.. {
        let mut deciding = Deciding::new(Settings::default());
        members.iter().for_each(|member| deciding.change(member.id, member.cell, 1));
        let decided = deciding.decide(epoch, &codebook, |node| vectors.get(&node).cloned());
        quiet = if decided.is_empty() { quiet + 1 } else { 0 };
        if quiet > 8 {
            break;
        }
        for decision in decided {
            codebook.apply(&decision).unwrap();
            decisions.push((epoch, decision));
        }
        let chunks: Vec<&[Member]> = members.chunks(1024).collect();
        let cell =
            |some: &&[Member]| some.iter().map(|m| codebook.cell(&m.vector.values())).collect::<Vec<_>>();
        let cells: Vec<CellId> = on_all_cores(&chunks, cell, &|_| {}).into_iter().flatten().collect();
        members.iter_mut().zip(cells).for_each(|(member, cell)| member.cell = cell);
    }
    (codebook, decisions)
}

struct Writing {
    state: State,
    batch: Batch,
}

impl Writing {
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.batch.put(table, key, value);
        if self.batch.changes().len() >= BATCH {
            self.state.commit(&std::mem::take(&mut self.batch)).unwrap();
        }
    }
}

fn crop() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let grey = image::RgbImage::from_pixel(96, 96, image::Rgb([90; 3]));
    image::codecs::jpeg::JpegEncoder::new(&mut bytes)
        .encode(&grey, 96, 96, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes.into_inner()
}
