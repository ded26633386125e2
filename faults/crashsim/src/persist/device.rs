//! What the device under the filesystem does with a write when power is lost.

use std::fmt;
use std::str::FromStr;

use crate::fs::PAGE;

/// A device, in the words of SQLite's `SQLITE_IOCAP_*` (<https://www.sqlite.org/c3ref/c_iocap_atomic.html>).
///
/// As text: `sector=4096,atomic=4096,safe-append,sequential`, in any order; what is not named is as
/// in [`Device::default`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// The unit of writing, in bytes: a power of two from 16 to 4096. Of a write that spans several
    /// sectors any may be on disk. Less than 512 is an [`assumption`](Self::assumption).
    pub sector: u64,
    /// What is written whole or not at all beyond a sector.
    pub atomic: Atomic,
    /// "When data is appended to a file, the data is appended first then the size of the file is
    /// extended, never the other way around" (`SQLITE_IOCAP_SAFE_APPEND`).
    pub safe_append: bool,
    /// "Information is written to disk in the same order as calls to xWrite()"
    /// (`SQLITE_IOCAP_SEQUENTIAL`): what is lost of all bytes and lengths is a suffix. Names are no
    /// part of it, as they are none of xWrite.
    pub sequential: bool,
    /// The bytes of a sector beside those that were written stay what they were
    /// (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`). Without it a sector that is torn holds junk there.
    pub powersafe_overwrite: bool,
}

/// What is written whole or not at all, where it is more than a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Atomic {
    /// Nothing.
    Sector,
    /// Aligned blocks of so many bytes (`SQLITE_IOCAP_ATOMIC512` to `_ATOMIC64K`).
    Block(u64),
    /// Every write (`SQLITE_IOCAP_ATOMIC`).
    Write,
}

/// The smallest sector, in bytes.
const SMALLEST: u64 = 16;
/// The smallest sector that devices have, in bytes.
const KNOWN: u64 = 512;

impl Default for Device {
    /// Sectors of 512 bytes, and nothing more than that they are whole.
    fn default() -> Self {
        Self {
            sector: KNOWN,
            atomic: Atomic::Sector,
            safe_append: false,
            sequential: false,
            powersafe_overwrite: true,
        }
    }
}

impl Device {
    /// A device that is known by its sector alone. `None` unless that is a power of two from 16 to
    /// 4096.
    pub fn with_sector(sector: u64) -> Option<Self> {
        let known = sector.is_power_of_two() && (SMALLEST..=PAGE as u64).contains(&sector);
        known.then(|| Self {
            sector,
            ..Self::default()
        })
    }

    /// What it does that no device is known to do, as a sentence: a write that is torn inside a sector.
    pub fn assumption(&self) -> Option<String> {
        (self.sector < KNOWN).then(|| {
            format!(
                "Assumed: a device that tears a write at every {} bytes, where known ones write sectors of \
                 {KNOWN} bytes whole (--device {self}).",
                self.sector
            )
        })
    }
}

/// The words of the text form, for messages.
const WORDS: &str = "sector=16..4096, atomic=512..65536 or atomic=any, safe-append, sequential, \
                     powersafe-overwrite, no-powersafe-overwrite";

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut device = Self::default();
        for word in text.split(',').map(str::trim) {
            let wrong = |why: &str| Err(format!("the device's {word:?} {why}; known are {WORDS}"));
            let power = |number: &str, least: u64, max: u64| {
                let number: Option<u64> = number.parse().ok();
                number.filter(|n| n.is_power_of_two() && (least..=max).contains(n))
            };
            match word.split_once('=') {
                Some(("sector", bytes)) => match power(bytes, SMALLEST, PAGE as u64) {
                    Some(bytes) => device.sector = bytes,
                    None => return wrong("must be a power of two from 16 to 4096"),
                },
                Some(("atomic", "any")) => device.atomic = Atomic::Write,
                Some(("atomic", bytes)) => match power(bytes, KNOWN, 65536) {
                    Some(bytes) => device.atomic = Atomic::Block(bytes),
                    None => return wrong("must be a power of two from 512 to 65536, or any"),
                },
                None if word == "safe-append" => device.safe_append = true,
                None if word == "sequential" => device.sequential = true,
                None if word == "powersafe-overwrite" => device.powersafe_overwrite = true,
                None if word == "no-powersafe-overwrite" => device.powersafe_overwrite = false,
                _ => return wrong("is not known"),
            }
        }
        Ok(device)
    }
}

impl fmt::Display for Device {
    /// The text form, which [`FromStr`] reads again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector={}", self.sector)?;
        match self.atomic {
            Atomic::Sector => {}
            Atomic::Block(bytes) => write!(f, ",atomic={bytes}")?,
            Atomic::Write => write!(f, ",atomic=any")?,
        }
        for (on, word) in [
            (self.safe_append, ",safe-append"),
            (self.sequential, ",sequential"),
            (!self.powersafe_overwrite, ",no-powersafe-overwrite"),
        ] {
            if on {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "sector=512",
            "sector=16",
            "sector=4096,atomic=4096,safe-append,sequential",
            "sector=1024,atomic=any,no-powersafe-overwrite",
        ] {
            let device: Device = text.parse().expect("a device");
            assert_eq!(device.to_string(), text);
        }
        assert_eq!(
            "safe-append".parse(),
            Ok(Device {
                safe_append: true,
                ..Device::default()
            })
        );
    }

    #[test]
    fn a_sector_that_no_device_has_is_an_assumption() {
        let assumption = |sector| Device::with_sector(sector).and_then(|one| one.assumption());
        assert!(assumption(256).is_some_and(|said| said.contains("--device sector=256")));
        assert_eq!(assumption(512), None);
        assert_eq!(assumption(4096), None);
    }

    #[test]
    fn says_what_is_wrong() {
        for text in [
            "",
            "sector=0",
            "sector=8",
            "sector=8192",
            "sector=1000",
            "atomic=3",
            "safe",
            "sequential=1",
        ] {
            let error = text.parse::<Device>().expect_err("no device");
            assert!(error.contains("known are sector="), "{error}");
        }
        assert_eq!(Device::with_sector(0), None);
        assert_eq!(
            Device::with_sector(4096).map(|device| device.sector),
            Some(4096)
        );
    }
}
