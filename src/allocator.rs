//! The settings of the program's allocator, mimalloc. Also part of the benches of neighbours.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` in mimalloc's own header; the crate names only some options.
const PURGE_DELAY: mi_option_t = 15;
/// The least time that freed memory is kept before the system has it back, milliseconds. An epoch frees what the next one asks for; by itself
/// mimalloc keeps it for a second. It goes back when memory is asked for or freed after that.
const KEEP_MS: i64 = 10_000;

/// Sets it, unless the environment does (`MIMALLOC_PURGE_DELAY`).
pub(crate) fn keep_memory() {
    // SAFETY: the option is one of those of the linked library, and any number is a delay.
    unsafe { mi_option_set_default(PURGE_DELAY, KEEP_MS) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_number_is_that_of_the_delay() {
        use super::{KEEP_MS, PURGE_DELAY, keep_memory};

        if ["MIMALLOC_PURGE_DELAY", "MIMALLOC_RESET_DELAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some())
        {
            return;
        }
        // SAFETY: the option is one of those of the linked library.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000, "mimalloc's own delay");
        keep_memory();
        assert_eq!(delay(), KEEP_MS);
    }
}
