//! What is held back, and when it is let go.

use std::collections::BTreeSet;

use sync_protocol::limits::AHEAD_US_MAX;
use sync_protocol::{DeviceKey, Entry, EntryId, Hlc, Ordered, Stub, Tick};

use super::Why;
use super::account::Held;
use crate::effect::{Effect, NoteLevel};
use crate::limits::RELEASE_EVERY_MS;
use crate::replica::{Context, Replica};

/// What becomes of an entry that could run.
enum Verdict {
    Runs,
    Waits(Why),
}

impl Replica {
    /// Decides which of the entries that just came in may run now. Each comes after its parents.
    pub(crate) fn ration_out<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a std::sync::Arc<Entry>>,
        ctx: &mut Context<'_>,
    ) {
        let time = self.time(ctx);
        for entry in entries {
            // What is quarantined does not run at all.
            if !self.dag.is_clean(&entry.id) {
                continue;
            }
            let author = entry.header.author;
            if author == ctx.device {
                // An old one of ours, from before a backup was restored.
                self.let_go_below(&entry.id, None, ctx.now.tick);
                continue;
            }
            if let Verdict::Waits(why) = self.verdict(entry, None, time, ctx) {
                self.hold_back(entry, false, why, ctx);
            }
        }
    }

    fn hold_back(&mut self, entry: &Stub, is_paid: bool, why: Why, ctx: &mut Context<'_>) {
        if !self.dag.hold(&entry.id) {
            return;
        }
        let author = entry.header.author;
        let now = ctx.now.tick;
        let account = self.ration.account(&author, now);
        account.hold(entry.position(0), entry.bytes, is_paid, why);
        if account.tell() {
            ctx.effects.push(Effect::Note {
                level: NoteLevel::Warn,
                text: format!(
                    "database {}: entries of member {author} are held back and run later: {why}",
                    self.id.short()
                ),
            });
        }
        let soon = now.plus_ms(RELEASE_EVERY_MS);
        self.ration.release_at.get_or_insert(soon);
    }

    /// Whether an entry may run. If so its author pays for it, and what it builds on is let go.
    fn verdict(
        &mut self,
        entry: &Stub,
        held: Option<Held>,
        time: Hlc,
        ctx: &Context<'_>,
    ) -> Verdict {
        let (author, now) = (entry.header.author, ctx.now.tick);
        if entry.header.hlc.0 > time.0.saturating_add(AHEAD_US_MAX) {
            return Verdict::Waits(Why::Ahead);
        }
        let account = self.ration.account(&author, now);
        if !account.own.is_some() {
            return Verdict::Waits(account.used_up().unwrap_or(Why::Entries));
        }
        let mut builds_on_held = false;
        if self.dag.held_len() > 0 {
            for parent in &entry.header.parents {
                if !self.dag.is_held(parent) {
                    continue;
                }
                let parent = self.dag.get(parent);
                if parent.is_some_and(|parent| parent.header.author == author) {
                    // That comes first.
                    return Verdict::Waits(self.ration.account(&author, now).why());
                }
                builds_on_held = true;
            }
        }
        if builds_on_held {
            if !self.ration.account(&author, now).vouched.is_some() {
                return Verdict::Waits(Why::Others);
            }
            self.let_go_below(&entry.id, Some(author), now);
        }
        if !held.is_some_and(|held| held.is_paid) {
            self.ration
                .account(&author, now)
                .own
                .take_entry(entry.bytes);
        }
        self.ration.unrun.insert(entry.id, None);
        Verdict::Runs
    }

    /// Lets go of all that an entry builds on, on the account of those who wrote it, also if their
    /// shares are used up, and of the one who vouches for it.
    fn let_go_below(&mut self, id: &EntryId, voucher: Option<DeviceKey>, now: Tick) {
        for id in self.dag.held_below(id) {
            let Some(below) = self.dag.get(&id).map(std::sync::Arc::clone) else {
                continue;
            };
            let (author, position) = (below.header.author, below.position(0));
            let account = self.ration.account(&author, now);
            let is_paid = account.held(&position).is_some_and(|held| held.is_paid);
            account.unhold(&position);
            if !is_paid {
                account.own.take_entry(below.bytes);
            }
            if let Some(voucher) = voucher {
                let account = self.ration.account(&voucher, now);
                account.vouched.take_entry(below.bytes);
            }
            self.ration.unrun.insert(id, voucher);
            self.dag.let_go(&id);
            self.dirty = true;
        }
    }

    /// Lets go of what may run by now. `at_once`: something has changed that it waits for.
    pub(crate) fn release(&mut self, at_once: bool, ctx: &mut Context<'_>) {
        let now = ctx.now.tick;
        if self
            .ration
            .release_at
            .is_none_or(|due| due > now && !at_once)
        {
            return;
        }
        if self.ration.held_len() != self.dag.held_len() {
            // Some are quarantined now.
            let dag = &self.dag;
            for account in self.ration.accounts.values_mut() {
                account.retain(|position| dag.is_held(&position.entry));
            }
        }
        let time = self.time(ctx);
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            let authors: Vec<DeviceKey> = self.ration.accounts.keys().copied().collect();
            for author in authors {
                goes_on |= self.release_of(&author, time, ctx);
            }
        }
        self.ration.release_at = self.next_release(time, now);
    }

    /// The same of one author. True if something was let go.
    fn release_of(&mut self, author: &DeviceKey, time: Hlc, ctx: &Context<'_>) -> bool {
        let mut some = false;
        while let Some(account) = self.ration.accounts.get_mut(author)
            && let Some(first) = account.first()
        {
            let held = account.held(&first);
            let Some(entry) = self.dag.get(&first.entry).map(std::sync::Arc::clone) else {
                self.ration.unhold(&first);
                continue;
            };
            if let Verdict::Waits(why) = self.verdict(&entry, held, time, ctx) {
                self.ration.account(author, ctx.now.tick).set_why(why);
                break;
            }
            self.dag.let_go(&first.entry);
            self.ration.unhold(&first);
            self.dirty = true;
            some = true;
        }
        some
    }

    /// When something may be let go, as far as time alone decides.
    fn next_release(&mut self, time: Hlc, now: Tick) -> Option<Tick> {
        let quotas = self.ration.quotas;
        let mut next: Option<Tick> = None;
        for account in self.ration.accounts.values() {
            let Some(first) = account.first() else {
                continue;
            };
            let ahead = first.hlc.0.saturating_sub(AHEAD_US_MAX);
            let mut wait_us = ahead.saturating_sub(time.0);
            wait_us = wait_us.max(account.own.wait_us(&quotas));
            if account.why() == Why::Others {
                wait_us = wait_us.max(account.vouched.wait_us(&quotas));
            }
            // A few at a time, or each would cost a sweep.
            let due = Tick(now.0.saturating_add(wait_us)).max(now.plus_ms(RELEASE_EVERY_MS));
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        next
    }

    /// Begins a sweep.
    pub(crate) fn begin_rationing(&mut self) {
        self.ration.cut_short.clear();
    }

    /// Whether an entry that was to run in this sweep is held back after all, because its author's
    /// calls have used up its units. `rest` is what was to run from it on, in order.
    pub(crate) fn keeps_back(
        &mut self,
        ordered: &Ordered,
        rest: &[Ordered],
        ctx: &mut Context<'_>,
    ) -> bool {
        let id = &ordered.entry.id;
        let Some(vouched_by) = self.ration.unrun.get(id).copied() else {
            // It ran before, or has just been held back.
            return self.dag.held_len() > 0 && self.dag.is_held(id);
        };
        let (author, now) = (ordered.entry.header.author, ctx.now.tick);
        if self.ration.account(&author, now).own.has_units() {
            return false;
        }
        let vouched = |voucher: DeviceKey| {
            let account = self.ration.account(&voucher, now);
            account.vouched.has_units()
        };
        if vouched_by.is_some_and(vouched) || !self.ration.cut_short.insert((author, vouched_by)) {
            return false;
        }
        self.cut_short(&author, rest, ctx);
        self.dag.is_held(id)
    }

    /// Holds back what has not run of an author's entries, and what builds on them, unless something
    /// that has run or is our own builds on it.
    fn cut_short(&mut self, author: &DeviceKey, rest: &[Ordered], ctx: &mut Context<'_>) {
        let now = ctx.now.tick;
        let mut may_wait: BTreeSet<EntryId> = BTreeSet::new();
        for ordered in rest {
            let header = &ordered.entry.header;
            let Some(vouched_by) = self.ration.unrun.get(&ordered.entry.id).copied() else {
                continue;
            };
            let vouched = vouched_by.is_some_and(|voucher| {
                let account = self.ration.account(&voucher, now);
                account.vouched.has_units()
            });
            let follows = header
                .parents
                .iter()
                .any(|parent| may_wait.contains(parent));
            if follows || header.author == *author && !vouched {
                may_wait.insert(ordered.entry.id);
            }
        }
        let mut needed: BTreeSet<EntryId> = BTreeSet::new();
        for ordered in rest.iter().rev() {
            let id = &ordered.entry.id;
            if !may_wait.contains(id) || needed.contains(id) {
                let parents = ordered.entry.header.parents.iter();
                needed.extend(parents.filter(|parent| may_wait.contains(*parent)));
            }
        }
        for ordered in rest {
            let entry = &ordered.entry;
            if may_wait.contains(&entry.id) && !needed.contains(&entry.id) {
                let why = match entry.header.author == *author {
                    true => Why::Units,
                    false => Why::Others,
                };
                self.hold_back(entry, true, why, ctx);
                self.ration.unrun.remove(&entry.id);
            }
        }
    }
}
