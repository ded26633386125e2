//! A persistent map in two layers: what there was, and what changed since.
//!
//! A crash state changes a handful of entries. In one persistent map each change copies a path of nodes,
//! which is longer, and full of neighbours, where there are many entries. Here it copies a small map.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;

use imbl::OrdMap;

/// A map that is cloned for nothing, and whose changes cost as much as there are others since it was
/// last folded.
#[derive(Clone)]
pub(super) struct Layered<K, V> {
    below: OrdMap<K, V>,
    /// What changed; none for what was removed.
    above: OrdMap<K, Option<V>>,
    len: usize,
}

impl<K, V> Default for Layered<K, V> {
    fn default() -> Self {
        Self {
            below: OrdMap::new(),
            above: OrdMap::new(),
            len: 0,
        }
    }
}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for Layered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> Layered<K, V> {
    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// True without entries.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match self.above.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.below.get(key),
        }
    }

    /// The value of a key, to change it.
    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.above.contains_key(key) {
            let (key, value) = self.below.get_key_value(key)?;
            self.above.insert(key.clone(), Some(value.clone()));
        }
        self.above.get_mut(key)?.as_mut()
    }

    /// Sets the value of a key, and returns what it had.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.get(&key).cloned();
        self.len += usize::from(before.is_none());
        self.above.insert(key, Some(value));
        before
    }

    /// Removes a key, and returns what it had.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let before = self.get(key).cloned()?;
        self.len -= 1;
        match self.below.get_key_value(key) {
            Some((key, _)) => self.above.insert(key.clone(), None),
            None => self.above.remove(key),
        };
        Some(before)
    }

    /// Every entry, in the order of keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        both(self.below.iter(), self.above.iter())
    }

    /// Every key, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The entries whose keys are greater, in order.
    pub(super) fn behind(&self, key: K) -> impl Iterator<Item = (&K, &V)> {
        let range = (Bound::Excluded(key), Bound::Unbounded);
        both(self.below.range(range.clone()), self.above.range(range))
    }

    /// The values that changed since the map was last folded.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&K, &V)> {
        let changed = self.above.iter();
        changed.filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }

    /// True when nothing changed since it was folded.
    pub(super) fn is_folded(&self) -> bool {
        self.above.is_empty()
    }

    /// Makes what changed a part of what there was.
    pub(super) fn fold(&mut self) {
        for (key, value) in std::mem::take(&mut self.above) {
            match value {
                Some(value) => self.below.insert(key, value),
                None => self.below.remove(&key),
            };
        }
    }
}

/// The entries of two layers, in the order of keys.
fn both<'a, K: Ord + 'a, V: 'a>(
    below: impl Iterator<Item = (&'a K, &'a V)>,
    above: impl Iterator<Item = (&'a K, &'a Option<V>)>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    let (mut below, mut above) = (below.peekable(), above.peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (below.peek(), above.peek()) {
                (Some((old, _)), Some((new, _))) => old.cmp(new),
                (_, None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            if order == Ordering::Less {
                return below.next();
            }
            if order == Ordering::Equal {
                below.next();
            }
            if let Some((key, Some(value))) = above.next() {
                return Some((key, value));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is done to it and wherever it is folded, it is a map; and a clone is left alone.
        #[test]
        fn is_a_map(changes in proptest::collection::vec((0..5_u8, 0..12_u64, any::<u8>()), 0..60)) {
            let (mut map, mut plain) = (Layered::default(), BTreeMap::new());
            let mut clone = (map.clone(), plain.clone());
            for (kind, key, value) in changes {
                match kind {
                    0 => prop_assert_eq!(map.insert(key, value), plain.insert(key, value)),
                    1 => prop_assert_eq!(map.remove(&key), plain.remove(&key)),
                    2 => map.fold(),
                    3 => clone = (map.clone(), plain.clone()),
                    _ => {
                        let both = (map.get_mut(&key), plain.get_mut(&key));
                        prop_assert_eq!(&both.0, &both.1);
                        if let (Some(one), Some(other)) = both {
                            (*one, *other) = (value, value);
                        }
                    }
                }
                prop_assert!(kind != 2 || map.is_folded());
                for (map, plain) in [(&map, &plain), (&clone.0, &clone.1)] {
                    prop_assert_eq!(map.len(), plain.len());
                    prop_assert_eq!(map.is_empty(), plain.is_empty());
                    prop_assert!(map.iter().eq(plain.iter()));
                    prop_assert!(map.keys().eq(plain.keys()));
                    prop_assert_eq!(map.get(&key), plain.get(&key));
                    let behind = (Bound::Excluded(key), Bound::Unbounded);
                    prop_assert!(map.behind(key).eq(plain.range(behind)));
                    prop_assert!(map.changed().all(|(key, value)| plain.get(key) == Some(value)));
                }
            }
        }
    }
}
