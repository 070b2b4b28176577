//! Many alike pieces of work, on several threads.

use std::thread;

/// Returns what `work` makes of each of `items`, in their order, on at most `threads` threads with this one. `worth` of them are worth a thread
/// of their own.
pub(crate) fn on_threads<T: Sync, R: Send>(
    threads: usize,
    worth: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let each = items.len().div_ceil(threads.max(1)).max(worth);
    let all = |items: &[T]| -> Vec<R> { items.iter().map(&work).collect() };
    if items.len() <= each {
        return all(items);
    }
    let (own, others) = items.split_at(each);
    thread::scope(|scope| {
        let others: Vec<_> = others.chunks(each).map(|items| scope.spawn(|| all(items))).collect();
        let mut made = all(own);
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        made
    })
}
