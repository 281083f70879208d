//! The allocator: memory that thousands of connections leave behind goes back to the system soon, from the middle of the heap
//! too, and without a request having to wait for that.
#![expect(unsafe_code, reason = "jemalloc's settings and functions have names of its own")]

use std::ptr;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A thread of its own gives back what was free for a second; it sleeps while there is nothing. What the environment says
/// (`MALLOC_CONF`) counts for more (jemalloc(3), TUNING).
///
/// Pieces of one size are cut from runs of pages, by default from as few as waste nothing. Each run is described in 128 bytes
/// that jemalloc never gives back, so sizes of which every connection has some come from longer ones: 32 pages for 640 bytes to
/// 5 KiB, 64 for the 8 KiB that a busy one reads into. But a piece that stays keeps its whole run: where a burst leaves some
/// (up to 512 bytes; a pool's pages of leases, 6 KiB, and of the tasks that have them, 2.5 KiB) the runs are shorter.
// SAFETY: jemalloc reads the first word, which is the address of a text that a zero ends. Nothing else has this name.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8] =
    b"background_thread:true,max_background_threads:1,dirty_decay_ms:1000,muzzy_decay_ms:0,slab_sizes:256-512:4|640-2048:32|2560-2560:5|3072-5120:32|6144-6144:6|7168-7168:16|8192-8192:64|10240-14336:16\0";

/// Lets go of what this thread has freed and jemalloc keeps at hand for it. It would do so by itself as the thread goes on
/// to allocate, but one that has fallen silent does not; and each piece at hand holds a whole page or more.
pub(crate) fn let_go() {
    // SAFETY: the name ends with a zero, and this one neither takes nor gives anything (jemalloc(3), thread.tcache.flush).
    // That there is no such cache, which is all that can fail, is as good.
    let _ = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"thread.tcache.flush".as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
        )
    };
}
