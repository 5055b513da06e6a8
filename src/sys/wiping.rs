//! The heap of this library, which is wiped as it is given back. What a card says of its holder goes through many hands: the
//! answers of READ BINARY, the certificate they make, the library that takes it apart, attributes on their way to a program.
//! None of them can be trusted to wipe what it lets go, a vector that grows cannot even be asked to, and a name and an address
//! would stay in the program's memory long after C_Finalize.
//!
//! Secrets do not rely on it: they are wiped where they are dropped, and the held PIN is in pages of its own.

use std::alloc::{GlobalAlloc, Layout, System};

#[global_allocator]
static HEAP: Wiping = Wiping;

struct Wiping;

// SAFETY: the system's allocator keeps the contract; what is added writes to memory that its owner has given up and that the
// system does not have back yet. `realloc` is the trait's own: it allocates, copies and deallocates, so the old place is wiped.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: by the contract `place` is a block of this layout, and nobody uses it any more.
        unsafe {
            wipe(place, layout.size());
            System.dealloc(place, layout);
        }
    }
}

/// Writes zeroes that no optimiser takes away as written in vain.
///
/// # Safety
/// `place` is writable for `size` bytes.
unsafe fn wipe(place: *mut u8, size: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the caller's promise.
    unsafe {
        libc::explicit_bzero(place.cast(), size);
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    {
        // SAFETY: the caller's promise.
        unsafe { place.write_bytes(0, size) };
        std::hint::black_box(place);
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_wiped_before_it_goes_back_to_the_system() {
        let mut block = [7u8; 64];
        // SAFETY: the array has 64 bytes.
        unsafe { wipe(block.as_mut_ptr(), 63) };
        assert_eq!((block[..63].iter().max(), block[63]), (Some(&0), 7));
    }
}
