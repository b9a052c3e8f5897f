//! Giving memory back beside whoever needs it no longer. After a large cut that takes longer than making the cut:
//! tens of thousands of small pieces, most of them in no cache any more.

use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

use crate::aside::{Aside, Waiting, stand_back};

/// Pieces that may wait, with what they hold. Whoever has one more drops it himself.
const WAITING_MAX: usize = 4;

/// A thread that drops what it is given. It starts with the first thing and ends some time after this is dropped.
#[derive(Default)]
pub(crate) struct Discarder(Option<SyncSender<Box<dyn Send>>>);

impl Discarder {
    /// Drops something of so many parts: there if that is long work and `aside` has threads, else here.
    pub(crate) fn discard(&mut self, aside: Aside, parts: usize, thing: impl Send + 'static) {
        if aside != Aside::Thread || !aside.takes(parts) {
            return;
        }
        if self.0.is_none() {
            self.0 = start();
        }
        if let Some(things) = &self.0 {
            // What cannot be sent comes back and is dropped here.
            let _ = things.try_send(Box::new(thing));
        }
    }
}

fn start() -> Option<SyncSender<Box<dyn Send>>> {
    let (sender, things) = sync_channel(WAITING_MAX);
    let work = move || {
        stand_back(Waiting::default());
        things.into_iter().for_each(drop);
    };
    let thread = Builder::new().name("discard".to_owned()).spawn(work);
    thread.ok().map(|_| sender)
}

impl fmt::Debug for Discarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Discarder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    struct Tells(Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn what_is_much_is_dropped_by_another_thread() {
        let here = thread::current().id();
        let (tell, told) = channel();
        let mut discarder = Discarder::default();
        for (aside, parts, by_us) in [
            (Aside::Thread, 100_000, false),
            (Aside::Thread, 1, true),
            (Aside::Never, 100_000, true),
            (Aside::AtLook(1), 100_000, true),
        ] {
            discarder.discard(aside, parts, Tells(tell.clone()));
            let by = told.recv().expect("it is dropped");
            assert_eq!(by == here, by_us, "{aside:?} {parts}");
        }
    }

    #[test]
    fn nobody_waits_for_it() {
        let (tell, told) = channel();
        let (go, may_go) = channel::<()>();
        struct Waits(std::sync::mpsc::Receiver<()>);
        impl Drop for Waits {
            fn drop(&mut self) {
                let _ = self.0.recv();
            }
        }
        let mut discarder = Discarder::default();
        discarder.discard(Aside::Thread, 100_000, Waits(may_go));
        // More than may wait: some are dropped here.
        for _ in 0..2 * WAITING_MAX {
            discarder.discard(Aside::Thread, 100_000, Tells(tell.clone()));
        }
        let here = thread::current().id();
        let dropped_here = told.try_iter().filter(|by| *by == here).count();
        assert!(dropped_here >= WAITING_MAX - 1, "{dropped_here}");
        drop(discarder);
        go.send(()).expect("it waits");
        drop(tell);
        assert_eq!(dropped_here + told.iter().count(), 2 * WAITING_MAX);
    }
}
