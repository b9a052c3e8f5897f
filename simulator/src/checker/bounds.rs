//! What a peer may send and keep, whatever comes in.

use peer_core::{DatabaseStatus, Effect};
use store::limits::OVERLAY_BYTES_MAX;
use sync_protocol::limits::MESSAGE_BYTES_MAX;

/// Messages that one input may give rise to, for each link.
const MESSAGES_PER_LINK_MAX: usize = 64;

/// Bytes that one input may give rise to, for each link: an answer of the largest size, and what
/// was fresh at the same moment.
const BYTES_PER_LINK_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// Entries that may wait for something missing, for each link and for what was set aside.
const PENDING_PER_LINK_MAX: u64 = 1_024;

/// Messages a minute on a quiet link, both ways: two Hellos each way, and what a question and its
/// answer cost should a standing be in doubt.
const QUIET_MESSAGES_PER_LINK_MAX: u64 = 16;

/// Whether what one input gave rise to stays within its bounds.
pub(crate) fn effects(effects: &[Effect], links: usize) -> Result<(), String> {
    let (mut messages, mut bytes) = (0, 0);
    for effect in effects {
        if let Effect::Send { bytes: frame, .. } = effect {
            if frame.len() > MESSAGE_BYTES_MAX {
                return Err(format!("it sends a message of {} bytes", frame.len()));
            }
            messages += 1;
            bytes += frame.len();
        }
    }
    let links = links.max(1);
    if messages > MESSAGES_PER_LINK_MAX * links || bytes > BYTES_PER_LINK_MAX * links {
        return Err(format!(
            "one input made it send {messages} messages of {bytes} bytes over {links} links"
        ));
    }
    Ok(())
}

/// Whether what a peer keeps stays within its bounds.
pub(crate) fn memory(status: &DatabaseStatus, links: usize) -> Result<(), String> {
    let pending_max = PENDING_PER_LINK_MAX * (links as u64 + 1);
    if status.pending > pending_max {
        return Err(format!("{} entries are pending", status.pending));
    }
    if status.overlay_bytes > OVERLAY_BYTES_MAX as u64 {
        return Err(format!("row versions take {} bytes", status.overlay_bytes));
    }
    Ok(())
}

/// Whether peers who have nothing to tell each other are quiet.
pub(crate) fn quiet(messages: u64, links: usize, minutes: u64) -> Result<(), String> {
    let max = QUIET_MESSAGES_PER_LINK_MAX * links as u64 * minutes;
    if messages > max {
        return Err(format!(
            "all are equal, and {messages} messages in {minutes} minutes went over {links} links"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sync_protocol::DeviceKey;

    use super::*;

    #[test]
    fn too_much_is_noticed() {
        let send = |len: usize| Effect::Send {
            remote: DeviceKey([1; 32]),
            bytes: vec![0; len],
        };
        let sends =
            |count: usize, len: usize| -> Vec<Effect> { (0..count).map(|_| send(len)).collect() };
        assert!(effects(&sends(64, 100), 1).is_ok());
        assert!(effects(&sends(65, 100), 1).is_err());
        assert!(effects(&sends(65, 100), 2).is_ok());
        assert!(effects(&sends(1, MESSAGE_BYTES_MAX + 1), 9).is_err());
        assert!(effects(&sends(5, MESSAGE_BYTES_MAX), 1).is_err());
        assert!(quiet(16, 1, 1).is_ok() && quiet(17, 1, 1).is_err());
    }
}
