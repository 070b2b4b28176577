//! What people get to see of a state: export, check, numbers, verification, gallery.

mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::synthetic::{World, empty, rules, world};
use kinetograph::export::export;
use kinetograph::gallery::gallery;
use kinetograph::gallery::pick::Album;
use kinetograph::state::{encode, key};
use kinetograph::stats::stats;
use kinetograph::store::Table;
use kinetograph::verify::{Report, verify};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::score::Score;
use kinetograph_dataflows::index::node::CellId;

fn rows(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_string).collect()).collect()
}

fn exported(world: &World) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    export(&world.state, &world.rules, &out).unwrap();
    (dir, out)
}

fn looked_at(world: &World) -> Report {
    verify(&world.state, &world.rules, None, &|_, _, _| {}).unwrap()
}

#[test]
fn the_synthetic_state_has_something_of_everything() {
    let world = world(1);
    let sizes: BTreeSet<usize> = world.clusters.iter().map(Vec::len).collect();
    assert!(world.nodes.len() > 150, "{}", world.nodes.len());
    println!(
        "{} nodes, {} clusters, {} inter, {} pairs",
        world.nodes.len(),
        world.clusters.len(),
        world.inter.len(),
        world.pairs.len()
    );
    assert!(world.clusters.len() > 5 && sizes.len() > 1, "{sizes:?}");
    let classes: BTreeSet<_> = world.classes.values().collect();
    assert!(classes.len() > 3 && classes.len() < world.nodes.len() / 3, "{}", classes.len());
    let cells: BTreeSet<_> = world.cells.values().collect();
    assert_eq!(cells.len(), 3);
}

#[test]
fn an_export_says_what_the_state_says() {
    let world = world(1);
    let (dir, out) = exported(&world);
    let view = world.state.view().unwrap();

    let nodes = rows(&out, "nodes.tsv");
    assert_eq!(nodes.len(), world.nodes.len());
    for (row, (id, (record, _))) in nodes.iter().zip(&world.nodes) {
        assert_eq!(row[0], id.to_string());
        assert_eq!(row[1], id.source().to_string());
        assert_eq!((&row[2], &row[3]), (&record.seq.to_string(), &record.pts_ns.to_string()));
        assert_eq!(row[4], record.region.x.to_string());
        assert_eq!(row[10], world.cells[id].0.to_string());
        assert_eq!(fs::read(out.join(format!("crops/{id}.jpg"))).unwrap(), view.crop(*id).unwrap().unwrap());
    }

    let bytes = fs::read(out.join("vectors.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values: Vec<u8> =
        world.nodes.values().flat_map(|(_, v)| v.iter().flat_map(|x| x.to_le_bytes())).collect();
    assert_eq!(tensors.tensor("vectors").unwrap().data(), values);
    let ids: Vec<u8> = world.nodes.keys().flat_map(|n| n.0.to_le_bytes()).collect();
    assert_eq!(tensors.tensor("nodes").unwrap().data(), ids);

    let mut neighbours: BTreeMap<NodeId, Vec<(NodeId, u32)>> = BTreeMap::new();
    for row in rows(&out, "neighbours.tsv") {
        let list = neighbours.entry(NodeId(row[0].parse().unwrap())).or_default();
        list.push((NodeId(row[2].parse().unwrap()), row[3].parse::<f32>().unwrap().to_bits()));
        assert_eq!(row[1], list.len().to_string());
    }
    for (node, list) in view.neighbours(world.rules.k).unwrap() {
        let list: Vec<_> = list.iter().map(|n| (n.node, n.score.0.to_bits())).collect();
        assert_eq!(neighbours.remove(&node).unwrap_or_default(), list);
    }
    assert!(neighbours.is_empty());

    let members: usize = world.clusters.iter().map(Vec::len).sum();
    assert_eq!(rows(&out, "clusters.tsv").len(), members);
    let edges = rows(&out, "edges.tsv");
    assert_eq!(edges.iter().filter(|row| row[2] == "inter").count(), world.inter.len());
    let pairs = rows(&out, "pairs.tsv");
    assert_eq!(pairs.len(), world.pairs.len());
    let kinds: BTreeSet<_> = pairs.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["A'-B'", "A'-B", "A-B'"]));
    let sources = rows(&out, "sources.tsv");
    assert_eq!(sources[0][1], "yard\\tnorth");
    assert_eq!(sources[1][5], "truncated\\nafter frame 499");
    let settings = fs::read_to_string(out.join("settings.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&settings).unwrap()["vision"]["track_frames"],
        serde_json::json!(30)
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the export");
}

#[test]
fn an_export_replaces_a_former_one_and_nothing_else() {
    let world = world(2);
    let (_dir, out) = exported(&world);
    fs::write(out.join("crops/0.jpg"), "stale").unwrap();
    let first = fs::read(out.join("pairs.tsv")).unwrap();
    export(&world.state, &world.rules, &out).unwrap();
    assert!(!out.join("crops/0.jpg").exists());
    assert_eq!(fs::read(out.join("pairs.tsv")).unwrap(), first);

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("letter.txt"), "dear").unwrap();
    let error = export(&world.state, &world.rules, other.path()).unwrap_err().to_string();
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(fs::read_to_string(other.path().join("letter.txt")).unwrap(), "dear");
}

#[test]
fn an_export_of_a_damaged_state_leaves_the_former_one_alone() {
    let world = world(2);
    let (dir, out) = exported(&world);
    let first = fs::read(out.join("export.json")).unwrap();
    let (node, _) = world.nodes.iter().nth(9).unwrap();
    world.delete(Table::Crops, key::node(*node));
    let error = export(&world.state, &world.rules, &out).unwrap_err().to_string();
    assert!(error.contains(&format!("node {node} has no crop")), "{error}");
    assert_eq!(fs::read(out.join("export.json")).unwrap(), first);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// What the independent script says of an export; `None` where it cannot run.
fn checked(out: &Path) -> Option<(bool, String)> {
    let python = std::env::var_os("KINETOGRAPH_PYTHON").unwrap_or_else(|| "python3".into());
    let numpy = Command::new(&python).args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|n| n.status.success()) {
        println!("skipped: no python3 with numpy (KINETOGRAPH_PYTHON names one)");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check_export.py");
    let run = Command::new(&python).arg(script).arg(out).output().unwrap();
    let said = String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap();
    assert!(matches!(run.status.code(), Some(0 | 1)), "{said}");
    Some((run.status.success(), said))
}

/// Rewrites one table of an export by `change` and hears what the script says then.
fn tampered(world: &World, table: &str, change: impl Fn(&mut Vec<String>)) -> Option<String> {
    let (_dir, out) = exported(world);
    let text = fs::read_to_string(out.join(table)).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    change(&mut lines);
    fs::write(out.join(table), lines.join("\n") + "\n").unwrap();
    let (equal, said) = checked(&out)?;
    assert!(!equal, "{said}");
    Some(said)
}

#[test]
fn the_independent_script_agrees_with_the_state() {
    for seed in [1, 2] {
        let (_dir, out) = exported(&world(seed));
        let Some((equal, said)) = checked(&out) else { return };
        assert!(equal, "{said}");
        assert_eq!(said.lines().filter(|line| line.ends_with("equal")).count(), 10, "{said}");
    }
}

#[test]
fn the_independent_script_sees_a_tampered_export() {
    let world = world(1);
    let differs = |said: &str, collection: &str| {
        let line = said.lines().find(|line| line.starts_with(collection)).unwrap();
        assert!(line.contains("differs: "), "{said}");
    };
    let Some(said) = tampered(&world, "pairs.tsv", |lines| drop(lines.remove(40))) else { return };
    differs(&said, "pairs");
    assert_eq!(said.matches("differs").count(), 1, "{said}");

    let said = tampered(&world, "edges.tsv", |lines| drop(lines.remove(1))).unwrap();
    differs(&said, "inter");
    assert_eq!(said.matches("differs").count(), 1, "{said}");

    let said = tampered(&world, "degrees.tsv", |lines| drop(lines.remove(7))).unwrap();
    differs(&said, "degrees");
    assert_eq!(said.matches("differs").count(), 1, "{said}");

    let swapped = |lines: &mut Vec<String>| {
        let fields = |line: &str| line.split('\t').map(str::to_string).collect::<Vec<_>>();
        let (a, b) = (fields(&lines[1]), fields(&lines[2]));
        lines[1] = [&a[0], &a[1], &b[2], &b[3]].map(String::as_str).join("\t");
        lines[2] = [&b[0], &b[1], &a[2], &a[3]].map(String::as_str).join("\t");
    };
    differs(&tampered(&world, "neighbours.tsv", swapped).unwrap(), "neighbours");

    let relabelled = |lines: &mut Vec<String>| {
        let (rest, _) = lines[5].rsplit_once('\t').unwrap();
        lines[5] = format!("{rest}\t1");
    };
    differs(&tampered(&world, "nodes.tsv", relabelled).unwrap(), "classes");
}

#[test]
fn verification_finds_nothing_wrong_with_a_right_state() {
    let world = world(3);
    let vectors: BTreeMap<Vec<u8>, _> = world
        .nodes
        .iter()
        .map(|(n, (_, v))| (world.state.view().unwrap().crop(*n).unwrap().unwrap(), v.clone()))
        .collect();
    assert_eq!(vectors.len(), world.nodes.len(), "every crop is another");
    let embed = |crops: &[&[u8]]| Ok(crops.iter().flat_map(|c| vectors[*c].to_vec()).collect());
    let report = verify(&world.state, &world.rules, Some(&embed), &|_, _, _| {}).unwrap();
    assert_eq!(report.differences, 0, "{report}");

    let report = looked_at(&world);
    assert_eq!(report.differences, 0, "{report}");
    let checked = |collection| report.check(collection).unwrap().checked;
    assert_eq!(checked("nodes"), world.nodes.len());
    assert_eq!(checked("crops"), world.nodes.len());
    assert_eq!(checked("lists"), world.lists.len());
    assert_eq!(checked("clusters"), world.clusters.len());
    assert_eq!(checked("inter"), world.inter.len());
    assert_eq!(checked("pairs"), world.pairs.len());
    assert_eq!(checked("classes"), world.nodes.len());
    assert_eq!(checked("decisions"), 2);
}

#[test]
fn an_embedder_that_is_off_by_a_bit_is_found_out() {
    let world = world(3);
    let crops: Vec<_> = world.nodes.keys().map(|n| world.state.view().unwrap().crop(*n).unwrap()).collect();
    let embed = |asked: &[&[u8]]| {
        let nth = |crop: &[u8]| crops.iter().position(|c| c.as_deref() == Some(crop)).unwrap();
        let vectors = asked.iter().flat_map(|crop| {
            let mut vector = world.nodes.values().nth(nth(crop)).unwrap().1.to_vec();
            if nth(crop) == 70 {
                vector[3] = f32::from_bits(vector[3].to_bits() ^ 1);
            }
            vector
        });
        Ok(vectors.collect())
    };
    let report = verify(&world.state, &world.rules, Some(&embed), &|_, _, _| {}).unwrap();
    let node = world.nodes.keys().nth(70).unwrap();
    assert!(only(&report, "vectors").starts_with(&format!("node {node}: value 3 is")));
}

/// That just `collection` differs, and what is said of it.
fn only(report: &Report, collection: &str) -> String {
    let check = report.check(collection).unwrap();
    assert!(check.differences > 0 && check.differences == report.differences, "{report}");
    check.first[0].clone()
}

#[test]
fn verification_names_what_is_wrong() {
    let fresh = || world(1);

    let world = fresh();
    let ((node, cell), list) = world.lists.iter().find(|(_, list)| list.len() > 3).unwrap();
    let mut other = list.clone();
    other[2].score = Score(f32::from_bits(other[2].score.0.to_bits() + 1));
    world.put(Table::Lists, key::list(key::FIRST_SPACE, *node, *cell), encode(&other));
    let said = only(&looked_at(&world), "lists");
    assert!(said.contains(&format!("node {node}: list in cell {} scores", cell.0)), "{said}");

    let mut other = list.clone();
    other.swap(1, 2);
    world.put(Table::Lists, key::list(key::FIRST_SPACE, *node, *cell), encode(&other));
    let (found, right) = (list[2].node, list[1].node);
    let said = only(&looked_at(&world), "lists");
    assert_eq!(said, format!("node {node}: list in cell {} has {found} at rank 2, expected {right}", cell.0));

    let world = fresh();
    let pair = world.pairs.iter().nth(50).unwrap();
    world.delete(Table::Pairs, key::in_first_space(&key::pair(pair)));
    let said = only(&looked_at(&world), "pairs");
    assert!(said.contains(&pair.a.to_string()) && said.ends_with("is missing"), "{said}");

    let world = fresh();
    let node = *world.nodes.keys().last().unwrap();
    world.put(Table::Classes, key::in_first_space(&key::node(node)), 1u64.to_be_bytes().to_vec());
    assert!(only(&looked_at(&world), "classes").starts_with(&format!("node {node}: in the class")));

    let world = fresh();
    world.delete(Table::Crops, key::node(node));
    assert_eq!(only(&looked_at(&world), "nodes"), format!("node {node}: has no crop"));

    let world = fresh();
    world.put(Table::Cells, key::in_first_space(&key::node(node)), 0u32.to_be_bytes().to_vec());
    let right = world.cells[&node].0;
    assert_ne!(CellId(right), CellId(0));
    assert_eq!(only(&looked_at(&world), "cells"), format!("node {node}: in cell 0, expected {right}"));

    let world = fresh();
    world.put(Table::Nodes, key::node(node), vec![1]);
    let report = looked_at(&world);
    assert!(report.check("nodes").unwrap().first[0].contains("damaged record in Nodes"), "{report}");
    assert!(report.to_string().contains("differences in all"), "{report}");
}

#[test]
fn the_numbers_of_a_state_are_those_of_its_collections() {
    let world = world(1);
    let found = stats(&world.state, world.rules.k).unwrap();
    assert_eq!(found.nodes, world.nodes.len());
    assert_eq!((found.epoch, found.since, found.frames, found.log_epochs), (6, 6, 1500, 6));
    assert_eq!((found.sources.all, found.sources.ended, found.sources.failed), (3, 2, 1));
    assert_eq!(found.pairs.values().sum::<usize>(), world.pairs.len());
    let distinct: BTreeSet<_> = world.pairs.iter().map(|p| (p.a, p.b)).collect();
    assert_eq!(found.distinct_pairs, distinct.len());
    assert_eq!(found.inter_edges, world.inter.len());
    assert_eq!(found.inter_within_track, 0.0);
    assert!(found.inter_within_source > 0.0 && found.inter_within_source < 1.0);
    let mut sizes: BTreeMap<NodeId, usize> = BTreeMap::new();
    world.classes.values().for_each(|class| *sizes.entry(*class).or_default() += 1);
    assert_eq!((found.classes, found.largest_class), (sizes.len(), *sizes.values().max().unwrap()));
    assert_eq!(found.digests.len(), 11);
    let (hub, most) = found.most_edges.unwrap();
    let of_hub = world.inter.iter().filter(|(a, b)| *a == hub || *b == hub).count();
    assert_eq!(of_hub, most as usize);
    let all: BTreeSet<_> = world.inter.iter().flat_map(|(a, b)| [*a, *b]).collect();
    assert!((found.mean_edges - 2.0 * world.inter.len() as f64 / all.len() as f64).abs() < 1e-9);

    let same = stats(&synthetic::world(1).state, world.rules.k).unwrap();
    assert_eq!(found, same);
    world.delete(Table::Pairs, key::in_first_space(&key::pair(world.pairs.first().unwrap())));
    let less = stats(&world.state, world.rules.k).unwrap();
    let changed: Vec<_> = found.digests.iter().filter(|(name, d)| less.digests[*name] != **d).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(*changed[0].0, "pairs");
}

#[test]
fn an_empty_state_says_that_there_is_nothing_yet() {
    let state = empty();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    assert_eq!(export(&state, &rules(), &out).unwrap().nodes, 0);
    if let Some((equal, said)) = checked(&out) {
        assert!(equal, "{said}");
    }
    assert!(stats(&state, 10).unwrap().to_string().contains("nothing was mined yet"));
    let report = verify(&state, &rules(), None, &|_, _, _| {}).unwrap();
    assert_eq!(report.differences, 0, "{report}");
    assert!(report.to_string().contains("nothing in this state yet"), "{report}");
    let made = gallery(&state, Some(&dir.path().join("none.tsv")), &dir.path().join("gallery")).unwrap();
    assert_eq!((made.crops, made.pairs), (0, 0));
    let page = fs::read_to_string(made.index).unwrap();
    assert!(page.contains("Nothing was mined yet.") && page.contains("Training has not run."));
    assert!(image::open(made.sheet).unwrap().height() < 300);
}

#[test]
fn a_gallery_stands_alone_and_shows_what_it_names() {
    let world = world(1);
    let dir = tempfile::tempdir().unwrap();
    let (out, loss) = (dir.path().join("gallery"), dir.path().join("loss.tsv"));
    fs::write(&loss, "step\tepoch\tloss\n0\t1\t0.5\n10\t2\t0.25\n").unwrap();
    for _ in 0..2 {
        let made = gallery(&world.state, Some(&loss), &out).unwrap();
        assert!(made.pairs > 5 && made.clusters > 3 && made.classes > 3 && made.tracks > 10, "{made:?}");
        let page = fs::read_to_string(&made.index).unwrap();
        let images: Vec<&str> =
            page.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(images.len() > 100);
        images.iter().for_each(|image| assert!(out.join(image).is_file(), "{image}"));
        let distinct: BTreeSet<_> = images.iter().collect();
        assert_eq!(
            (distinct.len(), made.crops),
            (fs::read_dir(out.join("crops")).unwrap().count(), distinct.len())
        );
        for outside in ["http:", "https:", "//", "<script", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("street &lt;&amp;&gt; &quot;corner&quot;") && page.contains("<polyline"));
        let sheet = image::open(&made.sheet).unwrap();
        assert!(
            sheet.width() == 1600 && sheet.height() > 1000 && sheet.height() < 3000,
            "{}",
            sheet.height()
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_pair_in_the_gallery_shows_the_path_that_made_it() {
    let world = world(1);
    let album = Album::pick(&world.state.view().unwrap()).unwrap();
    let mut tracks = BTreeSet::new();
    for path in &album.pairs {
        let pair = path.pair;
        assert!(world.pairs.contains(&pair) && world.inter.contains(&(pair.via_a, pair.via_b)));
        let of_a = world.lists.iter().filter(|((node, _), _)| *node == pair.via_a);
        let score = of_a.flat_map(|(_, list)| list).find(|n| n.node == pair.via_b).unwrap().score;
        assert_eq!(path.score, score.0);
        assert!(tracks.insert(pair.a.track()) && tracks.insert(pair.b.track()), "a track is shown once");
    }
    let classes: BTreeSet<_> = album.pairs[..5].iter().map(|p| world.classes[&p.pair.a]).collect();
    assert_eq!(classes.len(), 5, "the first pairs are of different classes");
}
