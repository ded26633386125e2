//! The search for a fix of a finding: all syncs at once show whether any helps; then single changes, the
//! cheapest first; then as many as the states ask for that still fail, of which as many are taken away as
//! can go. Each step is held to a few states alone, and what comes of it is verified.

use std::collections::BTreeSet;

use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::VerifiedFix;

use super::super::crash::CrashModel;
use super::changes::{Change, Part, SyncChanges};
use super::edited_run::Attempts;
use super::verify::{Behind, Failure, QuickLook, Subject, Verdict, is_real, look, verify};

/// So often more is added to a change that is not enough.
const ROUNDS: usize = 12;
/// The loosest model: what is enough there is enough anywhere.
const LOOSEST: &str = "strict";

/// What is searched, and what was found so far.
pub(super) struct FixSearch<'s, 'f, 'a, 'r> {
    pub(super) subject: &'s Subject<'f, 'a>,
    pub(super) changes: &'s SyncChanges<'s>,
    pub(super) attempts: &'s mut Attempts<'r>,
    /// What was lost must be durable before this.
    pub(super) before: Option<&'s str>,
    /// Under which models changes are looked at.
    models: Vec<CrashModel>,
    /// Changes that are not enough, in words.
    pub(super) refuted: Vec<String>,
    /// What shows with a change that makes the finding go.
    pub(super) behind: String,
    /// What is lost in states that show something else with one change.
    lost_behind: Vec<LostUpdate>,
    /// Changes with which only other findings show, at the few places that were looked at.
    alone: Vec<Change>,
    /// A fix behind which another finding shows.
    pub(super) beside: Option<(VerifiedFix, Change)>,
    /// A fix under some models.
    pub(super) weaker: Option<(VerifiedFix, Change)>,
    /// True where the finding shows with everything synced.
    pub(super) none_helps: bool,
}

/// What came of a change: a fix, or what a state lost that fails all the same.
enum FixAttempt {
    Found(VerifiedFix),
    Lost(Vec<LostUpdate>),
}

/// A fix with its change; none where there is none; or why it is not known.
type Sought = Result<Option<(VerifiedFix, Change)>, &'static str>;

impl<'s, 'f, 'a, 'r> FixSearch<'s, 'f, 'a, 'r> {
    /// Nothing was tried yet.
    pub(super) fn new(
        subject: &'s Subject<'f, 'a>,
        changes: &'s SyncChanges<'s>,
        attempts: &'s mut Attempts<'r>,
        before: Option<&'s str>,
    ) -> Self {
        let own = subject.oracle.models[subject.minimised.crash.model];
        let loosest = |model: &CrashModel| model.name == LOOSEST && own.name != LOOSEST;
        let models = subject.models.iter().copied().filter(loosest);
        Self {
            subject,
            changes,
            attempts,
            before,
            models: std::iter::once(own).chain(models).collect(),
            refuted: Vec::new(),
            behind: String::new(),
            lost_behind: Vec::new(),
            alone: Vec::new(),
            beside: None,
            weaker: None,
            none_helps: false,
        }
    }

    /// The cheapest change that is verified. Those of other findings are tried first.
    pub(super) fn run<'c>(&mut self, known: impl Iterator<Item = &'c Change>) -> Sought {
        let cause = &self.subject.cause;
        for change in known.filter(|one| !one.places.is_disjoint(cause)) {
            if let FixAttempt::Found(fix) = self.look_and_verify(change)? {
                return Ok(Some((fix, change.clone())));
            }
        }
        if let Some(found) = self.alone()? {
            return Ok(Some(found));
        }
        if !self.any_helps()? {
            self.none_helps = true;
            return Ok(None);
        }
        let lost = &self.subject.minimised.crash.lost;
        for change in self.changes.for_loss(lost, self.before) {
            match self.look_and_verify(&change)? {
                FixAttempt::Found(fix) => return Ok(Some((fix, change))),
                FixAttempt::Lost(lost) => self.lost_behind.extend(lost),
            }
        }
        match self.alone()? {
            Some(found) => Ok(Some(found)),
            None => self.several(),
        }
    }

    /// A change that makes this finding go and no other one. Findings that hid behind it have their own.
    fn alone(&mut self) -> Sought {
        for change in std::mem::take(&mut self.alone) {
            if self.beside.is_some() {
                break;
            }
            if let FixAttempt::Found(fix) = self.verify(&change)? {
                return Ok(Some((fix, change)));
            }
        }
        Ok(self.beside.take())
    }

    /// Whether the finding goes with everything synced. Where a real filesystem shows it, it need not go under
    /// a looser model.
    fn any_helps(&mut self) -> Result<bool, &'static str> {
        let top = self.changes.top();
        loop {
            match look(self.subject, &top, &self.models, self.attempts) {
                QuickLook::Gone => return Ok(true),
                QuickLook::Shows(failure) if !failure.is_own && !failure.state.is_same => {
                    return Ok(true);
                }
                QuickLook::Shows(_) if self.models.len() > 1 && is_real(&self.models[0]) => {
                    self.models.truncate(1);
                }
                QuickLook::Shows(_) => return Ok(false),
                QuickLook::Unknown(why) => return Err(why),
            }
        }
    }

    /// Looks at a change, and verifies it where nothing shows.
    fn look_and_verify(&mut self, change: &Change) -> Result<FixAttempt, &'static str> {
        match look(self.subject, change, &self.models, self.attempts) {
            QuickLook::Unknown(why) => Err(why),
            QuickLook::Shows(failure) => {
                if !failure.is_own && !failure.state.is_same {
                    self.alone.push(change.clone());
                }
                Ok(self.refute(change, failure))
            }
            QuickLook::Gone => self.verify(change),
        }
    }

    fn verify(&mut self, change: &Change) -> Result<FixAttempt, &'static str> {
        let (is_own, state) = match verify(self.subject, change, self.attempts) {
            Verdict::Gone(fix) if fix.not_enough_under.is_empty() => {
                return Ok(FixAttempt::Found(fix));
            }
            Verdict::Gone(fix) => {
                self.weaker.get_or_insert((fix, change.clone()));
                return Ok(FixAttempt::Lost(Vec::new()));
            }
            Verdict::Behind(fix, state) => {
                if !state.is_same && fix.not_enough_under.is_empty() {
                    self.beside.get_or_insert((fix, change.clone()));
                }
                (false, state)
            }
            Verdict::Stays(state) => (true, state),
            Verdict::Unknown(why) => return Err(why),
        };
        Ok(self.refute(change, Failure { is_own, state }))
    }

    fn refute(&mut self, change: &Change, failure: Failure) -> FixAttempt {
        let Behind { lost, sentence, .. } = *failure.state;
        if failure.is_own {
            self.refuted.push(change.words.clone());
        } else if self.behind.is_empty() {
            self.behind = format!(
                "with {} it goes, and another one shows: {sentence}",
                change.words
            );
        }
        FixAttempt::Lost(lost)
    }

    /// Several changes at once: those of what was lost, and of what is lost where these are not enough.
    fn several(&mut self) -> Sought {
        let own = &self.subject.minimised.crash.lost;
        let mut parts = self.changes.parts_for(own);
        parts.extend(self.changes.parts_for(&self.lost_behind));
        for _ in 0..ROUNDS {
            let lost = match self.shows(&parts)? {
                Some(lost) => lost,
                None => match self.least(&parts)? {
                    (FixAttempt::Found(fix), change) => return Ok(Some((fix, change))),
                    (FixAttempt::Lost(lost), _) => lost,
                },
            };
            let before = parts.len();
            parts.extend(self.changes.parts_for(&lost));
            if parts.len() == before {
                parts.extend(self.changes.parts_each_time(&lost));
            }
            if parts.len() == before {
                break;
            }
        }
        let all = self.changes.all_parts();
        if self.shows(&all)?.is_none()
            && let (FixAttempt::Found(fix), change) = self.least(&all)?
        {
            return Ok(Some((fix, change)));
        }
        Ok(None)
    }

    fn joined(&self, parts: &BTreeSet<Part>) -> Change {
        let lost = &self.subject.minimised.crash.lost;
        self.changes.joined(parts, lost, self.before)
    }

    /// What a state lost that fails with these parts; none where none does.
    fn shows(&mut self, parts: &BTreeSet<Part>) -> Result<Option<Vec<LostUpdate>>, &'static str> {
        let change = self.joined(parts);
        match look(self.subject, &change, &self.models, self.attempts) {
            QuickLook::Gone => Ok(None),
            QuickLook::Shows(failure) => Ok(Some(failure.state.lost)),
            QuickLook::Unknown(why) => Err(why),
        }
    }

    /// As few of these parts as still do, each as seldom as it may be, verified: halves are taken away first.
    fn least(&mut self, parts: &BTreeSet<Part>) -> Result<(FixAttempt, Change), &'static str> {
        let mut all: Vec<Part> = parts.iter().copied().collect();
        let mut size = all.len() / 2;
        while size > 0 {
            let mut from = 0;
            while from < all.len() && all.len() > 1 {
                let mut rest = all.clone();
                rest.drain(from..(from + size).min(all.len()));
                let fewer: BTreeSet<Part> = rest.iter().copied().collect();
                if !rest.is_empty() && self.shows(&fewer)?.is_none() {
                    all = rest;
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
        let strong = self.joined(&all.iter().copied().collect());
        for nth in 0..all.len() {
            while let Some(weaker) = all[nth].weaker() {
                let mut others = all.clone();
                others[nth] = weaker;
                if self.shows(&others.iter().copied().collect())?.is_some() {
                    break;
                }
                all = others;
            }
        }
        let change = self.joined(&all.into_iter().collect());
        if let Some(moved) = self.changes.moved(&change)
            && let FixAttempt::Found(fix) = self.look_and_verify(&moved)?
        {
            return Ok((FixAttempt::Found(fix), moved));
        }
        match self.verify(&change)? {
            FixAttempt::Lost(_) if strong.edits != change.edits => {
                Ok((self.verify(&strong)?, strong))
            }
            step => Ok((step, change)),
        }
    }
}
