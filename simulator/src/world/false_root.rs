//! The last thing that happens in some worlds: the finaliser's key signs a cut whose rows no calls
//! give. Whoever takes it must notice, say so, and stop: docs/FINALITY.md, "diverged".

use std::collections::BTreeSet;

use peer_core::Input;
use sync_protocol::{Cut, CutDraft, DatabaseId, EntryId, Message, StateRoot, order_root};

use super::World;
use crate::checker::history::History;

/// The peer that makes cuts, and one that has a link to it in every topology.
const FINALISER: usize = 0;
pub(crate) const WITNESS: usize = 1;

impl World {
    /// The finaliser hears and says nothing more, and the witness makes a call that only others
    /// can make final.
    pub(crate) fn leave_witness_alone(&mut self) {
        self.exiles.insert(FINALISER);
        self.silence_exiles();
        let (database, device) = (self.database.clone(), self.nodes[WITNESS].device);
        let planned = self.workload.say(&database, &device);
        self.call(WITNESS, planned);
    }

    /// Tells the witness a cut over what is in its tail, with a state root that nobody has. False:
    /// it has nothing there, or no link over which it could be told.
    pub(crate) fn tell_false_root(&mut self) -> Result<bool, String> {
        let id: DatabaseId = self.database.parse().map_err(|_| "no database")?;
        let history = History::read(&self.nodes[WITNESS].disk, &id)?;
        let last = history.cuts.last();
        let last = last.filter(|_| !history.tail.is_empty());
        let Some(last) = last.filter(|_| self.network.is_up(FINALISER, WITNESS)) else {
            return Ok(false);
        };
        let tail = || history.tail.iter();
        let parents: BTreeSet<EntryId> = tail().flat_map(|e| e.header.parents.clone()).collect();
        let heads: BTreeSet<EntryId> = tail().map(|e| e.id).chain(last.frontier.clone()).collect();
        let mut covered: Vec<_> = tail().collect();
        covered.sort_by_key(|entry| (entry.header.hlc.0, entry.header.author, entry.id));
        let ids: Vec<EntryId> = covered.iter().map(|entry| entry.id).collect();
        let draft = CutDraft {
            database: id,
            term: last.term,
            height: last.height + 1,
            parent: last.id(),
            engine: last.engine,
            frontier: heads.difference(&parents).copied().collect(),
            order_root: order_root(&ids),
            state_root: StateRoot(self.accidents.bytes()),
            finalisers: last.finalisers.clone(),
        };
        let cut = Cut::seal(draft, &self.nodes[FINALISER].key).map_err(|e| e.to_string())?;
        let cut = Message::Cut {
            bytes: cut.encoded().to_vec(),
        };
        let remote = self.nodes[FINALISER].device;
        let bytes = cut.encode(&id);
        self.say(format_args!("{WITNESS} is told a cut with a false root"));
        self.counts.lies += 1;
        // It will report what it found, and that is as it should be.
        self.nodes[WITNESS].in_trouble = true;
        self.input(WITNESS, Input::Message { remote, bytes });
        Ok(true)
    }
}
