//! The caller's side of the wrappers, for tests of what stands behind them: memory of a test's own, handed over as a C
//! program would.

use super::*;
use std::ptr::null_mut;

/// What one C_GetAttributeValue answered: the return value, and for each attribute its value if it has one.
pub type Answers = (Result<()>, Vec<Option<Vec<u8>>>);

/// A template.
pub fn template<'a>(rows: &[(CK_ATTRIBUTE_TYPE, &'a [u8])]) -> Template<'a> {
    Template(rows.to_vec())
}

/// Runs `call` with room for `capacity` bytes, or with a null pointer; answers the bytes written.
pub fn output(capacity: Option<usize>, call: impl FnOnce(&mut OutBuf<'_>) -> Result<()>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; capacity.unwrap_or(0)];
    let mut len = capacity.unwrap_or(0) as CK_ULONG;
    let start = if capacity.is_some() { bytes.as_mut_ptr() } else { null_mut() };
    // SAFETY: both places outlive the call; `bytes` has `len` elements.
    let mut out = unsafe { OutBuf::new(start, &mut len) }?;
    call(&mut out)?;
    match capacity {
        Some(_) => bytes.truncate(len as usize),
        None => bytes.resize(len as usize, 0),
    }
    Ok(bytes)
}

/// Runs `call` with questions for these types, with room enough for each.
pub fn ask(types: &[CK_ATTRIBUTE_TYPE], call: impl FnOnce(&mut AttributesOut<'_>) -> Result<()>) -> Answers {
    let mut values = vec![vec![0u8; 4096]; types.len()];
    let mut rows: Vec<CK_ATTRIBUTE> = types
        .iter()
        .zip(&mut values)
        .map(|(&type_, value)| CK_ATTRIBUTE {
            type_,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: value.len() as CK_ULONG,
        })
        .collect();
    // SAFETY: the rows and the values they point to outlive the call.
    let result = unsafe { Attributes::new(rows.as_mut_ptr(), rows.len() as CK_ULONG) }
        .and_then(|attributes| call(&mut attributes.questions()));
    let lengths: Vec<CK_ULONG> = rows.iter().map(|row| row.ulValueLen).collect();
    let answers = values.into_iter().zip(lengths).map(|(mut value, len)| {
        (len != CK_UNAVAILABLE_INFORMATION).then(|| {
            value.truncate(len as usize);
            value
        })
    });
    (result, answers.collect())
}
