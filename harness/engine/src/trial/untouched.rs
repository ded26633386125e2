//! A target that never wrote to its data directory: whatever is done to that directory says nothing of it.

use std::fmt;
use std::path::PathBuf;

use plugpull_sandbox::WrittenElsewhere;

/// Where a target wrote instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WroteTo {
    /// Outside of its data directory, in these places.
    Known(WrittenElsewhere),
    /// The sandbox has no mounts of its own: its files are among everybody's.
    Unknown,
    /// It was not looked for: the recording is an old one.
    NotLooked,
    /// Nowhere, and it need not have: it promises something for barriers, and none was reached.
    NoBarrier,
}

/// A target that acknowledged something and did nothing in its data directory. It is an error where
/// it ends a run before the first trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untouched {
    /// The data directory, as the target sees it.
    pub directory: PathBuf,
    /// How many transactions it had acknowledged.
    pub acked: u64,
    /// Where it wrote instead.
    pub elsewhere: WroteTo,
}

impl fmt::Display for Untouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        write!(
            f,
            "the target never touched its data directory, {directory}, although it acknowledged {} \
             transactions; ",
            self.acked
        )?;
        match &self.elsewhere {
            WroteTo::Known(found) if found.count == 0 => write!(
                f,
                "it wrote no file elsewhere either: what it acknowledged was in its memory at most; "
            )?,
            WroteTo::Known(found) => {
                let more = match found.count - found.named.len() as u64 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(f, "it wrote {}{more}; ", found.named.join(", "))?;
            }
            WroteTo::Unknown => write!(
                f,
                "where it wrote cannot be known in a sandbox without mounts of its own (`plugpull \
                 doctor` says what is missing); "
            )?,
            WroteTo::NotLooked => {}
            WroteTo::NoBarrier => {
                return f.write_str(
                    "no barrier was reached, before which nothing has to be written: a later moment, or \
                     more transactions, would reach one",
                );
            }
        }
        write!(
            f,
            "it must write below its working directory, which is also in $PLUGPULL_DATA"
        )
    }
}

impl std::error::Error for Untouched {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(elsewhere: WroteTo) -> String {
        let untouched = Untouched {
            directory: "/mnt/plugpull/data".into(),
            acked: 30,
            elsewhere,
        };
        untouched.to_string()
    }

    #[test]
    fn it_is_said_where_the_target_wrote() {
        let found = WrittenElsewhere {
            named: vec!["/tmp/a".into(), "/dev/shm/b".into()],
            count: 7,
        };
        let text = sentence(WroteTo::Known(found));
        assert!(
            text.contains("wrote /tmp/a, /dev/shm/b and 5 more;"),
            "{text}"
        );
        let nothing = sentence(WroteTo::Known(WrittenElsewhere::default()));
        assert!(nothing.contains("in its memory"), "{nothing}");
        let early = sentence(WroteTo::NoBarrier);
        assert!(early.ends_with("would reach one"), "{early}");
        let bare = sentence(WroteTo::Unknown);
        assert!(bare.contains("cannot be known"), "{bare}");
    }
}
