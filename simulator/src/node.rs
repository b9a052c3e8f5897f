//! One peer of the world: its core, its disk, its clocks, and whether it has power.

use peer_core::{Core, CoreOptions, MemoryBudget, Modules, OpenError, Quotas, Replay};
use store::{Aside, Disk, MemoryDisk};
use sync_protocol::{DeviceKey, SecretKey};

use crate::clock::Clock;
use crate::disk::LyingDisk;
use crate::faults::Faults;
use crate::seed::{Dice, Seed};
use crate::workload::Client;
use crate::world::deluge;
use crate::world::follower::Follower;
use crate::world::pages::Page;

/// A peer of the world.
pub(crate) struct Node {
    pub(crate) key: SecretKey,
    pub(crate) device: DeviceKey,
    pub(crate) disk: MemoryDisk,
    pub(crate) core: Option<Core>,
    pub(crate) clock: Clock,
    /// Starts so far: what belongs to an earlier one is void.
    pub(crate) starts: u32,
    /// When its core wants to be woken, in the time of the world.
    pub(crate) wake_us: Option<u64>,
    /// Its queue is about to run empty.
    pub(crate) idle_due: bool,
    /// Writes and syncs that are left until the power fails.
    pub(crate) power_left: Option<u64>,
    /// The ticket with which it joins, once it has one.
    pub(crate) ticket: Option<String>,
    /// It holds the database and is a member.
    pub(crate) is_member: bool,
    /// Who follows its tables.
    pub(crate) follower: Option<Follower>,
    /// What somebody types beside it.
    pub(crate) page: Page,
    /// Who is connected to it.
    pub(crate) clients: Vec<Client>,
    /// Its disk is full or wrong, or was: until its next start it may refuse to work.
    pub(crate) in_trouble: bool,
    /// It went away and never comes back.
    pub(crate) is_gone: bool,
    /// Somebody has put it out, so that no member hears it any more.
    pub(crate) is_out: bool,
    /// Microseconds that it takes for a message.
    pub(crate) slow_us: u64,
    /// What it does for others.
    quotas: Quotas,
    dice: Dice,
    lies: bool,
}

impl Node {
    pub(crate) fn new(at: usize, seed: Seed, faults: &Faults, disks_lie: bool) -> Self {
        let mut dice = seed.child(&format!("peer {at}"));
        let key = SecretKey::from_bytes(&dice.bytes());
        let clock = Clock::draw(&mut dice, faults);
        let is_slow = dice.coin();
        Self {
            device: key.public(),
            key,
            disk: MemoryDisk::new(),
            core: None,
            clock,
            starts: 0,
            wake_us: None,
            idle_due: false,
            power_left: None,
            ticket: None,
            is_member: false,
            follower: None,
            clients: Vec::new(),
            page: Page::default(),
            in_trouble: false,
            is_gone: false,
            is_out: false,
            slow_us: if is_slow { faults.slow_ms * 1_000 } else { 0 },
            quotas: if faults.lies.deluges {
                deluge::quotas()
            } else {
                Quotas::default()
            },
            dice,
            lies: disks_lie,
        }
    }

    /// Starts the peer on its disk, as a new process.
    pub(crate) fn start(&mut self, modules: &Modules, now_us: u64) -> Result<(), OpenError> {
        let disk: Box<dyn Disk> = if self.lies {
            Box::new(LyingDisk(self.disk.clone()))
        } else {
            Box::new(self.disk.clone())
        };
        let epoch = self.dice.draw();
        let options = CoreOptions {
            memory: memory_of(epoch),
            quotas: self.quotas,
            // All have to agree, whatever each runs again.
            replay: match epoch % 3 {
                0 => Replay::Suffix,
                _ => Replay::Selective,
            },
            ..CoreOptions::new(epoch)
        };
        self.disk.set_aside(aside_of(epoch));
        let now = self.clock.now(now_us);
        let core = Core::open_sharing(modules.clone(), disk, self.key.clone(), &options, now)?;
        self.starts += 1;
        self.core = Some(core);
        Ok(())
    }

    /// The power fails.
    pub(crate) fn stop(&mut self, torn_writes: bool) {
        // The disk first: what is dropped closes its files, and would close them in order.
        self.disk.fail_after(0);
        // A wrong bit in the last commit that is read after a crash cannot be told from a write that
        // the crash tore: then that commit is given up, which docs/DISK.md says.
        self.disk.spoil_read_after(None);
        self.core = None;
        self.wake_us = None;
        self.idle_due = false;
        self.power_left = None;
        self.clients.clear();
        self.follower = None;
        let dice = &mut self.dice;
        if torn_writes {
            self.disk.crash_keeping(|_| dice.coin());
        } else {
            self.disk.crash();
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.core.is_some()
    }

    /// Lets the power fail in the middle of some write of the near future.
    pub(crate) fn fail_soon(&mut self) {
        let left = self.dice.between(1, 60);
        self.power_left = Some(self.disk.operations() + left);
        self.disk.fail_after(left);
    }

    /// For a while its disk has no room, after some more writes; or it says that it hardly has any.
    pub(crate) fn fill_disk(&mut self) {
        self.in_trouble = true;
        if self.dice.coin() {
            self.disk.fill_after(self.dice.below(40));
        } else {
            self.disk.say_free(Some(self.dice.below(1 << 20)));
        }
    }

    /// One of the next reads gives back another bit than was written.
    pub(crate) fn spoil_read(&mut self) {
        if !self.is_on() {
            return;
        }
        self.in_trouble = true;
        let (after, bit) = (self.dice.below(200), self.dice.draw());
        self.disk.spoil_read_after(Some((after, bit)));
    }

    /// The disk is as it should be again. What stopped over it goes on with the next start.
    pub(crate) fn mend_disk(&mut self) {
        self.disk.make_room();
        self.disk.say_free(None);
        self.disk.spoil_read_after(None);
    }

    /// Whether the power went during the last step: then nobody heard of its effects.
    pub(crate) fn has_failed(&self) -> bool {
        self.power_left
            .is_some_and(|last| self.disk.operations() >= last)
    }
}

/// At two of three starts cuts are summed up and written aside, which takes up to as long as some
/// dozens of inputs. Follows from the epoch, as [`memory_of`].
fn aside_of(epoch: u64) -> Aside {
    match (epoch >> 8) % 3 {
        0 => Aside::Never,
        1 => Aside::AtLook(1 + (epoch >> 16) as u32 % 4),
        _ => Aside::AtLook(1 + (epoch >> 16) as u32 % 64),
    }
}

/// A quarter of all starts has little memory, so that tails of a few calls are spilled. Follows from the
/// epoch: a draw of its own would shift every later one. Never so little that each call is a write to
/// disk: a peer whose clock is hours ahead runs its whole tail again for every entry it hears, and such a
/// world would take far longer than all others.
fn memory_of(epoch: u64) -> MemoryBudget {
    let mut memory = MemoryBudget::default();
    if epoch.is_multiple_of(4) {
        memory.overlay.commits = 4 << (epoch / 4 % 6);
    }
    memory
}
