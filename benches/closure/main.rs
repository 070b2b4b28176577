//! Clusters, pairs and classes: loads, then batches of changes, half of them deletes, against other ways to the same.
//!
//! `cargo bench -p kinetograph-benches --bench closure -- [NODES...] [pairs|classes|propagate|shapes|all|memory|new] [w1|w2] [only=CASE,...]`: tables to
//! the terminal, and `target/bench/closure.json`. Each measurement runs in a process of its own, so that its peak memory
//! is its own; the answers of two that are compared are compared first. `w1` and `w2` are for one number of workers;
//! `only` is for some ways to pairs (the two-hop join is always there to compare) or some shapes, by their names: all pairs
//! or shapes of a million nodes take more than four minutes.

mod classes;
mod counting;
mod drive;
mod lists;
mod memory;
mod pairs;

use std::process::Command;

use serde_json::{Value, json};

/// What can be asked for, each with its measurements.
const SECTIONS: [&str; 7] = ["pairs", "classes", "propagate", "shapes", "all", "new", "memory"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|a| a == "measure") {
        let (case, nodes, workers) = (&arguments[1], number(&arguments[2]), number(&arguments[3]));
        println!("{}", measure(case, nodes as u64, workers));
        return;
    }
    let mut sizes: Vec<u64> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let mut sections: Vec<&str> = SECTIONS.into_iter().filter(|s| arguments.iter().any(|a| a == s)).collect();
    let given = !sizes.is_empty();
    if !given {
        sizes = vec![100_000, 1_000_000];
    }
    if sections.is_empty() {
        sections = SECTIONS.to_vec();
    }
    let asked = Asked::from(&arguments);
    let mut all = Vec::new();
    for section in sections {
        // Differential's takes minutes for more.
        let sizes = if section == "propagate" && !given { &[20_000][..] } else { &sizes };
        for nodes in sizes {
            all.extend(compare(section, *nodes, &asked));
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench/closure.json");
    let written = std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"))
        .and_then(|()| std::fs::write(path, format!("{:#}", json!(all))));
    match written {
        Ok(()) => println!("all figures: {path}"),
        Err(error) => eprintln!("{path}: {error}"),
    }
}

/// Which of a section's measurements are wanted.
struct Asked {
    workers: Vec<usize>,
    /// Names of cases; none for all.
    only: Vec<String>,
}

impl Asked {
    fn from(arguments: &[String]) -> Self {
        let of_workers = |workers: &usize| arguments.iter().any(|a| *a == format!("w{workers}"));
        let mut workers: Vec<usize> = [1, 2].into_iter().filter(of_workers).collect();
        if workers.is_empty() {
            workers = vec![1, 2];
        }
        let only = arguments.iter().filter_map(|a| a.strip_prefix("only="));
        Asked { workers, only: only.flat_map(|names| names.split(',')).map(str::to_string).collect() }
    }

    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case)
    }
}

fn number(argument: &str) -> usize {
    argument.parse().unwrap_or_else(|_| panic!("{argument} is not a number"))
}

/// One measurement, in this process.
fn measure(case: &str, nodes: u64, workers: usize) -> Value {
    match case {
        "pairs" | "two-hop" | "pairs arranged" | "pairs vec" | "pairs columnar" => {
            pairs::measure(case, nodes, workers)
        }
        "classes" | "propagate" => classes::measure(case, nodes, workers),
        "closure" | "clusters" => lists::measure(case, nodes, workers),
        "new" => lists::new_nodes(nodes, workers),
        "memory" => memory::measure(nodes),
        shape => classes::shape(shape, nodes),
    }
}

/// One measurement, in a process of its own.
fn apart(case: &str, nodes: u64, workers: usize) -> Value {
    let bench = std::env::current_exe().unwrap_or_else(|e| panic!("cannot find this program: {e}"));
    let output = Command::new(bench)
        .args(["measure", case, &nodes.to_string(), &workers.to_string()])
        .output()
        .unwrap_or_else(|e| panic!("{case}: cannot start: {e}"));
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
    let mut value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{case}: {e}: {}", String::from_utf8_lossy(&output.stdout)));
    value["case"] = json!(case);
    value["nodes"] = json!(nodes);
    value["workers"] = json!(workers);
    value
}

fn compare(section: &str, nodes: u64, asked: &Asked) -> Vec<Value> {
    match section {
        "pairs" => {
            let mut all = Vec::new();
            for workers in &asked.workers {
                let mut cases = vec!["two-hop"];
                let ours = ["pairs", "pairs arranged", "pairs vec", "pairs columnar"];
                cases.extend(ours.into_iter().filter(|case| asked.wants(case)));
                let measured: Vec<Value> = cases.iter().map(|case| apart(case, nodes, *workers)).collect();
                table(&measured);
                for (case, other) in cases.iter().zip(&measured).skip(1) {
                    assert_eq!(measured[0]["answers"], other["answers"], "{case} gives other pairs");
                    ratio(case, other, "two-hop", &measured[0]);
                }
                all.extend(measured);
            }
            all
        }
        "classes" => {
            let measured: Vec<Value> = asked.workers.iter().map(|w| apart("classes", nodes, *w)).collect();
            table(&measured);
            measured
        }
        "propagate" => {
            let measured = ["classes", "propagate"].map(|case| apart(case, nodes, 1));
            table(&measured);
            let [ours, other] = &measured;
            assert_eq!(ours["answers"], other["answers"], "propagate gives other classes");
            ratio("classes", ours, "propagate", other);
            measured.to_vec()
        }
        "shapes" => {
            println!(
                "{:30} {:>9} {:>11} {:>11} {:>11} {:>10} {:>12}",
                "shape", "edges", "p50 us", "p99 us", "worst us", "us/change", "us/emitted"
            );
            let mut all = Vec::new();
            for shape in classes::SHAPES.into_iter().filter(|shape| asked.wants(shape)) {
                let value = apart(shape, nodes, 1);
                let f = |key: &str| value[key].as_f64().unwrap_or(f64::NAN);
                println!(
                    "{shape:30} {:>9} {:>11.1} {:>11.1} {:>11.1} {:>10.2} {:>12.2}",
                    value["edges"],
                    f("p50_us"),
                    f("p99_us"),
                    f("worst_us"),
                    f("us_per_change"),
                    f("us_per_emitted")
                );
                all.push(value);
            }
            all
        }
        "all" => {
            let cases = ["clusters", "closure"];
            let measured: Vec<Value> =
                asked.workers.iter().flat_map(|w| cases.map(|case| apart(case, nodes, *w))).collect();
            table(&measured);
            if let [_, one, _, two] = &measured[..] {
                assert_eq!(one["answers"], two["answers"], "two workers give another closure");
            }
            measured
        }
        "new" => {
            let value = apart("new", nodes, 1);
            println!("0.1 % new nodes, {nodes} there: {value:#}");
            vec![value]
        }
        _ => {
            let value = apart("memory", nodes, 1);
            println!("memory, bytes a node: {value:#}");
            vec![value]
        }
    }
}

fn table(measured: &[Value]) {
    println!(
        "{:16} {:>9} {:>2} {:>8} {:>8}  {:>24} {:>24} {:>24}",
        "", "nodes", "w", "load s", "peak MB", "1: /s p50 p99 ms", "100: /s p50 p99", "10 000: /s p50 p99"
    );
    for value in measured {
        print!(
            "{:16} {:>9} {:>2} {:>8.2} {:>8.0} ",
            value["case"].as_str().unwrap_or_default(),
            value["nodes"],
            value["workers"],
            value["load_s"].as_f64().unwrap_or(f64::NAN),
            value["peak_mb"].as_f64().unwrap_or(f64::NAN)
        );
        for batch in value["batches"].as_array().into_iter().flatten() {
            let f = |key: &str| batch[key].as_f64().unwrap_or(f64::NAN);
            print!(" {:>8.0} {:>7.3} {:>7.3}", f("changes_per_s"), f("p50_ms"), f("p99_ms"));
        }
        println!();
    }
}

/// Speeds and memory, ours over theirs. Both are given the same log; what one calls a change may be several for the other, so the
/// time that a batch takes is what is compared.
fn ratio(name: &str, ours: &Value, other_name: &str, theirs: &Value) {
    let seconds = |value: &Value| -> Vec<f64> {
        let batches = value["batches"].as_array().into_iter().flatten();
        let of = |batch: &Value, key: &str| batch[key].as_f64().unwrap_or(f64::NAN);
        batches.map(|batch| of(batch, "changes") / of(batch, "changes_per_s")).collect()
    };
    let of = |value: &Value, key: &str| value[key].as_f64().unwrap_or(f64::NAN);
    let speeds: Vec<String> =
        seconds(theirs).iter().zip(seconds(ours)).map(|(a, b)| format!("{:.2}", a / b)).collect();
    println!(
        "{name} over {other_name}: equal answers; batches {} times the speed, load {:.2}, memory {:.2} times",
        speeds.join(", "),
        of(theirs, "load_s") / of(ours, "load_s"),
        of(ours, "peak_mb") / of(theirs, "peak_mb")
    );
}
