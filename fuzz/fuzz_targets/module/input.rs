//! The fuzzer's bytes, taken from the front by calls and card alike in the order in which they happen.

/// What is left of the input. Once it is used up everything is zero: an honest card, and no more calls.
pub struct Input {
    bytes: Vec<u8>,
    at: usize,
}

impl Input {
    pub fn new(bytes: &[u8]) -> Input {
        Input { bytes: bytes.to_vec(), at: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub fn long(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    pub fn is(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Up to `len` bytes, as many as there are.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let start = self.at.min(self.bytes.len());
        let end = (start + len).min(self.bytes.len());
        self.at = end;
        self.bytes[start..end].to_vec()
    }
}
