//! A list in a report that may be too long for memory: kept there, or read again from a run file
//! each time.

use std::fmt;
use std::io;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Error as _, Serialize, SerializeSeq as _, Serializer};

use crate::run_file::reader::Source;
use crate::run_file::record::Record;

/// A list of `T`, in memory or in a run file. It reads, compares and serialises alike.
#[derive(Clone)]
pub struct Rows<T>(Place<T>);

#[derive(Clone)]
enum Place<T> {
    Memory(Vec<T>),
    File {
        source: Source,
        /// What of a record is an entry of the list.
        pick: fn(Record) -> Option<T>,
    },
}

impl<T: Clone> Rows<T> {
    pub(crate) fn in_file(source: Source, pick: fn(Record) -> Option<T>) -> Self {
        Self(Place::File { source, pick })
    }

    /// Hands out all entries in order. An error when the run file cannot be read.
    pub fn each(&self, mut take: impl FnMut(&T)) -> io::Result<()> {
        self.try_each(|one| {
            take(one);
            Ok(())
        })
    }

    /// The same for something that may fail, which ends it.
    pub fn try_each(&self, mut take: impl FnMut(&T) -> io::Result<()>) -> io::Result<()> {
        match &self.0 {
            Place::Memory(all) => all.iter().try_for_each(take),
            Place::File { source, pick } => {
                for line in source.lines()? {
                    if let Some(one) = line?.record().and_then(pick) {
                        take(&one)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// True when there is none, or when they cannot be read.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Place::Memory(all) => all.is_empty(),
            Place::File { source, pick } => {
                let lines = source.lines().into_iter().flatten().flatten();
                !lines
                    .into_iter()
                    .any(|line| line.record().and_then(pick).is_some())
            }
        }
    }

    /// Those that are in memory: all of a report that was read from JSON or made by a
    /// [`ReportBuilder`](crate::ReportBuilder), none of one whose trials are in a run file.
    pub fn in_memory(&self) -> &[T] {
        match &self.0 {
            Place::Memory(all) => all,
            Place::File { .. } => &[],
        }
    }

    /// All of them in memory.
    pub fn into_vec(self) -> io::Result<Vec<T>> {
        match self.0 {
            Place::Memory(all) => Ok(all),
            Place::File { .. } => {
                let mut all = Vec::new();
                self.each(|one| all.push(one.clone()))?;
                Ok(all)
            }
        }
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Place::Memory(Vec::new()))
    }
}

impl<T> From<Vec<T>> for Rows<T> {
    fn from(all: Vec<T>) -> Self {
        Self(Place::Memory(all))
    }
}

impl<T: Clone + PartialEq> PartialEq for Rows<T> {
    /// False also where one of the two cannot be read.
    fn eq(&self, other: &Self) -> bool {
        match (self.clone().into_vec(), other.clone().into_vec()) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Memory(all) => f.debug_list().entries(all).finish(),
            Place::File { source, .. } => source.fmt(f),
        }
    }
}

impl<T: Clone + Serialize> Serialize for Rows<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Place::Memory(all) = &self.0 {
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

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
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
