//! What a mesh has sent and written.

use std::path::Path;

use anyhow::Context;
use sync_protocol::DeviceKey;

use super::Mesh;

impl Mesh {
    /// Bytes of all messages between peers so far; frames and encryption come on top.
    pub(crate) const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Bytes of a peer's files.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn disk_bytes(&self, at: usize) -> anyhow::Result<u64> {
        bytes_below(self.peers[at].data.path())
    }

    /// Who a peer is.
    pub(crate) fn device(&self, at: usize) -> DeviceKey {
        self.peers[at].core.device()
    }
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() {
            bytes_below(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(bytes)
}
