//! The rules of a model as implications between whole updates that are lost.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};

use super::WholeLosses;
use crate::fs::Ino;
use crate::persist::apply::sectors;
use crate::persist::legalize::Rules;
use crate::persist::model::Overwrite;
use crate::persist::update::{DataFirst, Durability, Journal, Update, UpdateKind, pages, write_of};

/// What is lost with what, under these rules.
pub(super) fn implications(rules: &Rules<'_, '_>) -> WholeLosses {
    let mut made = Making::new(rules);
    made.needs();
    made.names();
    made.in_order();
    made.blocks();
    made.sectors();
    made.lengths();
    made.whole
}

/// Makes the implications, rule by rule as [`Rules::legalize`] has them.
struct Making<'r, 'w, 'a> {
    rules: &'r Rules<'w, 'a>,
    open: &'w [Update<'a>],
    whole: WholeLosses,
    /// By place: the last change of metadata before it that the journal takes at once, which takes with it
    /// what comes later.
    before: Vec<Option<usize>>,
}

fn pending(update: &Update<'_>) -> bool {
    update.durability != Durability::Durable
}

impl<'r, 'w, 'a> Making<'r, 'w, 'a> {
    fn new(rules: &'r Rules<'w, 'a>) -> Self {
        let open = rules.open;
        let all = open.iter().enumerate();
        let fixed = all.filter(|(_, update)| !pending(update)).map(|(at, _)| at);
        let ordered = rules.model.metadata_order().is_ordered();
        let mut last = None;
        let before = |(at, update): (usize, &Update<'_>)| {
            let before = last;
            let heads = update.kind.is_metadata() && update.journal == Journal::AtOnce;
            if ordered && pending(update) && heads {
                last = Some(at);
            }
            before
        };
        Self {
            rules,
            open,
            whole: WholeLosses {
                ids: open.iter().map(|update| update.id).collect(),
                fixed: fixed.collect(),
                with: vec![Vec::new(); open.len()],
                with_all: Vec::new(),
            },
            before: open.iter().enumerate().map(before).collect(),
        }
    }

    fn pending(&self) -> impl Iterator<Item = (usize, &'w Update<'a>)> + use<'w, 'a> {
        let all = self.open.iter().enumerate();
        all.filter(|(_, update)| pending(update))
    }

    /// The second is lost with the first.
    fn with(&mut self, lost: usize, with: usize) {
        if !self.whole.fixed.contains(lost) {
            self.whole.with[lost].push(with);
        }
    }

    /// What needs something that is lost is lost.
    fn needs(&mut self) {
        for (at, update) in self.pending() {
            for need in &update.needs {
                if let Some(need) = self.whole.place(*need) {
                    self.with(need, at);
                }
            }
        }
    }

    /// Changes of one group of metadata, and the two names of an exchange.
    fn names(&mut self) {
        let mut groups: HashMap<usize, usize> = HashMap::new();
        for (at, update) in self.pending() {
            if update.kind.is_metadata()
                && let Some(earlier) = groups.insert(update.group, at)
            {
                self.with(earlier, at);
            }
            let name = matches!(update.kind, UpdateKind::Name { .. });
            let next = self.open.get(at + 1);
            if name && next.is_some_and(|next| next.group == update.group) {
                self.with(at + 1, at);
            }
        }
    }

    /// What a journal or a device without a cache of its own keeps in order.
    fn in_order(&mut self) {
        let in_new_blocks = self.rules.model.overwrite() == Overwrite::InNewBlocks;
        let mut content = None;
        for (at, update) in self.pending() {
            if let Some(before) = self.before[at]
                && update.journal != Journal::Never
                && (update.kind.is_metadata() || in_new_blocks)
            {
                self.with(before, at);
            }
            if self.rules.device.sequential && update.kind.is_content() {
                if let Some(before) = content {
                    self.with(before, at);
                }
                if update.durability == Durability::Pending {
                    content = Some(at);
                }
            }
        }
    }

    /// A page has no block where the journal lost what came before that was given to it.
    fn blocks(&mut self) {
        let mut given: HashMap<(Ino, u64), Vec<usize>> = HashMap::new();
        for (at, update) in self.pending() {
            let Some((ino, data)) = write_of(self.rules.records, update) else {
                continue;
            };
            for page in pages(data) {
                let by = given.entry((ino, page)).or_default();
                if update.journal != Journal::Never
                    && update.is_fresh(page)
                    && let Some(before) = self.before[at]
                {
                    by.push(before);
                }
                for before in by.iter() {
                    if !self.whole.fixed.contains(*before) {
                        self.whole.with[*before].push(at);
                    }
                }
            }
        }
    }

    /// A sector or page that is written brings along what had been written to it.
    fn sectors(&mut self) {
        let mut in_sector: HashMap<(Ino, u64), usize> = HashMap::new();
        // Writes that reach the disk in whole pages, and those that were given up.
        let mut in_page: BTreeMap<(Ino, u64), Vec<usize>> = BTreeMap::new();
        let mut given_up: BTreeMap<(Ino, u64), Vec<usize>> = BTreeMap::new();
        for (at, update) in self.open.iter().enumerate() {
            let Some((ino, data)) = write_of(self.rules.records, update) else {
                continue;
            };
            let durable = update.durability == Durability::Durable;
            let abandoned = update.durability == Durability::Abandoned;
            for page in pages(data) {
                let page = (ino, page);
                if !durable {
                    for earlier in in_page.get(&page).into_iter().flatten() {
                        self.whole.with[*earlier].push(at);
                    }
                }
                if !abandoned {
                    for earlier in given_up.get(&page).into_iter().flatten() {
                        // With what is durable it is there itself.
                        match durable {
                            true => drop(self.whole.fixed.insert(*earlier)),
                            false => self.whole.with[*earlier].push(at),
                        }
                    }
                }
                if !durable && self.rules.whole_page(update, page.1) {
                    in_page.entry(page).or_default().push(at);
                }
                if abandoned {
                    given_up.entry(page).or_default().push(at);
                }
            }
            if durable {
                continue;
            }
            for sector in sectors(data, self.rules.device.sector) {
                if let Some(earlier) = in_sector.insert((ino, sector), at) {
                    self.with(earlier, at);
                }
            }
        }
    }

    /// A length that must not come before its data.
    fn lengths(&mut self) {
        let mut data_of: HashMap<Ino, Vec<usize>> = HashMap::new();
        for (at, update) in self.pending() {
            if let UpdateKind::Data { ino } = update.kind {
                data_of.entry(ino).or_default().push(at);
            }
        }
        for (at, update) in self.pending() {
            let UpdateKind::Size { ino, .. } = update.kind else {
                continue;
            };
            match update.after {
                DataFirst::Nothing => {}
                DataFirst::Write(data) => {
                    if let Some(data) = self.whole.place(data) {
                        self.with(data, at);
                    }
                }
                DataFirst::AnyData => {
                    let data = data_of.get(&ino).map_or(&[][..], Vec::as_slice);
                    for later in data {
                        if self.open[*later].record >= update.record {
                            self.with(at, *later);
                        }
                    }
                    if !data.is_empty() {
                        self.whole.with_all.push((data.to_vec(), at));
                    }
                }
            }
        }
    }
}
