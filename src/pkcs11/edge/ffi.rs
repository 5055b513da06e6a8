//! Pointers of a C caller made into values that safe code can use. Raw pointers end here.
//!
//! Every constructor is `unsafe` with the one contract that PKCS#11 lays on an application: **a pointer that is not null
//! is good for what the function does with it, from the call until its return** – readable or writable for the length
//! that goes with it, nested pointers included. All that can be checked is checked: null, alignment, lengths no memory
//! can have. Constructors touch no memory; they run before it is known whether the module is initialised.
//!
//! Output is written through the pointer, never through a reference, since C callers may let buffers overlap.

#![allow(unsafe_code)]

use super::rv::{Result, Rv};
use cryptoki_sys::*;
use std::borrow::Cow;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The most attributes taken in one template or one C_GetAttributeValue; no object has as many by far.
pub const MAX_ATTRIBUTES: CK_ULONG = 4096;

/// The longest parameter of a mechanism that is looked at; the longest that is taken has 24 bytes.
const MAX_PARAMETER: usize = 1024;

/// Bytes to read.
#[derive(Clone, Copy)]
pub struct In<'a> {
    /// Null only where `len` is 0.
    start: *const u8,
    len: usize,
    caller: PhantomData<&'a [u8]>,
}

impl<'a> In<'a> {
    /// `len` bytes at `start`; null is no bytes.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: null with a length, or a length no memory can have.
    ///
    /// # Safety
    /// The module's contract: readable for `len` bytes during `'a`, which ends with the C function.
    pub unsafe fn new(start: *const CK_BYTE, len: CK_ULONG) -> Result<In<'a>> {
        let len = usize::try_from(len).map_err(|_| Rv::ARGUMENTS_BAD)?;
        let fits = isize::try_from(len).is_ok() && start.addr().checked_add(len).is_some();
        if !fits || start.is_null() && len != 0 {
            return Err(Rv::ARGUMENTS_BAD);
        }
        Ok(In { start, len, caller: PhantomData })
    }

    /// The same where null means "none given" whatever the length, as with a PIN.
    ///
    /// # Errors
    /// As [`In::new`].
    ///
    /// # Safety
    /// As [`In::new`].
    pub unsafe fn optional(start: *const CK_BYTE, len: CK_ULONG) -> Result<Option<In<'a>>> {
        if start.is_null() {
            return Ok(None);
        }
        // SAFETY: the same contract.
        unsafe { In::new(start, len) }.map(Some)
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: not null, since `len` is not 0; readable for `len` bytes by the constructor's contract.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// The bytes if there are no more than `most`; of a longer input, which may be as long as a mistaken caller says, none
    /// is looked at.
    pub fn at_most(self, most: usize) -> Option<&'a [u8]> {
        (self.len <= most).then(|| self.bytes())
    }

    /// Hands the bytes to `work`, which keeps none. Afterwards output may be written over them, as C allows (signing in
    /// place), and nothing was copied for that.
    pub fn read<R>(self, work: impl FnOnce(&[u8]) -> R) -> R {
        work(self.bytes())
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for In<'a> {
    fn from(bytes: &'a T) -> In<'a> {
        let bytes = bytes.as_ref();
        In { start: bytes.as_ptr(), len: bytes.len(), caller: PhantomData }
    }
}

/// A structure to read.
#[derive(Clone, Copy)]
pub struct InRef<'a, T>(NonNull<T>, PhantomData<&'a T>);

impl<T: Copy> InRef<'_, T> {
    /// The structure at `place`; `None` for null.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: misaligned.
    ///
    /// # Safety
    /// The module's contract: a readable `T`, no longer than the C function runs.
    pub unsafe fn new(place: *const T) -> Result<Option<Self>> {
        match NonNull::new(place.cast_mut()) {
            Some(place) if !place.is_aligned() => Err(Rv::ARGUMENTS_BAD),
            place => Ok(place.map(|place| InRef(place, PhantomData))),
        }
    }

    /// A copy of it. Fields that a caller's longer version of the structure has after ours are not read.
    pub fn read(self) -> T {
        // SAFETY: aligned, and readable by the constructor's contract.
        unsafe { self.0.read() }
    }
}

impl<'a> InRef<'a, CK_MECHANISM> {
    /// The mechanism's type and its parameter's bytes, empty where there is none.
    ///
    /// # Errors
    /// CKR_MECHANISM_PARAM_INVALID: a parameter that cannot be read, or a longer one than any mechanism has.
    pub fn parts(self) -> Result<(CK_MECHANISM_TYPE, &'a [u8])> {
        let CK_MECHANISM { mechanism, pParameter, ulParameterLen } = self.read();
        // SAFETY: the contract of the whole structure covers the pointers in it.
        let parameter = unsafe { In::new(pParameter.cast(), ulParameterLen) };
        let parameter = parameter.ok().and_then(|parameter| parameter.at_most(MAX_PARAMETER));
        Ok((mechanism, parameter.ok_or(Rv::MECHANISM_PARAM_INVALID)?))
    }
}

/// A text that ends with a zero byte.
#[derive(Clone, Copy)]
pub struct InText<'a>(NonNull<u8>, PhantomData<&'a CStr>);

impl InText<'_> {
    /// The text at `start`; `None` for null.
    ///
    /// # Safety
    /// The module's contract: readable up to and including a zero byte.
    pub unsafe fn new(start: *const CK_UTF8CHAR) -> Option<Self> {
        NonNull::new(start.cast_mut()).map(|start| InText(start, PhantomData))
    }

    /// Whether it says exactly this. Reads no further than the first difference.
    pub fn is(self, text: &CStr) -> bool {
        text.to_bytes_with_nul().iter().enumerate().all(|(offset, &byte)| {
            // SAFETY: all bytes before `offset` were equal to `text`'s, so none was the zero that ends the readable part.
            unsafe { self.0.add(offset).read() == byte }
        })
    }
}

/// A place for one value.
pub struct Out<'a, T>(NonNull<T>, PhantomData<&'a mut T>);

impl<T: Copy> Out<'_, T> {
    /// The place at `place`.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: null or misaligned.
    ///
    /// # Safety
    /// The module's contract: writable for a `T`, no longer than the C function runs.
    pub unsafe fn new(place: *mut T) -> Result<Self> {
        match NonNull::new(place) {
            Some(place) if place.is_aligned() => Ok(Out(place, PhantomData)),
            _ => Err(Rv::ARGUMENTS_BAD),
        }
    }

    /// Writes the value.
    pub fn write(&mut self, value: T) {
        // SAFETY: aligned, and writable by the constructor's contract.
        unsafe { self.0.write(value) }
    }

    /// What stands there; only for the lengths that PKCS#11 makes the caller set.
    fn peek(&self) -> T {
        // SAFETY: aligned, and readable: the constructors of `OutBuf` demand it.
        unsafe { self.0.read() }
    }
}

/// A buffer, or an array of handles or ids, whose length is negotiated (PKCS#11 3.0 §5.2). The only place where that is
/// done.
pub struct OutBuf<'a, T = CK_BYTE> {
    /// Null: the caller asks for the length only.
    start: *mut T,
    len: Out<'a, CK_ULONG>,
    /// Elements there is room for, once known. Read once: `len` changes under our own hand.
    capacity: Option<usize>,
}

/// How a negotiation ended, if not in CKR_BUFFER_TOO_SMALL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Room {
    /// The caller asked for the length alone, and has it. An operation stays as it is.
    LengthOnly,
    /// There is room; the output is to be made and written.
    Enough,
}

impl<T: Copy> OutBuf<'_, T> {
    /// A buffer at `start` with room for `*len` elements; null asks for the length.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: no place for the length, or one of them misaligned.
    ///
    /// # Safety
    /// The module's contract: `len` readable and writable, `start` writable for `*len` elements.
    pub unsafe fn new(start: *mut T, len: *mut CK_ULONG) -> Result<Self> {
        if !start.is_aligned() {
            return Err(Rv::ARGUMENTS_BAD);
        }
        // SAFETY: the same contract.
        let len = unsafe { Out::new(len) }?;
        Ok(OutBuf { start, len, capacity: None })
    }

    /// A buffer whose room is given by value and of which `count` is told how much was filled (C_FindObjects). It cannot
    /// ask for the length.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: no place for the count, none for the elements although there should be, or one misaligned.
    ///
    /// # Safety
    /// The module's contract: `count` writable, `start` writable for `max` elements.
    pub unsafe fn bounded(start: *mut T, max: CK_ULONG, count: *mut CK_ULONG) -> Result<Self> {
        // SAFETY: the same contract; `*count` is never read, since the capacity is known.
        let mut out = unsafe { OutBuf::new(start, count) }?;
        if start.is_null() && max != 0 {
            return Err(Rv::ARGUMENTS_BAD);
        }
        out.capacity = Some(to_usize(max));
        Ok(out)
    }

    /// Whether the caller asks for the length only.
    pub fn is_length_query(&self) -> bool {
        self.start.is_null()
    }

    /// Elements there is room for.
    pub fn capacity(&mut self) -> usize {
        *self.capacity.get_or_insert_with(|| to_usize(self.len.peek()))
    }

    /// Settles whether `needed` elements can be written, before anything is done that could not be undone.
    ///
    /// # Errors
    /// CKR_BUFFER_TOO_SMALL; the caller has been told the length.
    pub fn negotiate(&mut self, needed: usize) -> Result<Room> {
        if !self.is_length_query() && needed <= self.capacity() {
            return Ok(Room::Enough);
        }
        self.len.write(to_ulong(needed));
        if self.is_length_query() { Ok(Room::LengthOnly) } else { Err(Rv::BUFFER_TOO_SMALL) }
    }

    /// Negotiates, then writes the elements and how many they are.
    ///
    /// # Errors
    /// CKR_BUFFER_TOO_SMALL, with nothing written but the length.
    pub fn write(&mut self, elements: &[T]) -> Result<()> {
        if self.negotiate(elements.len())? == Room::LengthOnly {
            return Ok(());
        }
        // SAFETY: `start` is not null (that would be a length query), is aligned, and by the contract writable for
        // `capacity` elements, of which there are enough. `elements` is ours, so the two do not overlap.
        unsafe { self.start.copy_from_nonoverlapping(elements.as_ptr(), elements.len()) };
        self.len.write(to_ulong(elements.len()));
        Ok(())
    }
}

/// An array of attributes, as a template or as questions.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    /// Null only where `count` is 0.
    start: *mut CK_ATTRIBUTE,
    count: usize,
    caller: PhantomData<&'a mut CK_ATTRIBUTE>,
}

impl<'a> Attributes<'a> {
    /// `count` attributes at `start`.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: null with a count, misaligned, or more than [`MAX_ATTRIBUTES`].
    ///
    /// # Safety
    /// The module's contract, for the array and for each value in it.
    pub unsafe fn new(start: *mut CK_ATTRIBUTE, count: CK_ULONG) -> Result<Attributes<'a>> {
        if count > MAX_ATTRIBUTES || !start.is_aligned() || start.is_null() && count != 0 {
            return Err(Rv::ARGUMENTS_BAD);
        }
        Ok(Attributes { start, count: to_usize(count), caller: PhantomData })
    }

    /// Reads them as a template.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: a value that cannot be read. CKR_ATTRIBUTE_TYPE_INVALID: a template within the template; we
    /// have no object with one, and reading it would recurse as deep as a caller likes. A vendor's own attribute is none,
    /// whatever its number: NSS's and p11-kit's have that bit set by the letters they begin with.
    pub fn template(self) -> Result<Template<'a>> {
        let attribute = |index| {
            let CK_ATTRIBUTE { type_, pValue, ulValueLen } = self.read(index);
            let is_array = type_ & (CKF_ARRAY_ATTRIBUTE | CKA_VENDOR_DEFINED) == CKF_ARRAY_ATTRIBUTE;
            if is_array && type_ != CKA_ALLOWED_MECHANISMS {
                return Err(Rv::ATTRIBUTE_TYPE_INVALID);
            }
            // SAFETY: the constructor's contract covers each value.
            Ok((type_, unsafe { In::new(pValue.cast(), ulValueLen) }?.bytes()))
        };
        (0..self.count).map(attribute).collect::<Result<_>>().map(Template)
    }

    /// Takes them as the questions of C_GetAttributeValue.
    pub fn questions(self) -> AttributesOut<'a> {
        AttributesOut(self)
    }

    /// A copy of one; `index` is less than `count`.
    fn read(&self, index: usize) -> CK_ATTRIBUTE {
        debug_assert!(index < self.count);
        // SAFETY: within the array, which is aligned, and readable by the constructor's contract.
        unsafe { self.start.add(index).read() }
    }
}

/// A template: attribute types and the values asked for, in the caller's order.
#[derive(Debug, Clone, Default)]
pub struct Template<'a>(Vec<(CK_ATTRIBUTE_TYPE, &'a [u8])>);

impl<'a> Template<'a> {
    /// All of them; a type may come twice.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (CK_ATTRIBUTE_TYPE, &'a [u8])> + '_ {
        self.0.iter().copied()
    }

    /// The value asked for, if this type is in the template.
    pub fn value(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&'a [u8]> {
        self.iter().find(|&(type_, _)| type_ == attribute).map(|(_, value)| value)
    }
}

/// What an object says when asked for one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'v> {
    /// Its value.
    Value(Cow<'v, [u8]>),
    /// It has the attribute and never shows it.
    Sensitive,
    /// It has no such attribute.
    Unknown,
}

/// The questions of one C_GetAttributeValue.
pub struct AttributesOut<'a>(Attributes<'a>);

impl AttributesOut<'_> {
    /// Answers all of them by the five cases of PKCS#11 3.0 §5.7.5: one that fails does not keep the others from being
    /// answered. Where several fail, the return value is the first of the list below that applies.
    ///
    /// # Errors
    /// CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID or CKR_BUFFER_TOO_SMALL, each with CK_UNAVAILABLE_INFORMATION
    /// for a length. What `answer` fails with, at once.
    pub fn answer<'v>(&mut self, mut answer: impl FnMut(CK_ATTRIBUTE_TYPE) -> Result<Answer<'v>>) -> Result<()> {
        let (mut sensitive, mut unknown, mut too_small) = (false, false, false);
        for index in 0..self.0.count {
            // The length is read here, before any is written: it is the room there is.
            let asked = self.0.read(index);
            let length = match answer(asked.type_)? {
                Answer::Sensitive => {
                    sensitive = true;
                    CK_UNAVAILABLE_INFORMATION
                }
                Answer::Unknown => {
                    unknown = true;
                    CK_UNAVAILABLE_INFORMATION
                }
                Answer::Value(value) if asked.pValue.is_null() => to_ulong(value.len()),
                Answer::Value(value) if value.len() > to_usize(asked.ulValueLen) => {
                    too_small = true;
                    CK_UNAVAILABLE_INFORMATION
                }
                Answer::Value(value) => {
                    // SAFETY: not null, writable for `ulValueLen` bytes by the contract, of which there are enough; bytes
                    // have no alignment; `value` is ours, so the two do not overlap.
                    unsafe { asked.pValue.cast::<u8>().copy_from_nonoverlapping(value.as_ptr(), value.len()) };
                    to_ulong(value.len())
                }
            };
            // SAFETY: within the array, which is aligned, and writable by the contract.
            unsafe { (&raw mut (*self.0.start.add(index)).ulValueLen).write(length) };
        }
        match (sensitive, unknown, too_small) {
            (true, _, _) => Err(Rv::ATTRIBUTE_SENSITIVE),
            (_, true, _) => Err(Rv::ATTRIBUTE_TYPE_INVALID),
            (_, _, true) => Err(Rv::BUFFER_TOO_SMALL),
            _ => Ok(()),
        }
    }
}

/// An interface, and the `CK_INTERFACE` in writable memory that callers are given of it: OpenSC's pkcs11-spy (0.23 to 0.26)
/// writes its own function list into the structure that the module under it returned.
pub struct Interface {
    contents: CK_INTERFACE,
    given: UnsafeCell<CK_INTERFACE>,
}

// SAFETY: all that `contents` points to is immutable and lives for ever, which the constructors see to; `given` is written
// through atomics, and read by nobody but callers.
unsafe impl Sync for Interface {}

impl Interface {
    /// An interface without flags.
    pub const fn new<List: Sync>(name: &'static CStr, list: &'static List) -> Interface {
        Interface::with(name, std::ptr::from_ref(list).cast())
    }

    /// What is given beside an error: the spy reads the name of what it was returned whatever the result was, and NSS, above
    /// it, hands it a pointer to nowhere.
    pub const fn nothing() -> Interface {
        Interface::with(c"", std::ptr::null())
    }

    const fn with(name: &'static CStr, list: *const c_void) -> Interface {
        let contents =
            CK_INTERFACE { pInterfaceName: name.as_ptr().cast_mut().cast(), pFunctionList: list.cast_mut(), flags: 0 };
        Interface { contents, given: UnsafeCell::new(contents) }
    }

    /// What is in it, whatever a caller has written into the one it was given.
    pub const fn contents(&self) -> CK_INTERFACE {
        self.contents
    }

    /// The structure for a caller, with its contents as they were before another caller wrote into it: otherwise a spy that is
    /// loaded once more would find its own functions under it, and call itself without end.
    pub fn give(&'static self) -> CK_INTERFACE_PTR {
        let given = self.given.get();
        // SAFETY: the fields are aligned and valid for as long as the process; this module touches them only here. A caller
        // that reads while another calls sees one function list or the other.
        unsafe {
            AtomicPtr::from_ptr(&raw mut (*given).pInterfaceName)
                .store(self.contents.pInterfaceName, Ordering::Release);
            AtomicPtr::from_ptr(&raw mut (*given).pFunctionList).store(self.contents.pFunctionList, Ordering::Release);
        }
        given
    }
}

/// Text for a fixed field of a PKCS#11 structure: padded with blanks, not ended by a zero byte, cut at the end of a
/// character where it is too long (PKCS#11 3.0 §3.1).
pub fn padded<const N: usize>(text: &str) -> [CK_UTF8CHAR; N] {
    let mut field = [b' '; N];
    let end = (0..=N).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    field.iter_mut().zip(text.bytes().take(end)).for_each(|(place, byte)| *place = byte);
    field
}

/// A length from the caller; more than any memory has is more than enough.
fn to_usize(length: CK_ULONG) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// A length of ours, all of which are small.
fn to_ulong(length: usize) -> CK_ULONG {
    CK_ULONG::try_from(length).unwrap_or(CK_UNAVAILABLE_INFORMATION)
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
