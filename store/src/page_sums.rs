//! Sums over the pages of a redb file, checked whenever a page is read: a bit that flipped on the
//! disk is an error and never a row.
//!
//! redb keeps checksums of its own, but looks at them only when it repairs a file. Here every 1,024
//! pages of 4 KiB follow one page with a sum of each. That is safe when the power fails, because
//! redb never overwrites a page that a commit on the disk can reach: sums of reachable pages stay
//! as they are, and those of new pages are durable before the commit that makes them reachable.
//!
//! The first page, redb's header, is written in place and has sums of redb's own inside. Its sum
//! here counts after a clean close only.
//!
//! After a crash redb itself finds out which of the last two commits is whole, by its own
//! checksums. Until it has, pages are handed out as they are.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

use crate::aside::give_way;
use crate::crash_point::{CrashPoint, DiskFile};
use crate::xxh64::xxh64;

/// Bytes of a page: redb's.
pub(crate) const PAGE_BYTES: usize = 4_096;
const PAGE: u64 = PAGE_BYTES as u64;

const SUM_BYTES: usize = 4;

/// Bytes that a disk writes as one.
const SECTOR: u64 = 512;

/// A file whose making a crash interrupted is no longer than this: redb makes new ones of 72 KiB.
const UNFINISHED_BYTES_MAX: u64 = 1 << 20;

/// Pages that one page of sums covers.
const GROUP_PAGES: u64 = (PAGE_BYTES / SUM_BYTES) as u64;

/// Pages of sums kept in memory: 1 MiB, for 1 GiB of file. Others are read when they are needed.
const SUM_PAGES_KEPT: usize = 256;

/// Bytes of redb's header; it is written in one piece.
const HEADER_BYTES: usize = 320;
/// Where the header says how the file was left, and the bits that say it.
const STATE_AT: usize = 9;
const UNCLEAN: u8 = 2;
const TWO_PHASE: u8 = 4;

/// Reading bytes that are not those that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("page {page} of {file} is not what was written there")]
pub(crate) struct DamagedPage {
    file: &'static str,
    page: u64,
}

/// A redb file whose pages have sums. Offsets and lengths are those that redb sees.
#[derive(Clone, Debug)]
pub(crate) struct PageSums(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    file: Arc<dyn DiskFile>,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    /// Pages of sums by the number of their group.
    pages: BTreeMap<u64, SumPage>,
    /// While redb repairs: pages that do not match, with the sums they would have.
    unsure: Option<BTreeMap<u64, u32>>,
    /// Whether the header was written since the file was last synced.
    header_written: bool,
    /// Whether the header that was written last says that the file was closed.
    closed_last: bool,
    /// Whether the disk may have a header that says so: its sum is looked at.
    may_be_closed: bool,
}

#[derive(Debug)]
struct SumPage {
    bytes: Box<[u8; PAGE_BYTES]>,
    changed: bool,
}

/// How a file was left, by its header.
enum Left {
    New,
    Clean,
    /// The last commit may have reached the disk in part.
    InDoubt,
    /// A crash, but nothing of the last commit can be missing.
    Unclean,
}

impl PageSums {
    /// Opens a file, which may be empty. Errors call it `name`.
    ///
    /// # Errors
    /// If it cannot be read or was cut short, or its header is not the one of its last clean close.
    pub(crate) fn open(name: &'static str, file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let shared = Shared {
            name,
            file,
            sums: Mutex::default(),
        };
        if is_unfinished(&*shared.file)? {
            shared.file.set_len(0)?;
            shared.file.passes(CrashPoint::UnfinishedEmptied)?;
        } else if shared.file.len()? > 0 && shared.len()? < PAGE {
            return Err(shared.damaged(0));
        }
        let mut header = [0; HEADER_BYTES];
        let left = if shared.len()? < PAGE {
            Left::New
        } else {
            shared.file.read(physical(0), &mut header)?;
            left(&header)
        };
        match left {
            Left::New | Left::Unclean => {}
            Left::Clean => {
                let found = shared.lock().sum(&*shared.file, 0)?;
                // None was noted while one such header replaced another.
                if found != 0 && found != sum_of(0, &header) {
                    return Err(shared.damaged(0));
                }
                shared.lock().may_be_closed = true;
            }
            Left::InDoubt => shared.lock().unsure = Some(BTreeMap::new()),
        }
        Ok(Self(Arc::new(shared)))
    }

    /// Every page is checked from now on. What redb accepted while it repaired gets its sum: the
    /// page reached the disk before the power failed, and its sum did not.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn be_sure(&self) -> io::Result<()> {
        let mut sums = self.0.lock();
        for (page, sum) in sums.unsure.take().unwrap_or_default() {
            sums.set(&*self.0.file, page, sum)?;
        }
        Ok(())
    }

    /// Whether a crash left the last commit in doubt.
    pub(crate) fn is_unsure(&self) -> bool {
        self.0.lock().unsure.is_some()
    }

    /// Reads every page that was ever written, and hands `found` the number of each that is
    /// damaged. Answers how many pages there are.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn check(&self, mut found: impl FnMut(u64)) -> io::Result<u64> {
        let pages = self.0.len()? / PAGE;
        let mut bytes = [0; PAGE_BYTES];
        for page in 1..pages {
            self.0.file.read(physical(page), &mut bytes)?;
            let sum = self.0.lock().sum(&*self.0.file, page)?;
            if sum != 0 && sum != sum_of(page, &bytes) {
                found(page);
            }
        }
        Ok(pages)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Sums> {
        // A page of sums is changed entry by entry, so whatever a panic leaves is whole.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(logical_len(self.file.len()?))
    }

    fn damaged(&self, page: u64) -> io::Error {
        let file = self.name;
        io::Error::new(io::ErrorKind::InvalidData, DamagedPage { file, page })
    }

    /// Reads whole pages that lie together in the file, and checks them.
    fn read_pages(&self, first: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(physical(first), out)?;
        let mut sums = self.lock();
        for (page, bytes) in (first..).zip(out.chunks_exact(PAGE_BYTES)) {
            if page == 0 {
                continue;
            }
            let expected = sums.sum(&*self.file, page)?;
            // Nothing was ever written there.
            if expected == 0 {
                continue;
            }
            let found = sum_of(page, bytes);
            if found != expected {
                match &mut sums.unsure {
                    Some(unsure) => unsure.insert(page, found),
                    None => return Err(self.damaged(page)),
                };
            }
        }
        Ok(())
    }
}

impl Sums {
    fn page(&mut self, file: &dyn DiskFile, group: u64) -> io::Result<&mut SumPage> {
        if !self.pages.contains_key(&group) {
            if self.pages.len() >= SUM_PAGES_KEPT {
                self.write_changed(file)?;
                self.pages.clear();
            }
            let mut bytes = Box::new([0; PAGE_BYTES]);
            let at = group * (GROUP_PAGES + 1) * PAGE;
            // A group whose first page is only now being written has no sums yet.
            if at + PAGE <= file.len()? {
                file.read(at, &mut bytes[..])?;
            }
            let changed = false;
            self.pages.insert(group, SumPage { bytes, changed });
        }
        Ok(self
            .pages
            .get_mut(&group)
            .expect("it is there or was just put there"))
    }

    fn sum(&mut self, file: &dyn DiskFile, page: u64) -> io::Result<u32> {
        let sums = self.page(file, page / GROUP_PAGES)?;
        Ok(u32::from_le_bytes(*sums.entry(page)))
    }

    fn set(&mut self, file: &dyn DiskFile, page: u64, sum: u32) -> io::Result<()> {
        let sums = self.page(file, page / GROUP_PAGES)?;
        *sums.entry(page) = sum.to_le_bytes();
        sums.changed = true;
        Ok(())
    }

    fn write_changed(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        for (group, sums) in &mut self.pages {
            if sums.changed {
                file.write(group * (GROUP_PAGES + 1) * PAGE, &sums.bytes[..])?;
                sums.changed = false;
            }
        }
        Ok(())
    }
}

impl SumPage {
    fn entry(&mut self, page: u64) -> &mut [u8; SUM_BYTES] {
        let at = usize::try_from(page % GROUP_PAGES).expect("less than a page");
        &mut self.bytes.as_chunks_mut::<SUM_BYTES>().0[at]
    }
}

impl StorageBackend for PageSums {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut rest = out;
        let mut at = offset;
        while !rest.is_empty() {
            let (page, within) = (at / PAGE, within(at));
            let (now, later) = rest.split_at_mut(step(at, rest.len()));
            if within == 0 && now.len() >= PAGE_BYTES {
                self.0.read_pages(page, now)?;
            } else if page == 0 {
                // The header is asked for by itself, and may be all there is of a file.
                self.0.file.read(physical(0) + at, now)?;
            } else {
                let mut bytes = [0; PAGE_BYTES];
                self.0.read_pages(page, &mut bytes)?;
                now.copy_from_slice(&bytes[within..within + now.len()]);
            }
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut sums = self.0.lock();
        // What is cut off is zero when it comes back, so its sums must not come back with it.
        let (first, end) = (len.div_ceil(PAGE), self.0.len()?.div_ceil(PAGE));
        let last_group = first.div_ceil(GROUP_PAGES) * GROUP_PAGES;
        for page in first..end.min(last_group) {
            sums.set(&*self.0.file, page, 0)?;
        }
        sums.write_changed(&*self.0.file)?;
        sums.pages.retain(|group, _| *group * GROUP_PAGES < first);
        self.0.file.set_len(physical_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sums = self.0.lock();
        self.0.file.passes(match sums.header_written {
            true => CrashPoint::HeaderWritten,
            false => CrashPoint::PagesWritten,
        })?;
        sums.write_changed(&*self.0.file)?;
        self.0.file.passes(CrashPoint::SumsWritten)?;
        let header_written = std::mem::take(&mut sums.header_written);
        // Nobody waits for the disk who only wants to know a sum.
        drop(sums);
        self.0.file.sync_data()?;
        let mut sums = self.0.lock();
        if header_written && !sums.closed_last {
            sums.may_be_closed = false;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let file = &*self.0.file;
        if offset == 0 && data.len() < PAGE_BYTES {
            let mut sums = self.0.lock();
            sums.header_written = true;
            sums.closed_last = matches!(left(data), Left::Clean);
            if !sums.closed_last {
                return file.write(physical(0), data);
            }
            // The sum first: a crash between the two must not make a good header look bad. Nor a good one
            // that is there already: with two in a row, as redb writes them when it repairs, there is no sum
            // while either may be on the disk.
            let replaces = std::mem::replace(&mut sums.may_be_closed, true);
            let sum = sum_of(0, data);
            sums.set(file, 0, if replaces { 0 } else { sum })?;
            sums.write_changed(file)?;
            file.sync_data()?;
            file.passes(CrashPoint::CloseSummed)?;
            file.write(physical(0), data)?;
            if replaces {
                file.sync_data()?;
                sums.set(file, 0, sum)?;
            }
            return Ok(());
        }
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            give_way();
            let (page, within) = (at / PAGE, within(at));
            let (now, later) = rest.split_at(step(at, rest.len()));
            file.write(physical(page) + within as u64, now)?;
            let whole = within == 0 && now.len() >= PAGE_BYTES;
            let mut patched = [0; PAGE_BYTES];
            let pages = if whole {
                now
            } else {
                file.read(physical(page), &mut patched)?;
                &patched
            };
            let mut sums = self.0.lock();
            for (page, bytes) in (page..).zip(pages.chunks_exact(PAGE_BYTES)) {
                sums.set(file, page, sum_of(page, bytes))?;
                if let Some(unsure) = &mut sums.unsure {
                    unsure.remove(&page);
                }
            }
            rest = later;
            at += now.len() as u64;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let written = self.0.lock().write_changed(&*self.0.file);
        // Closed whatever came of it: nobody asks twice.
        self.0.file.close().and(written)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}

/// Whether a crash interrupted the making of a file: redb refuses such a file for ever, but it has
/// never held anything. redb writes its magic number last, and no other page before it. Only a file
/// without a single byte beyond its header and the header's sum counts, so that damage to a header
/// can never cost a database.
fn is_unfinished(file: &dyn DiskFile) -> io::Result<bool> {
    let len = file.len()?;
    if len == 0 || len > UNFINISHED_BYTES_MAX {
        return Ok(false);
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read(0, &mut bytes)?;
    // A write that a disk did in part ends with a sector; a file that somebody cut short need not.
    let header = physical(0);
    if len < header + HEADER_BYTES as u64 && !len.is_multiple_of(SECTOR) {
        return Ok(false);
    }
    let sums = SUM_BYTES as u64..header;
    let magic = header..header + STATE_AT as u64;
    let rest = header + PAGE..len;
    let is_empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let part = |range: std::ops::Range<u64>| {
        let at = |at: u64| usize::try_from(at.min(len)).unwrap_or(bytes.len());
        &bytes[at(range.start)..at(range.end.max(range.start))]
    };
    Ok([sums, magic, rest]
        .into_iter()
        .all(|range| is_empty(part(range))))
}

fn left(header: &[u8]) -> Left {
    match header.get(STATE_AT) {
        _ if header.len() != HEADER_BYTES || header[..STATE_AT].iter().all(|byte| *byte == 0) => {
            Left::New
        }
        Some(state) if state & UNCLEAN == 0 => Left::Clean,
        // Only a commit in two phases waits for its pages before it counts.
        Some(state) if state & TWO_PHASE == 0 => Left::InDoubt,
        _ => Left::Unclean,
    }
}

fn within(offset: u64) -> usize {
    usize::try_from(offset % PAGE).expect("less than a page")
}

/// How many of `len` bytes from `offset` on lie together in the file: whole pages to the end of the
/// group, or else a part of one page.
fn step(offset: u64, len: usize) -> usize {
    if within(offset) > 0 || len < PAGE_BYTES {
        return len.min(PAGE_BYTES - within(offset));
    }
    let left_in_group = (GROUP_PAGES - offset / PAGE % GROUP_PAGES) * PAGE;
    let whole = len / PAGE_BYTES * PAGE_BYTES;
    whole.min(usize::try_from(left_in_group).unwrap_or(usize::MAX))
}

/// Where a page lies in the file: a page of sums comes before each group.
fn physical(page: u64) -> u64 {
    (page + page / GROUP_PAGES + 1) * PAGE
}

fn physical_len(len: u64) -> u64 {
    len + len.div_ceil(GROUP_PAGES * PAGE) * PAGE
}

fn logical_len(len: u64) -> u64 {
    len.saturating_sub(len.div_ceil((GROUP_PAGES + 1) * PAGE) * PAGE)
}

/// The sum of a page in its place; never 0, which says that there is none.
fn sum_of(page: u64, bytes: &[u8]) -> u32 {
    // Half of it is enough to notice damage; nobody forges what is on their own disk.
    match xxh64(page, bytes) as u32 {
        0 => u32::MAX,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn lengths_go_there_and_back() {
        for pages in [0, 1, 2, 1_023, 1_024, 1_025, 2_048, 5_000_000] {
            let len = pages * PAGE;
            assert_eq!(logical_len(physical_len(len)), len);
            if pages > 0 {
                let end = physical(pages - 1) + PAGE;
                assert_eq!(end, physical_len(len), "the last page ends the file");
            }
        }
    }

    fn file(pages: u64) -> PageSums {
        let sums =
            PageSums::open("log.redb", Arc::new(InMemoryBackend::new())).expect("it is empty");
        sums.set_len(pages * PAGE).expect("memory");
        sums
    }

    #[test]
    fn pages_come_back_across_groups() {
        let sums = file(2_100);
        let bytes: Vec<u8> = (0..6 * PAGE_BYTES).map(|n| (n / 7) as u8).collect();
        for first in [1, 1_020, 1_023, 2_046] {
            sums.write(first * PAGE, &bytes).expect("memory");
            sums.sync_data().expect("memory");
            let mut read = vec![0; bytes.len()];
            sums.read(first * PAGE, &mut read).expect("sound");
            assert!(read == bytes);
            let mut part = vec![0; 5_000];
            sums.read(first * PAGE + 100, &mut part).expect("sound");
            assert_eq!(part, bytes[100..5_100]);
        }
        sums.write(3 * PAGE + 10, b"patch").expect("memory");
        let mut part = [0; 5];
        sums.read(3 * PAGE + 10, &mut part).expect("sound");
        assert_eq!(&part, b"patch");
        assert_eq!(sums.check(|page| panic!("{page}")).expect("memory"), 2_100);
    }

    #[test]
    fn a_flipped_bit_is_an_error_in_its_page_alone() {
        let sums = file(1_100);
        for page in [1, 2, 1_024, 1_030] {
            sums.write(page * PAGE, &[7; PAGE_BYTES]).expect("memory");
        }
        sums.sync_data().expect("memory");
        let raw = &sums.0.file;
        for page in [1, 1_030] {
            let mut byte = [0];
            raw.read(physical(page) + 4_000, &mut byte).expect("memory");
            raw.write(physical(page) + 4_000, &[byte[0] ^ 16])
                .expect("memory");
        }
        let read = |page: u64| sums.read(page * PAGE, &mut [0; PAGE_BYTES]);
        assert_eq!(
            read(1).expect_err("flipped").kind(),
            io::ErrorKind::InvalidData
        );
        assert!(read(2).is_ok() && read(1_024).is_ok());
        assert!(read(500).is_ok(), "nothing was ever written there");
        let mut found = Vec::new();
        sums.check(|page| found.push(page)).expect("memory");
        assert_eq!(found, [1, 1_030]);
    }

    #[test]
    fn what_was_cut_off_has_no_sum_when_it_comes_back() {
        let sums = file(1_100);
        for page in [5, 6, 1_050] {
            sums.write(page * PAGE, &[7; PAGE_BYTES]).expect("memory");
        }
        sums.set_len(6 * PAGE).expect("memory");
        sums.set_len(1_100 * PAGE).expect("memory");
        let mut page = [1; PAGE_BYTES];
        sums.read(6 * PAGE, &mut page).expect("never written");
        assert_eq!(page, [0; PAGE_BYTES]);
        sums.read(1_050 * PAGE, &mut page).expect("never written");
        assert_eq!(page, [0; PAGE_BYTES]);
        sums.read(5 * PAGE, &mut page).expect("sound");
        assert_eq!(page, [7; PAGE_BYTES]);
    }
}
