//! What the node said before a crash, as the IDs of acknowledgements: a transaction's hash, or an
//! anchor.

/// What an ID names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A transaction that it accepted.
    Transaction,
    /// An anchor that it announced.
    Anchor(AnchorId),
}

/// An anchor, as the node announced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnchorId {
    /// The last block that it covers.
    pub(super) height: u64,
    /// Its hash, where the node named one.
    pub(super) hash: Option<String>,
}

impl AnchorId {
    /// The ID: `anchor-HEIGHT` or `anchor-HEIGHT-HASH`.
    pub(super) fn id(&self) -> String {
        match &self.hash {
            Some(hash) => format!("anchor-{}-{hash}", self.height),
            None => format!("anchor-{}", self.height),
        }
    }
}

/// What this ID names.
pub(super) fn read(id: &str) -> Item {
    let anchor = || {
        let rest = id.strip_prefix("anchor-")?;
        let (height, hash) = match rest.split_once('-') {
            Some((height, hash)) => (height, Some(hash.to_owned())),
            None => (rest, None),
        };
        let height = height.parse().ok()?;
        Some(Item::Anchor(AnchorId { height, hash }))
    };
    anchor().unwrap_or(Item::Transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_what_it_names() {
        for hash in [None, Some("ab12".to_owned())] {
            let anchor = AnchorId { height: 300, hash };
            assert_eq!(read(&anchor.id()), Item::Anchor(anchor));
        }
        for transaction in ["0f3a", "anchor-", "anchor-x"] {
            assert_eq!(read(transaction), Item::Transaction);
        }
    }
}
