//! Memory that the workers of a step share: written in disjoint parts between two meetings, read by all after them.
//!
//! The type system cannot see a static plan, so the two accessors are unsafe; the plan's hazard analysis
//! ([`crate::plan`]) is the proof that no part is written while another worker touches it.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ops::Range;

/// A fixed buffer that several threads address by range.
#[derive(Debug)]
pub(crate) struct Shared<T>(Box<[UnsafeCell<T>]>);

// SAFETY: access goes through unsafe accessors whose callers keep writers and other users of a range apart.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(values: Vec<T>) -> Self {
        Self(values.into_iter().map(UnsafeCell::new).collect())
    }

    /// Everything, which an exclusive borrow makes safe.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(UnsafeCell::get_mut)
    }

    /// Copies `range` of another buffer to the place from `at` on; exclusive borrows of both make it safe.
    pub(crate) fn copy_from(&mut self, at: usize, from: &mut Self, range: Range<usize>)
    where
        T: Copy,
    {
        // SAFETY: no one else has either buffer.
        unsafe { self.write(at..at + range.len()).copy_from_slice(from.read(range)) }
    }

    /// A part to read.
    ///
    /// # Safety
    /// No one writes any of it while the reference lives.
    pub(crate) unsafe fn read(&self, range: Range<usize>) -> &[T] {
        let part = &self.0[range];
        // SAFETY: `UnsafeCell<T>` has the layout of T; the caller keeps writers away.
        unsafe { std::slice::from_raw_parts(part.as_ptr().cast(), part.len()) }
    }

    /// A part to write.
    ///
    /// # Safety
    /// No one else reads or writes any of it while the reference lives.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn write(&self, range: Range<usize>) -> &mut [T] {
        let part = &self.0[range];
        // SAFETY: the cells allow writes; the caller keeps everyone else away.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(part.as_ptr()), part.len()) }
    }
}

impl<T: Copy + Default> Shared<T> {
    /// Zeros that take no memory until they are written.
    pub(crate) fn zeros(length: usize) -> Self {
        let values = vec![T::default(); length].into_boxed_slice();
        // SAFETY: `UnsafeCell<T>` has the layout of T, and the box is owned.
        Self(unsafe { Box::from_raw(Box::into_raw(values) as *mut [UnsafeCell<T>]) })
    }
}
