//! How many files a peer may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a peer with all the connections that it allows needs, and as much again for files and members.
const WANTED: u64 = 16_384;

/// Asks for as many open files as the system gives without being told to, up to what a peer can need.
/// Most systems begin with 1,024, for programs that cannot count further, and give more to whoever asks.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(WANTED).min(WANTED);
    // None is no limit.
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(
            "this peer may have {} files open, connections among them: {error}",
            current.unwrap_or_default()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_is_wanted_or_all_there_is() {
        let before = getrlimit(Resource::Nofile);
        raise();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.maximum, before.maximum);
        let most = after.maximum.unwrap_or(WANTED).min(WANTED);
        assert!(after.current.is_none_or(|current| current >= most));
    }
}
