//! The findings of an exploration: each failing trial is counted to a cause; where its cause is new,
//! it is confirmed and minimised.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_reports::FailingState;
use plugpull_workloads::{Finding, FindingKind, FollowUp};

use super::answers::Kept;
use super::crash::Crash;
use super::grouping::{Cause, Group, Grouping, Groups, has_in_common};
use super::minimise::Minimise;
use super::retry::{Minimised, Rate, Retry, Symptom, TRIES, from_now};
use super::trial_log::Counted;
use crate::outcome::HarnessFailed;

/// How often a state is tried before its finding is reported, and how often the check is asked about
/// one recovered directory.
const CONFIRMING: u32 = 3;
/// Tries that confirming may take beside those of minimising.
const CONFIRMING_TRIES: usize = 16;

/// A failing trial.
pub(super) struct Failing {
    pub(super) crash: Crash,
    pub(super) number: u64,
    pub(super) findings: Vec<Finding>,
    /// What the target made of it.
    pub(super) kept: Kept,
}

/// What counts one finding: its number, and that of its minimisation where it has one; or why the
/// trial cannot be relied on.
type CountOne<'c> = &'c mut dyn FnMut(
    &mut Findings,
    &FailedState<'_>,
    &mut Retry<'_, '_>,
    &mut dyn FnMut(News),
) -> Result<(usize, Option<u64>), String>;

/// A finding of a failing trial, while it is counted.
struct FailedState<'f> {
    failing: &'f Failing,
    finding: &'f Finding,
    /// What of the state may be its cause.
    signs: &'f Cause,
    /// What the target said.
    said: Option<String>,
}

impl FailedState<'_> {
    fn symptom(&self) -> Symptom {
        Symptom {
            kind: self.finding.kind,
            said: self.said.clone(),
            follow_up: self.finding.follow_up,
        }
    }

    fn state(&self) -> FailingState {
        FailingState {
            kind: self.finding.kind,
            depth: self.failing.crash.depth(),
            follow_up: self.finding.follow_up,
            signs: self.signs.clone(),
        }
    }
}

/// What is learned of failing trials, in their order.
pub(super) enum News {
    /// A finding was minimised: a new one, or a known one to a smaller state.
    Minimised {
        id: Option<u64>,
        index: Option<u64>,
        group: Box<Group>,
    },
    /// The next failing trial was counted.
    Counted(Counted),
    /// Nothing can be said of the next failing trial, because its check answers now this way and now
    /// that.
    Flaky(String),
    /// Plugpull failed when it was to count the next failing trial.
    Failed(HarnessFailed),
}

/// A failing state by its kind of finding, its depth, its follow-up and its signs.
type StateName = (FindingKind, u32, Option<FollowUp>, Cause);

/// How long findings may be confirmed and minimised.
#[derive(Clone, Copy)]
pub(super) struct Share {
    /// All of them together.
    pub(super) all: Option<Duration>,
    /// One of them.
    pub(super) one: Option<Duration>,
    /// When no more states are tried.
    pub(super) until: Option<Instant>,
}

/// What confirming a state came to.
enum Confirmed {
    /// It shows the finding so often.
    Stands(Rate),
    /// The check itself answers now this way and now that, in these words.
    Flaky(String),
    /// There was no time for it.
    Unknown,
}

/// Counts findings to causes.
pub(super) struct Findings {
    grouping: Arc<dyn Grouping>,
    minimise: Box<dyn Minimise>,
    groups: Groups,
    /// True when there are other shards.
    shares: bool,
    share: Share,
    /// How much of it is gone.
    spent: Duration,
    /// How many states were minimised for the shards to be merged.
    minimised: u64,
    /// To which finding a state led that was minimised, by its signs: mostly others with the same lead
    /// there too. Of a shard it also says what need not be minimised again for the other shards.
    led: HashMap<StateName, usize>,
    /// Findings whose cause became another since they were last reported.
    changed: BTreeSet<usize>,
}

impl Findings {
    /// None yet. `shares` when there are other shards.
    pub(super) fn new(
        grouping: Arc<dyn Grouping>,
        minimise: Box<dyn Minimise>,
        shares: bool,
        share: Share,
    ) -> Self {
        Self {
            grouping,
            minimise,
            groups: Groups::default(),
            shares,
            share,
            spent: Duration::ZERO,
            minimised: 0,
            led: HashMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// What of a failing trial may be its cause.
    fn signs(&self, failing: &Failing, retry: &Retry<'_, '_>) -> Cause {
        let mut signs = self.grouping.signs(&failing.crash, retry.oracle);
        let said = failing.findings.iter();
        let said = said.filter_map(|finding| {
            let seen = failing.kept.seen(finding);
            retry.output_sign(finding.kind, &seen)
        });
        signs.extend(said);
        signs
    }

    /// Counts the findings of a trial to their causes, and minimises them where these are new.
    pub(super) fn count(
        &mut self,
        failing: &Failing,
        retry: &mut Retry<'_, '_>,
        tell: &mut dyn FnMut(News),
    ) {
        let one = &mut Self::count_one;
        self.count_by(failing, retry, tell, one);
    }

    /// Counts the findings of a trial, each by what `one` says of it: its number, and that of its
    /// minimisation where it has one.
    fn count_by(
        &mut self,
        failing: &Failing,
        retry: &mut Retry<'_, '_>,
        tell: &mut dyn FnMut(News),
        one: CountOne<'_>,
    ) {
        let signs = self.signs(failing, retry);
        let mut counted = Counted::default();
        let mut ids = BTreeSet::new();
        for finding in &failing.findings {
            let case = FailedState {
                failing,
                finding,
                signs: &signs,
                said: retry.output_sign(finding.kind, &failing.kept.seen(finding)),
            };
            match one(self, &case, retry, tell) {
                Ok((id, index)) => {
                    ids.insert(id);
                    counted.minimised.extend(self.shares.then_some(index));
                }
                Err(flaky) => return tell(News::Flaky(flaky)),
            }
        }
        self.counted(ids, &mut counted);
        counted.signs = signs;
        tell(News::Counted(counted));
    }

    /// A trial counts once to each of these findings.
    fn counted(&mut self, ids: BTreeSet<usize>, counted: &mut Counted) {
        for id in ids {
            counted.ids.push(id as u64);
            if let Some(group) = self.groups.get_mut(id) {
                group.count += 1;
            }
        }
    }

    /// Finds the cause of a finding, and minimises it where that is new: the number of the finding
    /// that it counts to. Of a shard also where no trial that lacks the same was minimised, for to the
    /// other shards it may be new; then also the place of what it was minimised to. When no more
    /// states are tried, a shard leaves what is new to others alone.
    fn count_one(
        &mut self,
        case: &FailedState<'_>,
        retry: &mut Retry<'_, '_>,
        tell: &mut dyn FnMut(News),
    ) -> Result<(usize, Option<u64>), String> {
        let FailedState { failing, signs, .. } = *case;
        let state = case.state();
        let alike = (state.kind, state.depth, state.follow_up, signs.clone());
        let led = self.led.get(&alike).copied();
        let known = self.groups.find(&state, case.said.as_ref()).or(led);
        let for_others = self.shares && led.is_none();
        if let Some(known) = known
            && (!for_others || !self.has_time())
        {
            self.one_more(known, case, retry, tell);
            return Ok((known, None));
        }
        if !self.has_time() {
            return Ok((self.rough(case, retry, tell), None));
        }
        let began = Instant::now();
        let new = self.confirmed(case, retry);
        self.spent += began.elapsed();
        let Some(minimised) = new? else {
            let known = known.unwrap_or_else(|| self.rough(case, retry, tell));
            return Ok((known, None));
        };
        let cause = self.grouping.signs(&minimised.crash, retry.oracle);
        let group = Group::new(minimised, cause, case.said.clone(), failing.number);
        let mut index = None;
        if self.shares {
            index = Some(self.minimised);
            self.minimised += 1;
            tell(News::Minimised {
                id: None,
                index,
                group: Box::new(group.clone()),
            });
        }
        let (id, new) = match known {
            Some(known) => (known, false),
            None => self.groups.add(group),
        };
        self.led.insert(alike, id);
        if new {
            self.tell_of(id, tell);
        }
        Ok((id, index))
    }

    /// True while there is time to try something.
    fn has_time(&self) -> bool {
        let now = Instant::now();
        self.share.all.is_none_or(|all| self.spent < all)
            && self.share.until.is_none_or(|until| now < until)
    }

    /// When the next finding must be done.
    fn until(&self) -> Option<Instant> {
        let left = self.share.all.map(|all| all.saturating_sub(self.spent));
        let one = match (self.share.one, left) {
            (Some(one), Some(left)) => Some(one.min(left)),
            (one, left) => one.or(left),
        };
        match (from_now(one), self.share.until) {
            (Some(one), Some(all)) => Some(one.min(all)),
            (one, all) => one.or(all),
        }
    }

    /// The smallest state that shows a finding, confirmed; none where nothing can be tried. An error
    /// where the check cannot be relied on.
    fn confirmed(
        &mut self,
        case: &FailedState<'_>,
        retry: &mut Retry<'_, '_>,
    ) -> Result<Option<Minimised>, String> {
        let mut found = self.smallest(case, retry)?;
        if let Some(found) = &mut found {
            retry.name_models(found);
        }
        Ok(found)
    }

    fn smallest(
        &mut self,
        case: &FailedState<'_>,
        retry: &mut Retry<'_, '_>,
    ) -> Result<Option<Minimised>, String> {
        let Failing { crash, kept, .. } = case.failing;
        retry.begin(TRIES + CONFIRMING_TRIES, self.until());
        let mut first = retry.as_it_is(crash, case.finding, &kept.output);
        match confirm(&first, retry) {
            Confirmed::Flaky(why) => return Err(why),
            Confirmed::Unknown => return Ok(None),
            Confirmed::Stands(rate) if rate.shown < rate.tried => {
                first.rate = Some(rate);
                return Ok(Some(first));
            }
            Confirmed::Stands(rate) => first.rate = Some(rate),
        }
        retry.begin(TRIES, self.until());
        let smaller = self.minimise.minimise(crash, &case.symptom(), retry);
        let Some(mut smaller) = smaller else {
            return Ok(Some(first));
        };
        if smaller.measure() == first.measure() {
            smaller.rate = first.rate;
            return Ok(Some(smaller));
        }
        retry.begin(CONFIRMING_TRIES, self.until());
        smaller.rate = retry.rate(&smaller, CONFIRMING);
        // What is smaller and shows it now and then explains less than what shows it each time.
        Ok(Some(match smaller.rate {
            Some(rate) if rate.shown < rate.tried => first,
            _ => smaller,
        }))
    }

    /// A trial is one more of a known finding. Where that could not be minimised to its end and this
    /// trial's state is smaller, it begins there again.
    fn one_more(
        &mut self,
        known: usize,
        case: &FailedState<'_>,
        retry: &mut Retry<'_, '_>,
        tell: &mut dyn FnMut(News),
    ) {
        let (has_time, until) = (self.has_time(), self.until());
        let Some(group) = self.groups.get_mut(known) else {
            return;
        };
        let crash = &case.failing.crash;
        let stands = group
            .minimised
            .rate
            .is_none_or(|rate| rate.shown == rate.tried);
        let smaller = crash.size() < group.minimised.crash.size();
        let shown = &group.minimised.finding;
        let same = (shown.kind, shown.follow_up) == (case.finding.kind, case.finding.follow_up);
        if group.minimised.whole || !stands || !smaller || !same || !has_time || self.shares {
            return;
        }
        let began = Instant::now();
        retry.begin(TRIES, until);
        let better = self.minimise.minimise(crash, &case.symptom(), retry);
        self.spent += began.elapsed();
        let Some(mut better) = better else {
            return;
        };
        let cause = self.grouping.signs(&better.crash, retry.oracle);
        if better.measure() < group.minimised.measure() && cause.is_subset(&group.cause) {
            retry.begin(CONFIRMING_TRIES, until);
            better.rate = retry.rate(&better, CONFIRMING);
            retry.name_models(&mut better);
            group.shrink(better, cause);
            self.tell_of(known, tell);
        }
    }

    /// Where a finding belongs that cannot be minimised any more: to one that was not either and has
    /// something in common with it, whose cause is then what both have, or to one of its own.
    fn rough(
        &mut self,
        case: &FailedState<'_>,
        retry: &mut Retry<'_, '_>,
        tell: &mut dyn FnMut(News),
    ) -> usize {
        let Failing { crash, kept, .. } = case.failing;
        let cause = self.grouping.signs(crash, retry.oracle);
        let state = FailingState {
            signs: cause.clone(),
            ..case.state()
        };
        let rough = self.groups.find_rough(crash, &state);
        if let Some(id) = rough
            && let Some(group) = self.groups.get_mut(id)
        {
            if !group.minimised.whole && has_in_common(&group.cause, &cause) {
                group.narrow(&cause);
            }
            self.changed.insert(id);
            return id;
        }
        let mut as_it_is = retry.as_it_is(crash, case.finding, &kept.output);
        retry.begin(0, self.share.until);
        retry.name_models(&mut as_it_is);
        let group = Group::new(as_it_is, cause, case.said.clone(), case.failing.number);
        let (id, new) = self.groups.add(group);
        if new {
            self.tell_of(id, tell);
        }
        id
    }

    /// Tells of the findings whose cause became another when more trials were counted to them.
    pub(super) fn tell_changed(&mut self, tell: &mut dyn FnMut(News)) {
        for id in std::mem::take(&mut self.changed) {
            self.tell_of(id, tell);
        }
    }

    fn tell_of(&self, id: usize, tell: &mut dyn FnMut(News)) {
        if let Some(group) = self.groups.all().get(id) {
            tell(News::Minimised {
                id: Some(id as u64),
                index: None,
                group: Box::new(group.clone()),
            });
        }
    }

    /// The groups.
    pub(super) fn into_groups(self) -> Groups {
        self.groups
    }

    /// Counts the findings of a trial as they are, when trying states failed in plugpull.
    pub(super) fn count_as_they_are(
        &mut self,
        failing: &Failing,
        retry: &mut Retry<'_, '_>,
        tell: &mut dyn FnMut(News),
    ) {
        let rough = &mut |findings: &mut Self,
                          case: &FailedState<'_>,
                          retry: &mut Retry<'_, '_>,
                          tell: &mut dyn FnMut(News)| {
            Ok((findings.rough(case, retry, tell), None))
        };
        self.count_by(failing, retry, tell, rough);
    }
}

/// Tries a state until it was tried three times, and asks the check three times about copies of one
/// recovered directory.
fn confirm(first: &Minimised, retry: &mut Retry<'_, '_>) -> Confirmed {
    let Some(rate) = retry.rate(first, CONFIRMING) else {
        return Confirmed::Unknown;
    };
    if first.finding.kind == FindingKind::Hung && retry.comes_up(first) {
        return Confirmed::Flaky(
            "it did not come up within the time that follows from the recorded run, and did when it \
             was given longer: states are given longer from now on"
                .into(),
        );
    }
    let said = retry.checked_again(&first.crash, CONFIRMING as usize);
    match said {
        Some(said) if said.windows(2).any(|two| two[0] != two[1]) => {
            Confirmed::Flaky(flaky(&said, rate))
        }
        _ => Confirmed::Stands(rate),
    }
}

/// What a check said that cannot be relied on.
fn flaky(said: &[Vec<FindingKind>], rate: Rate) -> String {
    let words = |kinds: &Vec<FindingKind>| match kinds.as_slice() {
        [] => "nothing wrong".to_owned(),
        all => all
            .iter()
            .map(|kind| format!("{kind:?}"))
            .collect::<Vec<_>>()
            .join(" and "),
    };
    let said: Vec<String> = said.iter().map(words).collect();
    format!(
        "the check is flaky: of three copies of one recovered directory it said: {}; the state itself \
         failed in {} of {} tries",
        said.join("; "),
        rate.shown,
        rate.tried
    )
}
