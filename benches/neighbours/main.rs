//! Neighbours at speed: `cargo bench -p kinetograph-benches --bench neighbours -- WHAT...`
//!
//! - `growth NODES`: what an insert costs up to NODES nodes, by the sizes of cells that the policy makes
//! - `kernels`: the product against two GEMM crates on one thread, and on two by itself
//! - `memory NODES D DIRECTIONS`: bytes a node that vectors, search, places and policy keep with half-precision vectors, the product
//!   seeing so many directions of them (0: what measures best)
//! - `rates ROWS D WORKERS CAP P INSERTS BATCH [FILE.safetensors] [whole] [threaded] [halves] [storage=S] [kernel=K] [within=W] [load=N]`: loads ROWS rows of D values, then times INSERTS inserts and as many deletes, BATCH an epoch,
//!   with cells of at most CAP rows (0: one cell for all, of one worker with as many threads), each node looking into P of them. Vectors are the first of FILE, if one is named, else clustered ones. Where one cell was
//!   searched before (CAP 0), its lists are what recall and kept mutual pairs are told against. `whole`: the product sees whole vectors,
//!   never their projections.
//!   `within=W`: into others only within W times the distance to the own cell's centroid. `threaded`: one worker with as many threads. `halves`: vectors are kept in half
//!   precision, and left so rounded for other programs.
//!   `load=N`: so many rows an epoch while loading, instead of 2,000.
//!   `storage=S`: rows are kept so (`f32`, `words`, `bytes`), and not as is the default. `kernel=K`: multiplied by these instructions
//!   (`portable`, `avx2`, `avx512vnni`), and not by the fastest that the processor has.
//!
//! Lists are compared with a search row by row before a figure is printed. Vectors and lists are left in `target/bench`,
//! where `benches/graph/peers.py` puts other libraries to the same work. Results are appended to `neighbours.json` there, one
//! object a line.

#[path = "../../src/allocator.rs"]
mod allocator;
#[path = "../closure/counting.rs"]
mod counting;
mod growth;
mod kernels;
mod memory;
mod rates;
mod vectors;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;

use kinetograph_dataflows::index::kernels::Kernel;
use kinetograph_dataflows::index::kernels::vector::Precision;
use kinetograph_dataflows::index::quantize::Projecting;
use kinetograph_dataflows::index::quantize::Storage;

fn main() {
    allocator::keep_memory();
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let load = words.pop_if(|word| word.starts_with("load="));
    let load = load.map(|word| word["load=".len()..].parse::<NonZero<usize>>().expect("a number above 0"));
    let load = load.map_or(rates::LOAD, NonZero::get);
    let within = words.pop_if(|word| word.starts_with("within="));
    let probe_within = within.map_or(0.0, |word| word["within=".len()..].parse().expect("a number"));
    let kernel = words.pop_if(|word| word.starts_with("kernel=")).map_or(Kernel::best(), |word| {
        let named = Kernel::all().into_iter().find(|kernel| kernel.name() == &word["kernel=".len()..]);
        named.expect("a kernel of this processor")
    });
    let storage = words.pop_if(|word| word.starts_with("storage=")).map_or(Storage::default(), |word| {
        serde_json::from_str(&format!("\"{}\"", &word["storage=".len()..])).expect("a storage")
    });
    let halves = words.pop_if(|word| word == "halves").is_some();
    let precision = if halves { Precision::F16 } else { Precision::F32 };
    let threaded = words.pop_if(|word| word == "threaded").is_some();
    let whole = words.pop_if(|word| word == "whole").is_some();
    let projection = if whole { Projecting::Never } else { Projecting::Measured };
    let file = words.pop_if(|word| word.ends_with(".safetensors")).map(PathBuf::from);
    let numbers: Vec<usize> = words.iter().skip(1).map(|word| word.parse().expect("a number")).collect();
    let rates = |[rows, d, workers, cap, nprobe, inserts, batch]: [usize; 7]| {
        rates::measure(&rates::Task {
            rows,
            d,
            workers,
            cap,
            nprobe,
            probe_within,
            load,
            inserts,
            batch,
            file,
            projection,
            storage,
            kernel,
            threaded,
            precision,
        });
    };
    match (words.first().map(String::as_str), &numbers[..]) {
        (None, _) => {
            kernels::compare();
            rates([5000, 128, 2, 0, 1, 500, 100]);
        }
        (Some("kernels"), _) => kernels::compare(),
        (Some("rates"), numbers) if let Ok(numbers) = <[usize; 7]>::try_from(numbers) => rates(numbers),
        (Some("growth"), &[most]) => growth::growth(most as u32).iter().for_each(|row| tell(row.to_string())),
        (Some("memory"), &[nodes, d, directions]) => tell(memory::measure(nodes, d, directions).to_string()),
        _ => panic!(
            "growth NODES | kernels | memory NODES D DIRECTIONS | rates ROWS D WORKERS CAP P INSERTS BATCH [FILE.safetensors] [whole] [threaded] [halves] [storage=S] [kernel=K] [within=W] [load=N]"
        ),
    }
}

/// A file of the results' folder.
fn results(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&dir).expect("target/bench can be made");
    dir.join(name)
}

/// Prints a result and appends it to the results.
fn tell(json: String) {
    println!("{json}");
    let file = OpenOptions::new().create(true).append(true).open(results("neighbours.json"));
    writeln!(file.expect("target/bench/neighbours.json"), "{json}").expect("a line is written");
}
