//! The allocator: memory that thousands of connections leave behind goes back to the system soon, from the middle of the heap
//! too, and without a request having to wait for that.
#![expect(unsafe_code, reason = "jemalloc looks for its settings under a name of its own")]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A thread of its own gives back what was free for a second; it sleeps while there is nothing. What the environment says
/// (`_RJEM_MALLOC_CONF`) counts for more (jemalloc(3), TUNING).
// SAFETY: jemalloc reads the first word, which is the address of a text that a zero ends. Nothing else has this name.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8] =
    b"background_thread:true,max_background_threads:1,dirty_decay_ms:1000,muzzy_decay_ms:0\0";
