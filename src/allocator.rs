//! How the program's allocator, mimalloc, is set. Also part of the benches of neighbours.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` in mimalloc's own header; the crate names only some options.
const PURGE_DELAY: mi_option_t = 15;
/// How long memory that was freed is kept before the system has it back, milliseconds. An epoch frees what the next one asks for; by itself
/// mimalloc keeps it for a second.
const KEEP_MS: i64 = 10_000;

/// Sets it, unless the environment does (`MIMALLOC_PURGE_DELAY`).
pub(crate) fn keep_memory() {
    // SAFETY: the option is one of those of the linked library, and any number is a delay.
    unsafe { mi_option_set_default(PURGE_DELAY, KEEP_MS) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_number_is_that_of_the_delay() {
        // SAFETY: the option is one of those of the linked library.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000, "mimalloc's own delay");
        keep_memory();
        assert_eq!(delay(), KEEP_MS);
    }
}
