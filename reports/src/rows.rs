//! A list in a report that may be too long for memory: kept there while it is short, or read again
//! from a file each time.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeSeq as _, Serializer};

use crate::spool::{IN_MEMORY, Spool, SpoolWriter, Stream};

/// What has the entries of a list and reads them each time that they are asked for.
pub(crate) trait Stored<T>: fmt::Debug + Send + Sync {
    /// All of them, in order.
    fn entries(&self) -> io::Result<Stream<'_, T>>;
}

/// A list of `T`, in memory, in a run file, or in a file without a name. It reads, compares and
/// serialises alike.
#[derive(Clone)]
pub struct Rows<T>(Kept<T>);

#[derive(Clone)]
enum Kept<T> {
    Memory(Vec<T>),
    Stored(Arc<dyn Stored<T>>),
    Spool(Spool),
}

impl<T> Rows<T> {
    pub(crate) fn stored(entries: impl Stored<T> + 'static) -> Self {
        Self(Kept::Stored(Arc::new(entries)))
    }

    /// Those that are in memory: all of a report that a [`ReportBuilder`](crate::ReportBuilder) made, or
    /// of a short one that was merged or read from JSON; none of one whose trials are in a file.
    pub fn in_memory(&self) -> &[T] {
        match &self.0 {
            Kept::Memory(all) => all,
            Kept::Stored(_) | Kept::Spool(_) => &[],
        }
    }
}

impl<T: Clone + DeserializeOwned> Rows<T> {
    /// The entries one by one, in order.
    pub(crate) fn iter(&self) -> io::Result<Stream<'_, T>> {
        Ok(match &self.0 {
            Kept::Memory(all) => Box::new(all.iter().cloned().map(Ok)),
            Kept::Stored(entries) => entries.entries()?,
            Kept::Spool(spool) => Box::new(spool.iter()),
        })
    }

    /// Hands out all entries in order. An error when the file cannot be read.
    pub fn each(&self, mut take: impl FnMut(&T)) -> io::Result<()> {
        self.try_each(|one| {
            take(one);
            Ok(())
        })
    }

    /// The same for something that may fail, which ends it.
    pub fn try_each(&self, mut take: impl FnMut(&T) -> io::Result<()>) -> io::Result<()> {
        match &self.0 {
            Kept::Memory(all) => all.iter().try_for_each(take),
            Kept::Stored(_) | Kept::Spool(_) => self.iter()?.try_for_each(|one| take(&one?)),
        }
    }

    /// True when there is none, or when they cannot be read.
    pub fn is_empty(&self) -> bool {
        let first = self.iter().map(|mut all| all.next());
        !matches!(first, Ok(Some(Ok(_))))
    }

    /// All of them in memory.
    pub fn into_vec(self) -> io::Result<Vec<T>> {
        match self.0 {
            Kept::Memory(all) => Ok(all),
            Kept::Stored(_) | Kept::Spool(_) => self.iter()?.collect(),
        }
    }

    /// Whether two lists have equal entries; an error when one cannot be read.
    pub(crate) fn same(&self, other: &Self) -> io::Result<bool>
    where
        T: PartialEq,
    {
        let (mut ours, mut theirs) = (self.iter()?, other.iter()?);
        loop {
            match (ours.next().transpose()?, theirs.next().transpose()?) {
                (None, None) => return Ok(true),
                (one, other) if one != other => return Ok(false),
                _ => {}
            }
        }
    }
}

/// A list that is made entry by entry: in memory while it is short.
pub(crate) struct RowsWriter<T> {
    memory: Vec<T>,
    spool: Option<SpoolWriter>,
}

impl<T: Serialize> RowsWriter<T> {
    pub(crate) fn new() -> Self {
        Self {
            memory: Vec::new(),
            spool: None,
        }
    }

    pub(crate) fn push(&mut self, one: T) -> io::Result<()> {
        if self.spool.is_none() && self.memory.len() < IN_MEMORY {
            self.memory.push(one);
            return Ok(());
        }
        let mut spool = match self.spool.take() {
            Some(spool) => spool,
            None => SpoolWriter::new()?,
        };
        for earlier in std::mem::take(&mut self.memory) {
            spool.push(&earlier)?;
        }
        spool.push(&one)?;
        self.spool = Some(spool);
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<Rows<T>> {
        Ok(match self.spool {
            Some(spool) => Rows(Kept::Spool(spool.finish()?)),
            None => Rows(Kept::Memory(self.memory)),
        })
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Kept::Memory(Vec::new()))
    }
}

impl<T> From<Vec<T>> for Rows<T> {
    fn from(all: Vec<T>) -> Self {
        Self(Kept::Memory(all))
    }
}

impl<T: Clone + DeserializeOwned + PartialEq> PartialEq for Rows<T> {
    /// False also where one of the two cannot be read.
    fn eq(&self, other: &Self) -> bool {
        self.same(other).unwrap_or(false)
    }
}

impl<T: fmt::Debug> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Memory(all) => f.debug_list().entries(all).finish(),
            Kept::Stored(entries) => entries.fmt(f),
            Kept::Spool(spool) => spool.fmt(f),
        }
    }
}

impl<T: Clone + Serialize + DeserializeOwned> Serialize for Rows<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Kept::Memory(all) = &self.0 {
            return all.serialize(serializer);
        }
        let mut list = serializer.serialize_seq(None)?;
        let mut refused = None;
        let read = self.try_each(|one| {
            list.serialize_element(one).map_err(|error| {
                let text = error.to_string();
                refused = Some(error);
                io::Error::other(text)
            })
        });
        match (refused, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(S::Error::custom(format!("the run file: {error}"))),
            (None, Ok(())) => list.end(),
        }
    }
}

impl<'de, T: Serialize + DeserializeOwned> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(RowsWriter<T>);

        impl<'de, T: Serialize + DeserializeOwned> Visitor<'de> for Entries<T> {
            type Value = Rows<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<Rows<T>, A::Error> {
                while let Some(one) = all.next_element()? {
                    self.0.push(one).map_err(de::Error::custom)?;
                }
                self.0.finish().map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_seq(Entries(RowsWriter::new()))
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Rows<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<T>::json_schema(generator)
    }
}
