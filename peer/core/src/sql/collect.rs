//! Puts the answer together: sorted, without doubles, and no more of it than is wanted.

use std::collections::{BTreeSet, BinaryHeap};
use std::ops::ControlFlow;

use store::limits::ROW_OVERHEAD_BYTES;

use super::bind::Cell;
use super::error::SqlError;
use super::group::sort_key;
use super::plan::{Output, Plan};
use super::reach::ORDERED_BYTES;
use super::{ANSWER_BYTES_MAX, ANSWER_ROWS_MAX};

/// Takes rows, or groups, as they are found.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    plan: &'a Plan,
    /// Rows that are still to be left out.
    skip: u64,
    /// Rows that are still wanted.
    wanted: u64,
    rows: Vec<Vec<u8>>,
    size: Size,
    /// Keys of the rows that came, where no row is to come twice.
    seen: BTreeSet<Vec<u8>>,
    order: Order,
}

/// How rows come into order.
#[derive(Debug)]
enum Order {
    /// As they are found.
    Found,
    /// They are found in order, but an index compares the beginning of long values only: those that
    /// it could not tell apart wait here to be sorted. They are few.
    Nearly(Vec<Sorted>),
    /// The first ones of those that came, as many as are wanted.
    Any(BinaryHeap<Sorted>),
}

/// A row of the answer: compared by its key, then by when it came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sorted {
    key: Vec<u8>,
    came: u64,
    row: Vec<u8>,
}

impl Sorted {
    const fn bytes(&self) -> usize {
        self.key.len() + self.row.len()
    }
}

/// What the answer, and what is kept for it, takes.
#[derive(Debug, Default)]
struct Size {
    rows: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, bytes: usize) -> Result<(), SqlError> {
        self.rows += 1;
        self.bytes += bytes + ROW_OVERHEAD_BYTES;
        match self.rows > ANSWER_ROWS_MAX || self.bytes > ANSWER_BYTES_MAX {
            true => Err(SqlError::TooLarge),
            false => Ok(()),
        }
    }

    const fn remove(&mut self, bytes: usize) {
        self.rows -= 1;
        self.bytes -= bytes + ROW_OVERHEAD_BYTES;
    }
}

impl<'a> Collector<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            skip: plan.offset,
            wanted: plan.limit.unwrap_or(u64::MAX),
            rows: vec![],
            size: Size::default(),
            seen: BTreeSet::new(),
            order: match (plan.order.is_empty(), plan.in_order) {
                (true, _) => Order::Found,
                (false, true) => Order::Nearly(vec![]),
                (false, false) => Order::Any(BinaryHeap::new()),
            },
        }
    }

    /// Whether no further row is wanted.
    pub(super) const fn is_full(&self) -> bool {
        self.wanted == 0
    }

    /// A row of each table, or a group: its cells, and the rows as they are.
    pub(super) fn see(
        &mut self,
        came: u64,
        cells: &[&[u8]],
        rows: &[&[u8]],
    ) -> Result<ControlFlow<()>, SqlError> {
        let plan = self.plan;
        let mut key = vec![];
        for by in &plan.order {
            let start = key.len();
            key.extend(sort_key(&by.cell, cells[by.cell.at])?);
            if by.descending {
                key[start..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        let most = plan.offset.saturating_add(plan.limit.unwrap_or(u64::MAX));
        if let Order::Any(heap) = &self.order
            && heap.len() as u64 == most
            && heap.peek().is_none_or(|last| key >= last.key)
        {
            return Ok(ControlFlow::Continue(())); // as many come before it as are wanted
        }
        let row = match &plan.output {
            Output::Rows(at) => rows[*at].to_vec(),
            Output::Cells(shown) => shown.iter().flat_map(|it| cells[it.at]).copied().collect(),
        };
        if plan.distinct && !self.is_new(cells)? {
            return Ok(ControlFlow::Continue(()));
        }
        let sorted = Sorted { key, came, row };
        match &mut self.order {
            Order::Found => self.push(sorted.row)?,
            Order::Nearly(run) => {
                let belongs = |last: &Sorted| {
                    let same = last.key.iter().zip(&sorted.key);
                    let same = same.take_while(|(one, other)| one == other).count();
                    same >= ORDERED_BYTES || last.key == sorted.key
                };
                let ended = match run.last().is_none_or(belongs) {
                    true => vec![],
                    false => std::mem::take(run),
                };
                self.size.add(sorted.bytes())?;
                run.push(sorted);
                self.push_all(ended)?;
            }
            Order::Any(heap) => {
                self.size.add(sorted.bytes())?;
                heap.push(sorted);
                if heap.len() as u64 > most
                    && let Some(last) = heap.pop()
                {
                    self.size.remove(last.bytes());
                }
            }
        }
        Ok(match self.is_full() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    pub(super) fn finish(mut self) -> Result<Vec<Vec<u8>>, SqlError> {
        match std::mem::replace(&mut self.order, Order::Found) {
            Order::Found => {}
            Order::Nearly(run) => self.push_all(run)?,
            Order::Any(heap) => self.push_all(heap.into_vec())?,
        }
        Ok(self.rows)
    }

    fn is_new(&mut self, cells: &[&[u8]]) -> Result<bool, SqlError> {
        let mut key = vec![];
        let shown: &[Cell] = match &self.plan.output {
            Output::Rows(_) => unreachable!("where no row is to come twice, cells are shown"),
            Output::Cells(shown) => shown,
        };
        for cell in shown {
            key.extend(sort_key(cell, cells[cell.at])?);
        }
        let bytes = key.len();
        let is_new = self.seen.insert(key);
        if is_new {
            self.size.add(bytes)?;
        }
        Ok(is_new)
    }

    fn push_all(&mut self, mut rows: Vec<Sorted>) -> Result<(), SqlError> {
        rows.sort_unstable();
        for sorted in rows {
            self.size.remove(sorted.bytes());
            self.push(sorted.row)?;
        }
        Ok(())
    }

    fn push(&mut self, row: Vec<u8>) -> Result<(), SqlError> {
        if self.skip > 0 {
            self.skip -= 1;
        } else if self.wanted > 0 {
            self.wanted -= 1;
            self.size.add(row.len())?;
            self.rows.push(row);
        }
        Ok(())
    }
}
