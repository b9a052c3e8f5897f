//! What the cases share: the peer that the other side started, connections, and ways of waiting. Nothing
//! here decides how often something is tried: what takes longer than [`PATIENCE`] fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use spacetimedb_sdk::__codegen::SpacetimeModule;
use spacetimedb_sdk::{Compression, DbConnectionBuilder, Error, Identity};

/// How long anything may take that should take moments.
const PATIENCE: Duration = Duration::from_secs(60);

/// Its name, and what it does.
pub type Case = (&'static str, fn());

/// Runs cases one after the other and tells what came of them.
pub fn run(cases: &[Case]) {
    let mut failed = 0;
    for (name, case) in cases {
        let outcome = catch_unwind(AssertUnwindSafe(case));
        println!("{} {name}", if outcome.is_ok() { "ok" } else { "FAILED" });
        failed += usize::from(outcome.is_err());
    }
    println!("{} cases passed, {failed} failed", cases.len() - failed);
    std::process::exit(i32::from(failed > 0));
}

/// Where the peer is.
pub fn url() -> String {
    std::env::var("TOMBOLO_URL").expect("TOMBOLO_URL says where the peer is")
}

/// The token of the peer's owner.
pub fn owner() -> String {
    std::env::var("TOMBOLO_TOKEN").expect("TOMBOLO_TOKEN is the owner's")
}

/// A connection that runs in a thread of its own.
pub struct Connected<C> {
    pub conn: C,
    pub identity: Identity,
    pub token: String,
    /// Why it ended, once it has: no error if it was closed.
    pub ended: Receiver<Option<Error>>,
}

/// Connects to a database, which has the name of its module, and waits until that is done. `run` begins to
/// handle messages.
pub fn connect<M: SpacetimeModule>(
    builder: DbConnectionBuilder<M>,
    database: &str,
    token: Option<&str>,
    run: fn(&M::DbConnection),
) -> Connected<M::DbConnection> {
    let (connected, heard) = channel();
    let (end, ended) = channel();
    let conn = builder
        .with_uri(url())
        .with_database_name(database)
        .with_token(token)
        .with_compression(Compression::None)
        .on_connect(move |_, identity, token| tell(&connected, (identity, token.to_owned())))
        .on_disconnect(move |_, error| tell(&end, error))
        .build()
        .expect("the peer lets clients in");
    run(&conn);
    let (identity, token) = hear(&heard, "the first message");
    Connected {
        conn,
        identity,
        token,
        ended,
    }
}

/// Tells a case something from within a callback. A case that is over does not hear it.
pub fn tell<T>(to: &Sender<T>, what: T) {
    let _ = to.send(what);
}

/// Waits for what a callback tells.
pub fn hear<T>(from: &Receiver<T>, what: &str) -> T {
    let heard = from.recv_timeout(PATIENCE);
    heard.unwrap_or_else(|error| panic!("waited for {what}: {error}"))
}

/// Waits until something has become true: of a change that another client makes, of a view.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let step = Duration::from_millis(10);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if condition() {
            return;
        }
        std::thread::sleep(step);
    }
    panic!("waited for {what}");
}

/// Subscribes to queries in text, or by functions that build them, and waits until the rows are there.
macro_rules! subscribe {
    ($conn:expr, $($query:literal),+ $(,)?) => {
        $crate::harness::subscribe!(@ $conn, subscribe([$($query),+]))
    };
    ($conn:expr, $($build:expr),+ $(,)?) => {
        $crate::harness::subscribe!(@ $conn, $(add_query($build).)+ subscribe())
    };
    (@ $conn:expr, $($tail:tt)+) => {{
        let (applied, heard) = std::sync::mpsc::channel();
        let refused = applied.clone();
        let handle = $conn
            .subscription_builder()
            .on_applied(move |_| $crate::harness::tell(&applied, Ok(())))
            .on_error(move |_, error| $crate::harness::tell(&refused, Err(error.to_string())))
            .$($tail)+;
        $crate::harness::hear(&heard, "the subscription").expect("it can be followed");
        handle
    }};
}

/// Calls a reducer by its `…_then`, and waits for what comes of it.
macro_rules! call {
    ($conn:expr, $reducer:ident ( $($argument:expr),* )) => {{
        let (told, heard) = std::sync::mpsc::channel();
        $conn
            .reducers
            .$reducer($($argument,)* move |_, outcome| $crate::harness::tell(&told, outcome))
            .expect("the call can be sent");
        $crate::harness::hear(&heard, stringify!($reducer))
    }};
}

/// The same of a call that has to succeed.
macro_rules! done {
    ($($call:tt)*) => {
        $crate::harness::call!($($call)*).expect("it runs").expect("it succeeds")
    };
}

pub(crate) use {call, done, subscribe};
