//! How entries of remotes get in: checked, stored durably, and queued for the sweep.

mod many;

use std::sync::Arc;

use sync_protocol::{
    AwaitedBodies, Dag, DeviceKey, Entry, EntryId, Finals, Invalid, Malformed, Offered,
    SignedHeader, Travelled, VerifiedEntry,
};

use crate::error::Stop;
use crate::replica::{Context, FinalsAt, Replica};
use crate::upgrade::Parking;

impl Replica {
    /// Takes in entries from a remote: checks, stores durably, queues for the sweep. Gives back
    /// what is missing to go on, or why the remote is at fault. `is_history`: they come with the
    /// certified cut that covers them, so they take nobody's share.
    pub(crate) fn ingest(
        &mut self,
        encoded: Vec<Vec<u8>>,
        from: DeviceKey,
        is_history: bool,
        ctx: &mut Context<'_>,
    ) -> Result<Ingested, Stop> {
        let mut ingested = Ingested::default();
        if ctx.is_short_of_room {
            // They are still there, and asked for at the next comparison.
            return Ok(ingested);
        }
        let mut taken: Vec<Arc<Entry>> = Vec::new();
        let mut arrived = Vec::with_capacity(encoded.len());
        for opened in many::open(&encoded) {
            match opened {
                Ok(travelled) if !is_history && self.has_no_room_for(&travelled, &from) => {
                    ingested.refused = true;
                }
                Ok(Travelled::Whole(entry)) => {
                    self.admit(Arc::new(entry), from, &mut arrived, &mut ingested, ctx)?;
                }
                Ok(Travelled::Stub(stub)) => arrived.push(Arrived::Stub(Box::new(stub))),
                // A newer peer wrote it. It comes again when this one has been updated.
                Err(Malformed::UnknownFormat { .. }) => ingested.newer += 1,
                Err(error) => {
                    ingested.fault = Some(format!("sent an entry that is malformed: {error}"));
                }
            }
        }
        self.offer(arrived, &mut taken, &mut ingested, from, ctx)?;
        if !is_history {
            self.ration_out(&taken, ctx);
        }
        self.keep(taken, &mut ingested, from, ctx)?;
        Ok(ingested)
    }

    /// Whether so much of its author is held back that no more is taken in, which costs next to
    /// nothing to find out. What is here already is not asked for again.
    fn has_no_room_for(&self, travelled: &Travelled, from: &DeviceKey) -> bool {
        let (id, author) = match travelled {
            Travelled::Whole(entry) => (entry.id, entry.header.author),
            Travelled::Stub(stub) => (stub.id(), stub.header.author),
        };
        self.ration.is_full(&author, from) && !self.dag.contains(&id)
    }

    /// Takes in an entry that comes by itself: its body has come, or a module that it publishes.
    pub(crate) fn ingest_one(
        &mut self,
        entry: Arc<Entry>,
        from: DeviceKey,
        ctx: &mut Context<'_>,
    ) -> Result<Ingested, Stop> {
        let mut ingested = Ingested::default();
        let mut taken = Vec::new();
        let mut arrived = Vec::new();
        self.admit(entry, from, &mut arrived, &mut ingested, ctx)?;
        self.offer(arrived, &mut taken, &mut ingested, from, ctx)?;
        self.ration_out(&taken, ctx);
        self.keep(taken, &mut ingested, from, ctx)?;
        Ok(ingested)
    }

    /// Lets an entry through to the DAG, unless it has to wait for a module.
    fn admit(
        &mut self,
        entry: Arc<Entry>,
        from: DeviceKey,
        arrived: &mut Vec<Arrived>,
        ingested: &mut Ingested,
        ctx: &Context<'_>,
    ) -> Result<(), Stop> {
        match self.park(&entry, from, ctx)? {
            Parking::Ready => arrived.push(Arrived::Whole(entry)),
            Parking::Parked => {}
            Parking::Full => ingested.full = true,
        }
        Ok(())
    }

    /// Hands the DAG what arrived.
    fn offer(
        &mut self,
        arrived: Vec<Arrived>,
        taken: &mut Vec<Arc<Entry>>,
        ingested: &mut Ingested,
        from: DeviceKey,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let finals = FinalsAt::new(&self.log, self.cut.height);
        let mut invalid = Vec::new();
        let is_new = |entry: &Entry| !self.dag.contains(&entry.id);
        for arrived in many::verify(arrived, is_new) {
            let latest = ctx.own_wall.saturating_add(5_000_000);
            if planted!(LocalClockValidity) && arrived.time() > Some(latest) {
                ingested.fault = Some("sent an entry of the future".to_owned());
                continue;
            }
            match arrived {
                Arrived::Whole(entry) => {
                    let id = entry.id;
                    let offered = self.dag.offer(entry, Some(from), &finals);
                    // A spoilt signature says nothing of the entry.
                    if let Offered::Invalid(why) = &offered
                        && !matches!(why, Invalid::Signature(_))
                    {
                        invalid.push(id);
                    }
                    ingested.note(offered, taken);
                }
                Arrived::Verified(entry) => {
                    let offered = self.dag.offer_verified(&entry, from, &finals);
                    if let Offered::Invalid(_) = &offered {
                        invalid.push(entry.entry().id);
                    }
                    ingested.note(offered, taken);
                }
                Arrived::Stub(stub) => {
                    let offer = Offer { stub: *stub, from };
                    offer.take_in(&self.dag, &mut self.awaited, &finals, ingested);
                }
            }
        }
        finals.checked()?;
        if !invalid.is_empty() {
            self.note_invalid(&invalid, ctx)?;
        }
        Ok(())
    }

    /// Stores what came in, and queues it for the sweep.
    fn keep(
        &mut self,
        taken: Vec<Arc<Entry>>,
        ingested: &mut Ingested,
        from: DeviceKey,
        ctx: &Context<'_>,
    ) -> Result<(), Stop> {
        ingested.missing.sort_unstable();
        ingested.missing.dedup();
        let (awaited, parked) = (&self.awaited, &self.parked);
        ingested.missing.retain(|id| {
            !self.dag.contains(id) && !parked.holds(id) && !awaited.is_offered_by(id, &from)
        });
        if !taken.is_empty() {
            self.accepted(&taken, Some(from), ctx.now.tick);
            self.log.begin_append(taken)?;
        }
        Ok(())
    }
}

/// An entry as it arrived.
enum Arrived {
    /// Nobody has looked at its signature.
    Whole(Arc<Entry>),
    Verified(VerifiedEntry),
    Stub(Box<SignedHeader>),
}

impl Arrived {
    /// When a whole entry says that it was written.
    fn time(&self) -> Option<u64> {
        match self {
            Self::Whole(entry) => Some(entry.header.hlc.0),
            Self::Verified(entry) => Some(entry.entry().header.hlc.0),
            Self::Stub(_) => None,
        }
    }
}

/// A stub that a remote sent.
struct Offer {
    stub: SignedHeader,
    from: DeviceKey,
}

impl Offer {
    /// Notes that the body can be had, and asks for parents meanwhile.
    fn take_in(
        self,
        dag: &Dag,
        awaited: &mut AwaitedBodies,
        finals: &FinalsAt<'_>,
        ingested: &mut Ingested,
    ) {
        let header = &self.stub.header;
        let id = self.stub.id();
        if header.database != dag.database() && !planted!(ForeignSignature) {
            ingested.fault = Some("sent an entry of another database".to_owned());
            return;
        }
        if dag.contains(&id) || dag.is_pending(&id) || finals.final_entry(&id).is_some() {
            ingested.known += 1;
            return;
        }
        let here = |id: &EntryId| {
            dag.contains(id) || dag.is_pending(id) || finals.final_entry(id).is_some()
        };
        let missing = header.parents.iter().copied().filter(|id| !here(id));
        let missing: Vec<EntryId> = missing.collect();
        let cut_missing = header.base.height > dag.cut().height;
        match awaited.offer(self.stub, self.from) {
            Ok(true) => {
                ingested.missing.extend(missing);
                ingested.cut_missing |= cut_missing;
            }
            Ok(false) => ingested.full = true,
            Err(bad) => ingested.fault = Some(format!("sent an entry that is invalid: {bad}")),
        }
    }
}

/// What came of entries that a remote sent.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    /// Parents to ask for.
    pub(crate) missing: Vec<EntryId>,
    /// A cut that an entry names is not here yet.
    pub(crate) cut_missing: bool,
    /// How many were here already.
    pub(crate) known: usize,
    /// The waiting room for this remote is full.
    pub(crate) full: bool,
    /// So much of an author is held back that not all was taken in. It comes again.
    pub(crate) refused: bool,
    /// How many have a format of the future.
    pub(crate) newer: usize,
    /// The remote broke a rule.
    pub(crate) fault: Option<String>,
}

impl Ingested {
    fn note(&mut self, offered: Offered, taken: &mut Vec<Arc<Entry>>) {
        match offered {
            Offered::Accepted(entries) => taken.extend(entries),
            Offered::Pending { missing, cut } => {
                self.missing.extend(missing);
                self.cut_missing |= cut.is_some();
            }
            Offered::Known => self.known += 1,
            Offered::Invalid(why) => {
                self.fault = Some(format!("sent an entry that is invalid: {why}"));
            }
            Offered::Full => self.full = true,
        }
    }
}
