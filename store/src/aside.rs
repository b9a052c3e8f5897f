//! Long work on a disk that is done beside whoever asked for it.

use std::cell::OnceCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError, channel};
use std::thread::{self, Builder};

/// Where long work is done: of a cut, summing up its rows and writing them to the base; of entries,
/// writing them to the log; of the journal, merging a full half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aside {
    /// At once, by whoever starts it.
    #[default]
    Never,
    /// By a thread of its own, if it is long.
    Thread,
    /// By whoever looks whether it is done, at the look of this number (1 is the first), however
    /// short it is: the same at every run, for tests and the simulator. Work that nobody looks at so
    /// often is not done, as if the power had failed before.
    AtLook(u32),
}

/// Writes of a cut from which on they are long work: a millisecond, in which some thirty calls could run.
const LONG_WRITES: usize = 400;

/// How much less of a processor such a thread gets than others where all want one (`nice`, of 19): a tenth.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lets other threads go first, where the system can do that for one thread: nobody waits for what this one does, but
/// somebody for what others do.
///
/// It does not give way while somebody is `waiting` for it after all.
pub(crate) fn stand_back(waiting: Waiting) {
    // One that may not be changed goes on as it is.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
    // A thread stands back once.
    let _ = STANDS_BACK.with(|stands_back| stands_back.set(waiting));
}

/// How many wait for what a thread does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// Waits for an answer.
    fn receive<T>(&self, result: &Receiver<T>) -> Result<T, RecvError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let received = result.recv();
        self.0.fetch_sub(1, Ordering::Relaxed);
        received
    }

    fn is_nobody(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

thread_local! {
    /// Set where a thread stands back.
    static STANDS_BACK: OnceCell<Waiting> = const { OnceCell::new() };
}

/// Lets those go who wait for this thread's processor, if it stands back and nobody waits for what it does: a
/// system takes a processor from whoever has it after milliseconds only, be it as far behind as it may. Called
/// between steps of some ten microseconds.
pub(crate) fn give_way() {
    // A thread that is ending may have nothing of its own left but a store, which it closes.
    let gives_way =
        STANDS_BACK.try_with(|stands_back| stands_back.get().is_some_and(Waiting::is_nobody));
    if gives_way.unwrap_or(false) {
        thread::yield_now();
    }
}

impl Aside {
    /// Whether work on so many writes is done aside.
    pub(crate) fn takes(self, writes: usize) -> bool {
        match self {
            Self::Never => false,
            Self::Thread => writes >= LONG_WRITES,
            Self::AtLook(_) => writes > 0,
        }
    }
}

const ALWAYS_ANSWERS: &str = "a worker answers, also after a panic";

/// A thread for one piece of work after the other. It starts with the first and ends once this is dropped.
///
/// Not a thread for each: to start one takes longer than short work does.
pub(crate) struct Worker {
    name: &'static str,
    stands_back: bool,
    waiting: Waiting,
    jobs: Option<Sender<Job<()>>>,
}

impl Worker {
    /// One that has not started; its thread is going to be called `name`. Somebody waits for what it does.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            stands_back: false,
            waiting: Waiting::default(),
            jobs: None,
        }
    }

    /// The same, for what nobody waits for: other threads go first.
    pub(crate) fn standing_back(name: &'static str) -> Self {
        Self {
            stands_back: true,
            ..Self::new(name)
        }
    }

    fn take<T: Send + 'static>(&mut self, job: impl FnOnce() -> T + Send + 'static) -> Work<T> {
        let (answer, result) = channel();
        let job: Job<()> = Box::new(move || {
            // What it worked on is given up with it.
            let done = catch_unwind(AssertUnwindSafe(job));
            // Whoever gave it may have gone away.
            let _ = answer.send(done);
        });
        let jobs = match &self.jobs {
            Some(jobs) => jobs,
            None => match self.start() {
                Some(jobs) => self.jobs.insert(jobs),
                None => {
                    // A machine without room for another thread does it here.
                    job();
                    return Work(Stage::Given(result, self.waiting.clone()));
                }
            },
        };
        if let Err(unsent) = jobs.send(job) {
            (unsent.0)();
        }
        Work(Stage::Given(result, self.waiting.clone()))
    }

    fn start(&self) -> Option<Sender<Job<()>>> {
        let (sender, jobs) = channel::<Job<()>>();
        let waiting = self.stands_back.then(|| self.waiting.clone());
        let work = move || {
            if let Some(waiting) = waiting {
                stand_back(waiting);
            }
            jobs.into_iter().for_each(|job| job());
        };
        let thread = Builder::new().name(self.name.to_owned()).spawn(work);
        thread.ok().map(|_| sender)
    }
}

type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// Work that was started. Dropping it waits for a thread that does it.
pub(crate) struct Work<T>(Stage<T>);

enum Stage<T> {
    Done(T),
    /// A worker does it.
    Given(Receiver<thread::Result<T>>, Waiting),
    Waits {
        looks: u32,
        job: Job<T>,
    },
    /// Between two stages, and after the result was taken.
    Over,
}

impl<T: Send + 'static> Work<T> {
    /// Starts `job`, which `worker` does where it is done by a thread.
    pub(crate) fn start(
        aside: Aside,
        worker: &mut Worker,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        match aside {
            Aside::Never => Self(Stage::Done(job())),
            Aside::AtLook(looks) => Self(Stage::Waits {
                looks,
                job: Box::new(job),
            }),
            Aside::Thread => worker.take(job),
        }
    }

    /// Looks whether it is done.
    pub(crate) fn is_done(&mut self) -> bool {
        if let Stage::Waits { looks, .. } = &mut self.0 {
            *looks = looks.saturating_sub(1);
            if *looks > 0 {
                return false;
            }
            self.complete();
        }
        if let Stage::Given(result, _) = &self.0 {
            match result.try_recv() {
                Ok(result) => self.0 = Stage::Done(result.unwrap_or_else(|why| resume_unwind(why))),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => unreachable!("{ALWAYS_ANSWERS}"),
            }
        }
        true
    }

    /// Its result, once it is done.
    ///
    /// # Panics
    /// If the work panicked.
    pub(crate) fn wait(mut self) -> T {
        self.complete();
        match std::mem::replace(&mut self.0, Stage::Over) {
            Stage::Done(result) => result,
            _ => unreachable!("what was completed is done"),
        }
    }

    fn complete(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, Stage::Over) {
            Stage::Given(result, waiting) => match waiting.receive(&result) {
                Ok(Ok(result)) => Stage::Done(result),
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_) => unreachable!("{ALWAYS_ANSWERS}"),
            },
            Stage::Waits { job, .. } => Stage::Done(job()),
            done => done,
        };
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        // It has files open that somebody may be about to open again. Nobody wants the result,
        // and if it panicked that was said where it happened.
        if let Stage::Given(result, waiting) = std::mem::replace(&mut self.0, Stage::Over) {
            drop(waiting.receive(&result));
        }
    }
}

impl<T> fmt::Debug for Work<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Stage::Done(_) => "Work(done)",
            Stage::Given(..) => "Work(runs)",
            Stage::Waits { .. } => "Work(waits)",
            Stage::Over => "Work(over)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn work_is_done_where_it_was_said() {
        let mut cut = Worker::standing_back("cut");
        let mut here = Work::start(Aside::Never, &mut cut, || 1);
        assert!(here.is_done());
        assert_eq!(here.wait(), 1);

        let (tell, told) = channel();
        let mut thread = Work::start(Aside::Thread, &mut cut, move || {
            let go: u32 = told.recv().expect("somebody tells");
            (go, std::thread::current().name().map(str::to_owned))
        });
        assert!(!thread.is_done());
        tell.send(2).expect("it listens");
        assert_eq!(thread.wait(), (2, Some("cut".to_owned())));

        let mut third = Work::start(Aside::AtLook(3), &mut cut, || 3);
        assert_eq!([(); 3].map(|()| third.is_done()), [false, false, true]);
        assert_eq!(third.wait(), 3);
        assert_eq!(Work::start(Aside::AtLook(9), &mut cut, || 4).wait(), 4);
    }

    #[test]
    fn a_worker_does_one_after_the_other() {
        let mut worker = Worker::new("log");
        let (tell, told) = channel();
        let first = Work::start(Aside::Thread, &mut worker, move || {
            let go: u32 = told.recv().expect("somebody tells");
            (go, thread::current().id())
        });
        let mut second = Work::start(Aside::Thread, &mut worker, || thread::current().id());
        assert!(!second.is_done());
        tell.send(4).expect("it listens");
        let (go, by) = first.wait();
        assert_eq!((go, second.wait()), (4, by));
        assert_ne!(by, thread::current().id());
        let panics = Work::start(Aside::Thread, &mut worker, || panic!("a bug"));
        assert!(catch_unwind(AssertUnwindSafe(|| panics.wait())).is_err());
        let after = Work::start(Aside::Thread, &mut worker, || 5);
        drop(worker);
        assert_eq!(after.wait(), 5, "what was given is done");
        let mut here = Worker::new("log");
        let mut work = Work::start(Aside::AtLook(1), &mut here, || thread::current().id());
        assert!(work.is_done());
        assert_eq!(work.wait(), thread::current().id());
    }

    #[test]
    fn a_thread_that_is_ending_closes_what_it_holds() {
        struct Closes;
        impl Drop for Closes {
            fn drop(&mut self) {
                give_way();
            }
        }
        thread_local! {
            static HELD: OnceCell<Closes> = const { OnceCell::new() };
        }
        let holds = thread::spawn(|| {
            // What was touched first is dropped last, after what `give_way` touches.
            HELD.with(|held| drop(held.set(Closes)));
            give_way();
        });
        assert!(holds.join().is_ok());
    }

    #[test]
    fn what_nobody_waits_for_ends_before_it_is_dropped_or_is_never_done() {
        let mut cut = Worker::standing_back("cut");
        let (tell, told) = channel();
        drop(Work::start(Aside::Thread, &mut cut, move || tell.send(5)));
        assert_eq!(told.try_recv(), Ok(5));
        let (tell, told) = channel::<u32>();
        drop(Work::start(Aside::AtLook(2), &mut cut, move || {
            tell.send(6)
        }));
        assert!(told.try_recv().is_err());
    }
}
