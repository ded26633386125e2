//! What the node said before a crash, as the IDs of acknowledgements: a transaction's hash, or an
//! anchor.

/// What an ID names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A transaction that it accepted.
    Transaction,
    /// An anchor that it told of.
    Anchor(AnchorSaid),
}

/// An anchor, as the node told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnchorSaid {
    /// The last block that it covers.
    pub(super) height: u64,
    /// Its hash, where the node named one.
    pub(super) hash: Option<String>,
}

impl AnchorSaid {
    /// The ID: `anchor-HEIGHT` or `anchor-HEIGHT-HASH`.
    pub(super) fn id(&self) -> String {
        match &self.hash {
            Some(hash) => format!("anchor-{}-{hash}", self.height),
            None => format!("anchor-{}", self.height),
        }
    }
}

/// What this ID names.
pub(super) fn read(id: &str) -> Said {
    let anchor = || {
        let rest = id.strip_prefix("anchor-")?;
        let (height, hash) = match rest.split_once('-') {
            Some((height, hash)) => (height, Some(hash.to_owned())),
            None => (rest, None),
        };
        let height = height.parse().ok()?;
        Some(Said::Anchor(AnchorSaid { height, hash }))
    };
    anchor().unwrap_or(Said::Transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_what_it_names() {
        for hash in [None, Some("ab12".to_owned())] {
            let anchor = AnchorSaid { height: 300, hash };
            assert_eq!(read(&anchor.id()), Said::Anchor(anchor));
        }
        for transaction in ["0f3a", "anchor-", "anchor-x"] {
            assert_eq!(read(transaction), Said::Transaction);
        }
    }
}
