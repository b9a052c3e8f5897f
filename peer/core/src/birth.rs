//! How a database comes to be on a peer: made here by `publish`, or fetched by `join`. Either way
//! its life starts with the genesis entry, run on empty tables, and cut 0 over it (DESIGN 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use module_host::Module;
use store::{Log, Settlement, State, StateOptions};
use sync_protocol::{
    AwaitedBodies, BlobHash, Caller, Cut, CutDraft, CutId, Dag, DatabaseId, DeviceKey, Entry,
    EntryId, Genesis, Options, Rights, SecretKey, SystemCall, Term, order_root,
};

use crate::addresses::Addresses;
use crate::batch::Batch;
use crate::bodies::Bodies;
use crate::effect::Effect;
use crate::error::{Stop, refuse};
use crate::execute::Executor;
use crate::finality::contest::Contest;
use crate::finality::right_rows;
use crate::identity::Claims;
use crate::local_views::RecentCalls;
use crate::memory::cache_secret;
use crate::modules::Modules;
use crate::neighbours::Neighbours;
use crate::outcome::CallOutcome;
use crate::quotas::Ration;
use crate::replica::{Context, FinalsAt, Health, OwnChain, Replica, latest_final};
use crate::reply::{ErrorKind, RequestError};
use crate::schedules::Firing;
use crate::system_tables::{self, RIGHT};
use crate::upgrade::{Parked, Ruling, check_filters};

/// Purpose of the key that can hand finality over when its finaliser is lost.
const RECOVERY_CONTEXT: &str = "tombolo recovery key 1";
/// Purpose of the genesis nonce.
const NONCE_CONTEXT: &str = "tombolo nonce 1";

/// What a new database gets unless its creator says otherwise (DESIGN 10).
pub(crate) fn default_options(sequential_auto_inc: bool) -> Options {
    Options {
        sequential_auto_inc,
        memory_bytes_max: 64 << 20,
        units_per_invocation: 1_000_000_000,
        units_per_entry: 2_000_000_000,
        call_depth_max: 1_000,
    }
}

/// A log, rows and a module that have not lived yet.
pub(crate) struct Unborn {
    pub(crate) entry: Arc<Entry>,
    pub(crate) genesis: Genesis,
    pub(crate) log: Log,
    pub(crate) state: State,
    pub(crate) executor: Executor,
}

/// Where the rows of an [`Unborn`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BaseFile {
    /// In the database's base.
    Own,
    /// In an empty second one, which may take its place later.
    Spare,
}

/// An [`Unborn`] whose genesis has run; nothing is written yet.
pub(crate) struct Newborn {
    parts: Unborn,
    pub(crate) outcome: CallOutcome,
    pub(crate) settlement: Settlement,
    console: Vec<String>,
}

impl Unborn {
    /// Opens the files of a database, whatever they hold. The rows say which module rules; `first`
    /// is the one of the genesis, if it is prepared already.
    pub(crate) fn open(
        entry: Arc<Entry>,
        genesis: Genesis,
        first: Option<Module>,
        log: Log,
        ctx: &Context<'_>,
    ) -> Result<Self, Stop> {
        Self::on(BaseFile::Own, entry, genesis, first, log, ctx)
    }

    /// The same on a base file of the caller's choice.
    pub(crate) fn on(
        file: BaseFile,
        entry: Arc<Entry>,
        genesis: Genesis,
        first: Option<Module>,
        log: Log,
        ctx: &Context<'_>,
    ) -> Result<Self, Stop> {
        let id = DatabaseId::from(entry.id);
        let backend = match file {
            BaseFile::Own => ctx.disk.base(&id)?,
            BaseFile::Spare => ctx.disk.spare_base(&id)?,
        };
        let options = StateOptions {
            sequential_auto_inc: genesis.options.sequential_auto_inc,
            base_cache_bytes: ctx.caches.base_bytes,
            cache_secret: cache_secret(ctx.key),
        };
        let mut module = None;
        let mut state = State::open_choosing(backend, options, |stored| {
            let ruling = Ruling::of(stored, &genesis, first, ctx.modules, ctx.disk)?;
            module = Some(ruling.module);
            Ok::<_, Stop>(ruling.schema)
        })?
        .spilling_to(ctx.disk.spill(&id)?, ctx.memory.overlay);
        state.set_aside(ctx.disk.aside());
        let module = module.ok_or(Stop::Damaged {
            what: "module",
            database: id,
        })?;
        let executor = Executor::new(module, genesis.options, id)?;
        Ok(Self {
            entry,
            genesis,
            log,
            state,
            executor,
        })
    }

    /// Runs the genesis on the empty tables and plans the settling of cut 0.
    pub(crate) fn run(mut self) -> Result<Newborn, Stop> {
        let (state, run) = self.executor.run(self.state, &self.entry, None)?;
        let through = self.entry.position(0);
        let extra = right_rows(&state, &through, &Rights::default(), 0, &BTreeSet::new())?;
        let settlement = state.plan_settle(Some(&through), extra)?;
        let nothing = || CallOutcome::Refused("a genesis holds one call".to_owned());
        let outcome = run.outcomes.into_iter().next().unwrap_or_else(nothing);
        Ok(Newborn {
            parts: Self { state, ..self },
            outcome,
            settlement,
            console: run.console,
        })
    }
}

impl Newborn {
    /// What cut 0 says of this genesis, but for its certificate.
    pub(crate) fn cut_draft(&self) -> CutDraft {
        CutDraft {
            database: DatabaseId::from(self.parts.entry.id),
            term: Term::FIRST,
            height: 0,
            parent: CutId::ZERO,
            engine: self.parts.genesis.engine,
            frontier: vec![self.parts.entry.id],
            order_root: order_root(&[self.parts.entry.id]),
            state_root: self.settlement.root,
            finalisers: self.parts.genesis.finalisers.clone(),
        }
    }

    /// Writes cut 0, log first. `in_log`: a crash left it in the log already.
    pub(crate) fn settle(
        mut self,
        cut: Cut,
        in_log: bool,
        own: OwnChain,
        name: String,
        ctx: &mut Context<'_>,
    ) -> Result<Replica, Stop> {
        if !in_log {
            self.parts
                .log
                .put_cut(&cut, std::slice::from_ref(&self.parts.entry))?;
        }
        self.parts.state.settle(self.settlement, 0)?;
        let id = DatabaseId::from(self.parts.entry.id);
        if self.parts.entry.header.author == ctx.device && !in_log {
            ctx.effects.extend(
                self.console
                    .into_iter()
                    .map(|line| Effect::Console { database: id, line }),
            );
        }
        living(self.parts, cut, own, name, ctx)
    }
}

/// A replica at `cut`, which the state has settled.
pub(crate) fn living(
    parts: Unborn,
    cut: Cut,
    own: OwnChain,
    name: String,
    ctx: &Context<'_>,
) -> Result<Replica, Stop> {
    let id = DatabaseId::from(parts.entry.id);
    let rights = system_tables::rights(&parts.state.final_rows(RIGHT)?);
    let finals = FinalsAt::new(&parts.log, cut.height);
    let final_time = latest_final(&cut, &finals);
    finals.checked()?;
    let mut replica = Replica {
        id,
        name,
        aliases: Vec::new(),
        creator: parts.entry.header.author,
        genesis: parts.genesis,
        log: parts.log,
        dag: Dag::new(id, cut.reference(), cut.frontier.clone(), rights.clone()),
        awaited: AwaitedBodies::default(),
        cut,
        rights,
        executor: parts.executor,
        state: Some(parts.state),
        executed: Vec::new(),
        trace_bytes: 0,
        dirty: false,
        behind: false,
        next_due: None,
        final_time,
        members: BTreeMap::new(),
        members_stale: true,
        own,
        batch: Batch::default(),
        expected: BTreeMap::new(),
        bodies: Bodies::default(),
        ration: Ration::new(ctx.quotas),
        accepted_at: BTreeMap::new(),
        tail_since: None,
        logged: BTreeSet::new(),
        told_events: BTreeSet::new(),
        recent_calls: RecentCalls::default(),
        firing: Firing::default(),
        events: Vec::new(),
        links: BTreeMap::new(),
        history: Vec::new(),
        neighbours: Neighbours::default(),
        addresses: Addresses::default(),
        fresh: Vec::new(),
        fresh_cut: None,
        parked: Parked::default(),
        judged: None,
        publishers: Vec::new(),
        pending_cut: None,
        making: None,
        taking: None,
        cut_before: None,
        cut_here: false,
        last_cut_at: ctx.now.tick,
        asks_since: None,
        leftovers: None,
        abandoned_stale: true,
        contest: Contest::default(),
        health: Health::Ok,
        executions: 0,
        newer_noted: false,
    };
    replica.refresh_members(&ctx.device)?;
    Ok(replica)
}

/// Everything `publish` brings.
pub(crate) struct Publication<'a> {
    pub(crate) name: &'a str,
    pub(crate) wasm: &'a [u8],
    pub(crate) sequential_auto_inc: bool,
    pub(crate) dice: [u8; 32],
    pub(crate) epoch: u64,
}

/// Makes a database. Gives back its replica and its recovery key, to be told once.
pub(crate) fn publish(
    modules: &Modules,
    publication: &Publication<'_>,
    ctx: &mut Context<'_>,
) -> Result<(Replica, SecretKey), RequestError> {
    let options = default_options(publication.sequential_auto_inc);
    let module = modules
        .prepare(publication.wasm, &options, ctx.disk)
        .map_err(|error| refuse(ErrorKind::BadRequest, error.to_string()))?;
    check_filters(&module)?;
    let recovery = derived(RECOVERY_CONTEXT, &publication.dice);
    let recovery = SecretKey::from_bytes(&recovery);
    let genesis = Genesis {
        name: publication.name.to_owned(),
        module: BlobHash::of(publication.wasm),
        module_len: u32::try_from(publication.wasm.len())
            .map_err(|_| refuse(ErrorKind::BadRequest, "the module is too large"))?,
        engine: module_host::ENGINE,
        options,
        finalisers: vec![ctx.device],
        recovery_keys: vec![recovery.public()],
    };
    let entry = Arc::new(seal_genesis(publication, &genesis, ctx));
    let id = DatabaseId::from(entry.id);
    ctx.disk.put_blob(publication.wasm)?;
    let made = bring_to_life(publication, entry, genesis, module, ctx);
    if made.is_err() {
        // Nothing was acknowledged, so nothing is lost; an unborn database must not be found again.
        ctx.disk.remove(&id)?;
    }
    Ok((made?, recovery))
}

fn bring_to_life(
    publication: &Publication<'_>,
    entry: Arc<Entry>,
    genesis: Genesis,
    module: Module,
    ctx: &mut Context<'_>,
) -> Result<Replica, RequestError> {
    let id = DatabaseId::from(entry.id);
    let own = OwnChain {
        epoch: publication.epoch,
        next_seq: 1,
        previous: Some(entry.id),
        last_time: entry.last_time(),
        is_unwritten: false,
    };
    let log = ctx.open_log(&id)?;
    let newborn = Unborn::open(entry, genesis, Some(module), log, ctx)?.run()?;
    if let Some(error) = newborn.outcome.error() {
        return Err(refuse(
            error.kind,
            format!("the module's `init` failed, so nothing was published: {error}"),
        ));
    }
    let cut = Cut::seal(newborn.cut_draft(), ctx.key)
        .unwrap_or_else(|error| unreachable!("cut 0 stays within the limits: {error}"));
    Ok(newborn.settle(cut, false, own, publication.name.to_owned(), ctx)?)
}

fn seal_genesis(publication: &Publication<'_>, genesis: &Genesis, ctx: &Context<'_>) -> Entry {
    let claims = Claims::of_device(&ctx.device);
    let caller = Caller {
        issuer: claims.issuer,
        subject: claims.subject,
        claims: claims.payload,
    };
    let nonce = derived(NONCE_CONTEXT, &publication.dice);
    Entry::genesis(
        nonce,
        publication.epoch,
        ctx.mesh,
        caller,
        genesis.clone(),
        ctx.key,
    )
    .unwrap_or_else(|error| unreachable!("a genesis stays within the limits: {error}"))
}

fn derived(context: &str, dice: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(dice);
    *hasher.finalize().as_bytes()
}

/// The genesis that an entry carries, if it is one, and names a database of `id`.
pub(crate) fn genesis_of(entry: &Entry, id: &DatabaseId) -> Option<Genesis> {
    if EntryId::from(*id) != entry.id || !entry.is_genesis() {
        return None;
    }
    entry.system_calls().find_map(|(_, call)| match call {
        SystemCall::Genesis(genesis) => Some(genesis),
        _ => None,
    })
}

/// Makes a replica of a database that others made. `cut` is its cut 0.
pub(crate) fn adopt(
    module: Module,
    entry: Arc<Entry>,
    genesis: Genesis,
    cut: Cut,
    own: OwnChain,
    ctx: &mut Context<'_>,
) -> Result<Replica, RequestError> {
    let id = DatabaseId::from(entry.id);
    let name = genesis.name.clone();
    let made = (|| {
        let log = ctx.open_log(&id)?;
        let newborn = Unborn::open(entry, genesis, Some(module), log, ctx)?.run()?;
        if newborn.settlement.root != cut.state_root {
            return Err(Stop::Diverged { height: 0 });
        }
        newborn.settle(cut, false, own, name, ctx)
    })();
    if made.is_err() {
        ctx.disk.remove(&id)?;
    }
    Ok(made?)
}

/// The device that signs cuts of a database at height 0.
pub(crate) fn certifies_birth(cut: &Cut, genesis: &Genesis, entry: &Entry) -> bool {
    let finalisers: &[DeviceKey] = &genesis.finalisers;
    cut.height == 0
        && cut.parent == CutId::ZERO
        && cut.database == DatabaseId::from(entry.id)
        && cut.frontier == [entry.id]
        && cut.order_root == order_root(&[entry.id])
        && cut.engine == genesis.engine
        && cut.verify(finalisers).is_ok()
}
