//! Files that never wait for the disk.

use std::io;

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::crash_point::DiskFile;

/// A file that nobody reads after a crash, so it never waits for the disk.
#[derive(Debug)]
pub(crate) struct Unsynced(pub(crate) FileBackend);

impl DiskFile for Unsynced {}

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
