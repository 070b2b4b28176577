//! `kinetograph bench graph`: the graph over operations from outside, through the command line.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::score::Score;
use kinetograph_dataflows::index::kernels::vector::{Precision, Vector};
use kinetograph_dataflows::index::node::{CellId, List, Neighbour, PairKind, Row};
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::policy::{CodebookKind, Settings};
use kinetograph_dataflows::index::search;
use kinetograph_dataflows::relations::{classes, clusters, edges, pairs};
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

const DIMS: usize = 24;
/// Small cells, so that they divide and merge on the way.
const SET: [&str; 14] = [
    "--set",
    "graph.neighbours.codebook.growing.cap=40",
    "--set",
    "graph.neighbours.nprobe=3",
    "--set",
    "graph.neighbours.probe_within=1.1",
    "--set",
    "graph.neighbours.k=6",
    "--set",
    "graph.closure.min_cluster=3",
    "--set",
    "engine.max_lag_epochs=3",
    "--set",
    "engine.decision_delay_epochs=3",
];

/// Files whose bytes do not depend on how long anything took.
const FILES: [&str; 11] = [
    "nodes.tsv",
    "vectors.safetensors",
    "names.tsv",
    "neighbours.tsv",
    "clusters.tsv",
    "edges.tsv",
    "pairs.tsv",
    "sources.tsv",
    "codebook.json",
    "settings.json",
    "export.json",
];

/// A folder with vectors of `n` nodes, numbered 1000, 1003, 1006 and so on, around twelve centres.
fn vectors(dir: &Path, n: usize, rng: &mut Pcg64) -> PathBuf {
    let mut noise = || (0..DIMS).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
    let centres: Vec<Vec<f32>> = (0..12).map(|_| noise()).collect();
    let values: Vec<f32> = (0..n)
        .flat_map(|at| centres[at % 12].iter().zip(noise()).map(|(c, x)| 3.0 * c + x).collect::<Vec<_>>())
        .collect();
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let numbers: Vec<u8> = (0..n as u64).flat_map(|at| (1000 + 3 * at).to_le_bytes()).collect();
    let tensors = [
        ("vectors", TensorView::new(Dtype::F32, vec![n, DIMS], &bytes).unwrap()),
        ("nodes", TensorView::new(Dtype::U64, vec![n], &numbers).unwrap()),
    ];
    let path = dir.join("vectors.safetensors");
    safetensors::serialize_to_file(tensors, None, &path).unwrap();
    path
}

/// Random operations, and the numbers of the nodes that are there in the end.
fn operations(n: usize, rng: &mut Pcg64) -> (String, BTreeSet<u64>) {
    let mut text = "epoch\top\tnode\ttrack\tsource\ttime\n".to_string();
    let mut live = BTreeSet::new();
    let mut epoch = 3;
    for round in 0..70 {
        // Some epochs have no operations; one gap is longer than decisions are waited for.
        epoch += if round == 40 { 500 } else { rng.random_range(1..4) };
        // First it grows, then it shrinks until cells merge, then it grows again.
        let growing = !(35..54).contains(&round);
        for _ in 0..rng.random_range(1..if growing { 24 } else { 34 }) {
            let insert = live.is_empty() || rng.random_bool(if growing { 0.85 } else { 0.04 });
            if insert {
                let Some(at) = (0..n as u64).filter(|at| !live.contains(at)).choose(rng) else { continue };
                // Two or three views a track; times overlap, so that not everything is eligible.
                let (track, source) = (at / 3 % 90, ["yard", "gate\u{e9}", "a b"][(at / 3 % 3) as usize]);
                let seconds = f64::from(rng.random_range(0..4000)) / 100.0;
                text += &format!("{epoch}\t+\t{}\tt{track}\t{source}\t{seconds:.2}\n", 1000 + 3 * at);
                live.insert(at);
            } else {
                let at = *live.iter().choose(rng).unwrap();
                live.remove(&at);
                text += &format!("{epoch}\t-\t{}\n", 1000 + 3 * at);
            }
        }
    }
    (text, live.into_iter().map(|at| 1000 + 3 * at).collect())
}

fn bench(vectors: &Path, ops: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinetograph"));
    command.args(["bench", "graph", "--vectors"]).arg(vectors).arg("--ops").arg(ops).arg("--out").arg(out);
    command.args(SET).args(more).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn rows(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_string).collect()).collect()
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

fn node(field: &str) -> NodeId {
    NodeId(field.parse().unwrap())
}

#[test]
fn random_operations_give_the_recomputed_graph_on_one_two_and_three_workers() {
    for seed in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = Pcg64::seed_from_u64(seed);
        let (vectors, ops) = (vectors(dir.path(), 400, &mut rng), dir.path().join("ops.tsv"));
        let (text, live) = operations(400, &mut rng);
        fs::write(&ops, &text).unwrap();
        let out = |workers: &str| dir.path().join(workers);
        for workers in ["1", "2", "3"] {
            done(&bench(&vectors, &ops, &out(workers), &["--workers", workers]));
            for file in FILES {
                let same =
                    fs::read(out("1").join(file)).unwrap() == fs::read(out(workers).join(file)).unwrap();
                assert!(same, "{file} on {workers} workers, seed {seed}");
            }
        }
        let out = out("1");
        let names = rows(&out, "names.tsv");
        let found: BTreeSet<u64> = names.iter().map(|row| row[1].parse().unwrap()).collect();
        assert_eq!(found, live, "the nodes that are there, seed {seed}");
        equals_the_recompute(&out);
        the_script_agrees(&out);
        let timings = json(&out, "timings.json");
        let count = |op: &str| text.lines().filter(|line| line.contains(op)).count() as u64;
        assert_eq!(timings["all"]["inserts"].as_u64(), Some(count("\t+\t")));
        assert_eq!(timings["all"]["deletes"].as_u64(), Some(count("\t-\t")));
        assert!(timings["operator_seconds"].as_object().unwrap().contains_key("Neighbours"), "{timings:#}");
        assert_eq!(rows(&out, "epochs.tsv").len() as u64, timings["all"]["epochs"].as_u64().unwrap());
    }
}

/// Everything in `out` is what the recomputes make of its vectors and its decisions.
fn equals_the_recompute(out: &Path) {
    let settings = Settings {
        k: 6,
        nprobe: 3,
        probe_within: 1.1,
        codebook: CodebookKind::Growing { cap: 40, try_every_epochs: 4 },
        ..Settings::default()
    };
    let mut codebook = Codebook::default();
    let log = json(out, "codebook.json");
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for record in log["decisions"].as_array().unwrap() {
        let decision: Decision = serde_json::from_value(record["decision"].clone()).unwrap();
        codebook.apply(&decision).unwrap();
        *kinds.entry(record["decision"].as_object().unwrap().keys().next().unwrap().clone()).or_default() +=
            1;
        assert!(
            record["effective"].as_u64() <= json(out, "export.json")["epoch"].as_u64(),
            "all are in effect"
        );
    }
    assert!(
        kinds["Divide"] > 3 && kinds["Merge"] > 0 && kinds["Group"] > 0,
        "too little happened: {kinds:?}"
    );

    let bytes = fs::read(out.join("vectors.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values = tensors.tensor("vectors").unwrap();
    let values: Vec<f32> = values.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let nodes = rows(out, "nodes.tsv");
    let made: Vec<Row> = nodes
        .iter()
        .zip(values.chunks_exact(DIMS))
        .map(|(row, v)| Row {
            id: node(&row[0]),
            pts_ns: row[3].parse().unwrap(),
            vector: Vector::new(v, Precision::F32),
            known: None,
        })
        .collect();
    assert!(
        made.iter().all(|row| (row.vector.values().iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5)
    );
    for (row, made) in nodes.iter().zip(&made) {
        assert_eq!(row[10], codebook.cell(&made.vector.values()).0.to_string());
        assert_eq!(row[11], codebook.group(&made.vector.values()).0.to_string());
    }

    let search::Recomputed { lists, neighbours: expected } = search::recompute(&made, &codebook, &settings);
    let looks = lists.len();
    assert!(nodes.len() < looks && looks < 3 * nodes.len(), "{looks} looks of {} nodes", nodes.len());
    let mut found: BTreeMap<NodeId, List> = made.iter().map(|row| (row.id, List::new())).collect();
    for row in rows(out, "neighbours.tsv") {
        let entry = Neighbour { score: Score(row[3].parse().unwrap()), node: node(&row[2]) };
        found.get_mut(&node(&row[0])).unwrap().push(entry);
    }
    assert_eq!(found, expected);

    let expected =
        clusters::recompute(&expected, &clusters::Settings { min_cluster: 3, ..Default::default() });
    let mut found: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for row in rows(out, "clusters.tsv") {
        found.entry(row[0].clone()).or_default().push(node(&row[1]));
    }
    assert_eq!(found.into_values().collect::<BTreeSet<_>>(), expected);

    let ids: BTreeSet<NodeId> = made.iter().map(|row| row.id).collect();
    let (inter, intra) = (edges::recompute_inter(&expected), edges::recompute_intra(&ids));
    let listed = rows(out, "edges.tsv");
    let kind = |kind: &str| -> BTreeSet<(NodeId, NodeId)> {
        listed.iter().filter(|row| row[2] == kind).map(|row| (node(&row[0]), node(&row[1]))).collect()
    };
    assert!(inter.len() > 20 && intra.len() > 20);
    assert_eq!((kind("inter"), kind("intra")), (inter.clone(), intra.clone()));

    let name = |kind| match kind {
        PairKind::BothMoved => "A'-B'",
        PairKind::AMoved => "A'-B",
        PairKind::BMoved => "A-B'",
    };
    let expected: BTreeSet<Vec<String>> = pairs::recompute(&ids, &inter)
        .into_iter()
        .map(|p| {
            [p.a.to_string(), p.b.to_string(), name(p.kind).into(), p.via_a.to_string(), p.via_b.to_string()]
                .into()
        })
        .collect();
    assert_eq!(rows(out, "pairs.tsv").into_iter().collect::<BTreeSet<_>>(), expected);

    let expected = classes::recompute(&ids, &inter.union(&intra).copied().collect());
    let mut names: HashMap<&str, u64> = HashMap::new();
    for row in &nodes {
        let smallest = expected[&node(&row[0])].0;
        assert_eq!(*names.entry(&row[12]).or_insert(smallest), smallest, "node {}", row[0]);
    }
    assert_eq!(names.len(), expected.values().collect::<BTreeSet<_>>().len());
    let cells: BTreeSet<CellId> = codebook.leaves().collect();
    assert!(cells.len() > 2, "{cells:?}");
}

fn the_script_agrees(out: &Path) {
    let named = std::env::var("KINETOGRAPH_PYTHON").ok();
    for python in named.iter().map(String::as_str).chain(["python3", "/usr/bin/python3"]) {
        let numpy = Command::new(python).args(["-c", "import numpy"]).output();
        if numpy.is_ok_and(|numpy| numpy.status.success()) {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check_export.py");
            let run = Command::new(python).arg(script).arg(out).output().unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
            return;
        }
    }
    println!("skipped: check_export.py (no python3 with numpy; KINETOGRAPH_PYTHON names one)");
}

#[test]
fn a_limit_on_the_pairs_of_a_node_holds_and_the_script_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Pcg64::seed_from_u64(8);
    let (vectors, ops) = (vectors(dir.path(), 400, &mut rng), dir.path().join("ops.tsv"));
    fs::write(&ops, operations(400, &mut rng).0).unwrap();
    let pairs = |out: &str, more: &[&str]| {
        done(&bench(&vectors, &ops, &dir.path().join(out), more));
        the_script_agrees(&dir.path().join(out));
        rows(&dir.path().join(out), "pairs.tsv")
    };
    let (all, few) = (pairs("all", &[]), pairs("few", &["--set", "graph.closure.max_pairs_per_node=3"]));
    let mut of_node: BTreeMap<&str, usize> = BTreeMap::new();
    few.iter().flat_map(|row| &row[..2]).for_each(|end| *of_node.entry(end).or_default() += 1);
    assert!(few.len() < all.len() && !few.is_empty() && of_node.values().all(|pairs| *pairs <= 3));
    assert!(few.iter().all(|row| all.contains(row)));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = vectors(dir.path(), 20, &mut Pcg64::seed_from_u64(5));
    let (ops, out) = (dir.path().join("ops.tsv"), dir.path().join("out"));
    for (line, words) in [
        ("2\t+\t1000\tt\ts\t1", "node 1000 is there already"),
        ("2\t-\t1006", "node 1006 is not there"),
        ("2\t-\t1000\tother", "node 1000 came with track `t`, not `other`"),
        ("2\t+\t1001\tt\ts\t1", "has no vector of node 1001"),
        ("0\t+\t1006\tt\ts\t1", "epoch 0 comes after epoch 1"),
        ("2\t+\t1006\tt\ts", "5 fields"),
        ("2\tx\t1006\tt\ts\t1", "neither + nor -"),
        ("2\t+\tnode\tt\ts\t1", "node `node`"),
        ("2\t+\t1006\tt\ts\tNaN", "time `NaN`"),
    ] {
        fs::write(&ops, format!("1\t+\t1000\tt\ts\t0\n1\t+\t1003\tt\ts\t9\n{line}\n")).unwrap();
        let output = bench(&vectors, &ops, &out, &[]);
        let said = String::from_utf8_lossy(&output.stderr).to_string();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("ops.tsv, line 3: ") && said.contains(words), "{said}");
        assert!(!out.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside the folder");
    }
    fs::write(&ops, b"1\t+\t1000\tt\ts\t0\n1\t+\t\xff\xfe").unwrap();
    let said = String::from_utf8_lossy(&bench(&vectors, &ops, &out, &[]).stderr).to_string();
    assert!(said.contains("ops.tsv, line 2: cannot be read"), "{said}");
}

#[test]
fn vectors_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, ops) = (dir.path().join("v.safetensors"), dir.path().join("ops.tsv"));
    fs::write(&ops, "1\t+\t0\tt\ts\t0\n1\t+\t1\tu\ts\t9\n").unwrap();
    let said = || {
        let output = bench(&path, &ops, &dir.path().join("out"), &[]);
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8_lossy(&output.stderr).to_string()
    };
    assert!(said().contains("v.safetensors: No such file"));
    for garbage in [&b"short"[..], &[0xff; 64], &[b'{'; 300]] {
        fs::write(&path, garbage).unwrap();
        assert!(said().contains("v.safetensors: not a safetensors file"), "{}", said());
    }
    let write = |tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]| {
        let tensors = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize_to_file(tensors, None, &path).unwrap();
    };
    let floats = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let numbers = |values: &[i64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let two = || ("vectors", Dtype::F32, vec![2, 2], floats(&[1.0, 2.0, 3.0, 4.0]));

    write(&[("other", Dtype::F64, vec![2, 2], vec![0; 32])]);
    assert!(said().contains("no tensor `vectors` among [\"other\"]"), "{}", said());
    write(&[("vectors", Dtype::F64, vec![2, 2], vec![0; 32])]);
    assert!(said().contains("expected F32"), "{}", said());
    write(&[("vectors", Dtype::F32, vec![4], vec![0; 16])]);
    assert!(said().contains("is no matrix"), "{}", said());
    write(&[("vectors", Dtype::F32, vec![2, 2], floats(&[1.0, 2.0, 3.0, f32::NAN]))]);
    assert!(said().contains("ops.tsv, line 2: ") && said().contains("value 1 of row 1 is NaN"), "{}", said());
    write(&[two(), ("nodes", Dtype::I64, vec![2], numbers(&[1, 1]))]);
    assert!(said().contains("rows 0 and 1 are both of node 1"), "{}", said());
    write(&[two(), ("nodes", Dtype::I64, vec![2], numbers(&[0, -1]))]);
    assert!(said().contains("node -1 of row 1 is negative"), "{}", said());
    write(&[two(), ("nodes", Dtype::I64, vec![1], numbers(&[0]))]);
    assert!(said().contains("must be 2 numbers"), "{}", said());
    write(&[("vectors", Dtype::F32, vec![1, 2], floats(&[1.0, 2.0]))]);
    assert!(said().contains("line 2: ") && said().contains("has no vector of node 1"), "{}", said());

    write(&[("anything", Dtype::F32, vec![2, 2], floats(&[0.0, 0.0, 3.0, 4.0]))]);
    let out = dir.path().join("out");
    let told = done(&bench(&path, &ops, &out, &[]));
    assert!(told.contains("2 nodes") && told.contains("2 inserts and 0 deletes in 1 epochs"), "{told}");
    let bytes = fs::read(out.join("vectors.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("vectors").unwrap().data(), floats(&[0.0, 0.0, 0.6, 0.8]));
    the_script_agrees(&out);
    assert!(done(&bench(&path, &ops, &out, &["--quiet"])).is_empty(), "a former one is replaced");
}

#[test]
fn no_operations_give_an_empty_graph() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = vectors(dir.path(), 3, &mut Pcg64::seed_from_u64(6));
    let (ops, out) = (dir.path().join("ops.tsv"), dir.path().join("out"));
    fs::write(&ops, "epoch\top\tnode\ttrack\tsource\ttime_ns\n").unwrap();
    done(&bench(&vectors, &ops, &out, &[]));
    assert_eq!(fs::read_to_string(out.join("pairs.tsv")).unwrap().lines().count(), 1);
    the_script_agrees(&out);
}
