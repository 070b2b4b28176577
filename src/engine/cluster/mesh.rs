//! Timely over connections that were made already.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

use timely::WorkerConfig;
use timely::communication::AllocatorBuilder;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::initialize::Hooks;
use timely::worker::Worker;

use crate::engine::member::Member;

/// The words that timely panics with, on threads of its own, when a connection breaks. That it broke is told otherwise.
const BROKEN: [&str; 4] =
    ["timely communication error", "MergeQueue poisoned", "Send thread panic", "Recv thread panic"];

/// Runs `work` on this process's workers, in one dataflow with those of the processes that `mesh` leads to. Returns when all of
/// this process's are through.
///
/// # Errors
/// When the workers could not be started.
pub(in crate::engine) fn start_workers(
    member: Member,
    mesh: BTreeMap<usize, TcpStream>,
    work: impl Fn(&mut Worker) + Send + Sync + 'static,
) -> Result<(), String> {
    if member.of == 1 {
        let guards = timely::execute(timely::Config::process(member.workers), work)?;
        drop(guards.join());
        return Ok(());
    }
    let mut sockets: Vec<Option<TcpStream>> = (0..member.of).map(|_| None).collect();
    for (process, line) in mesh {
        sockets[process] = Some(line);
    }
    quiet_about_broken_lines();
    let hooks = Hooks::default();
    let inner = ProcessBuilder::new_typed_vector(member.workers, hooks.refill.clone(), None);
    let (builders, guard) =
        initialize_networking_from_sockets(inner, sockets, member.process, member.workers, hooks)
            .map_err(|error| error.to_string())?;
    let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
    let guards = timely::execute::execute_from(builders, Box::new(guard), WorkerConfig::default(), work)?;
    // Its threads panic when a connection breaks.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(guards.join())));
    Ok(())
}

/// Lines that can be cut from elsewhere.
#[derive(Default)]
pub(in crate::engine) struct Cuttable(Mutex<Vec<TcpStream>>);

impl Cuttable {
    /// Of these lines.
    pub(in crate::engine) fn new(lines: &BTreeMap<usize, TcpStream>) -> io::Result<Self> {
        let lines = lines.values().map(TcpStream::try_clone).collect::<io::Result<Vec<_>>>()?;
        Ok(Cuttable(Mutex::new(lines)))
    }

    /// Ends all of them, so that nobody waits for what does not come.
    pub(in crate::engine) fn cut(&self) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().for_each(|line| drop(line.shutdown(Shutdown::Both)));
    }
}

fn quiet_about_broken_lines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_broken_line(panic.payload()) {
                usual(panic);
            }
        }));
    });
}

/// Returns true when somebody panicked because a connection broke.
pub(in crate::engine) fn is_broken_line(panic: &(dyn Any + Send)) -> bool {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    BROKEN.iter().any(|broken| said.contains(broken))
}
