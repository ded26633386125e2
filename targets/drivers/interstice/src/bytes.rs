//! Reading numbers and text from bytes that may be anything.

/// How deep values may lie in each other. Real rows have a handful of levels; without a limit a
/// damaged file could exhaust the stack.
pub(super) const DEPTH: usize = 64;

/// Why bytes are not what they should be: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) at: usize,
    pub(super) what: String,
    /// The bytes end too early; with more of them it might have fitted.
    pub(super) cut: bool,
}

/// A position in bytes. `at` counts from the beginning of the file.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes[from..to]`; the bounds are cut to what there is.
    pub(super) fn new(bytes: &'a [u8], from: usize, to: usize) -> Self {
        let to = to.min(bytes.len());
        Self {
            bytes: &bytes[..to],
            at: from.min(to),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn misfit<T>(&self, what: impl Into<String>) -> Result<T, Misfit> {
        Err(Misfit {
            at: self.at,
            what: what.into(),
            cut: false,
        })
    }

    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], Misfit> {
        let fits = usize::try_from(length).ok().filter(|n| *n <= self.left());
        let Some(length) = fits else {
            return Err(Misfit {
                at: self.at,
                what: format!("{length} bytes are wanted and {} are left", self.left()),
                cut: true,
            });
        };
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Misfit> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Misfit> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Misfit> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Misfit> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// 0 or 1 in one byte: a truth value, or whether an option holds something.
    pub(super) fn flag(&mut self) -> Result<bool, Misfit> {
        let at = self.at;
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Misfit {
                at,
                what: format!("a byte that is 0 or 1 is {other}"),
                cut: false,
            }),
        }
    }

    /// A number of up to `bits` bits, seven in a byte, the lowest first (LEB128), in as few bytes
    /// as it needs.
    pub(super) fn varint(&mut self, bits: u32) -> Result<u64, Misfit> {
        let began = self.at;
        let mut value = 0_u64;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let seven = u64::from(byte & 0x7f);
            let needless = byte == 0 && shift > 0;
            if shift >= bits || seven.checked_shr(bits - shift).unwrap_or(0) > 0 || needless {
                return Err(Misfit {
                    at: began,
                    what: format!("a number of {bits} bits is wanted"),
                    cut: false,
                });
            }
            value |= seven << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    pub(super) fn text(&mut self, length: u64) -> Result<&'a str, Misfit> {
        let at = self.at;
        std::str::from_utf8(self.take(length)?).map_err(|error| Misfit {
            at: at + error.valid_up_to(),
            what: "the text is not UTF-8".into(),
            cut: false,
        })
    }

    /// Fails unless everything was read.
    pub(super) fn done(&self) -> Result<(), Misfit> {
        match self.left() {
            0 => Ok(()),
            left => self.misfit(format!("{left} bytes too many")),
        }
    }
}
