//! Dumps: the rows of one cut as text, so that two peers whose rows differ can find the first
//! difference with `diff`. Bounded, and of no use to the program itself.

use std::fmt::Write as _;

use sync_protocol::Cut;

use crate::error::Stop;
use crate::replica::{Context, Replica};

/// Rows that a dump lists one by one; the hashes of the tables cover all.
const ROWS_MAX: usize = 200_000;

/// Bytes of a row that a dump shows, in hex; the hash beside it covers all.
const ROW_BYTES_SHOWN: usize = 96;

/// Entries of the segment that a dump lists.
const ENTRIES_MAX: usize = 20_000;

/// Purpose of the hashes in a dump.
const DUMP_CONTEXT: &str = "tombolo dump 1";

impl Replica {
    /// Writes down the visible rows, which differ from those that `cut` certifies. They are the
    /// rows after the segment that the cut covers. Gives back the name of the folder.
    pub(crate) fn dump_against(&self, cut: &Cut, ctx: &Context<'_>) -> Result<String, Stop> {
        let mut about = self.about(cut, ctx)?;
        let _ = writeln!(about, "entries of the segment");
        for ran in self.executed.iter().take(ENTRIES_MAX) {
            let void = if ran.is_void() { " void" } else { "" };
            let _ = writeln!(about, "  {}{void}", ran.entry.id);
        }
        self.write_dump(cut.height, &about, ctx)
    }

    /// Writes down the rows at our last cut.
    pub(crate) fn dump_at_cut(&self, ctx: &Context<'_>) -> Result<String, Stop> {
        let about = self.about(&self.cut, ctx)?;
        self.write_dump(self.cut.height, &about, ctx)
    }

    fn about(&self, cut: &Cut, ctx: &Context<'_>) -> Result<String, Stop> {
        let mut about = String::new();
        for (what, text) in [
            ("tombolo", env!("CARGO_PKG_VERSION").to_owned()),
            ("database", self.id.to_string()),
            ("peer", ctx.device.to_string()),
            ("module", self.executor.module().hash().to_string()),
            ("engine", self.cut.engine.to_string()),
            ("cut", format!("{}/{}", cut.height, cut.id())),
            ("certified state root", cut.state_root.to_string()),
            (
                "state root of these rows",
                self.state()?.root()?.to_string(),
            ),
        ] {
            let _ = writeln!(about, "{what}: {text}");
        }
        Ok(about)
    }

    fn write_dump(&self, height: u64, about: &str, ctx: &Context<'_>) -> Result<String, Stop> {
        let state = self.state()?;
        let mut tables = String::new();
        let mut rows = String::new();
        let mut listed = 0;
        for table in state.schema().tables() {
            let mut hasher = blake3::Hasher::new_derive_key(DUMP_CONTEXT);
            let mut count = 0_u64;
            for row in state.rows(table.id)? {
                let row = row?;
                let hash = hash_of(&row);
                hasher.update(&hash);
                count += 1;
                if listed < ROWS_MAX {
                    listed += 1;
                    let shown = &row[..row.len().min(ROW_BYTES_SHOWN)];
                    let more = if shown.len() < row.len() { "…" } else { "" };
                    let _ = writeln!(
                        rows,
                        "{} {} {}{more}",
                        table.name,
                        hex(&hash[..8]),
                        hex(shown)
                    );
                }
            }
            let hash = hasher.finalize();
            let _ = writeln!(tables, "{} {count} {}", table.name, hex(hash.as_bytes()));
        }
        let dump = format!("dump-{height}");
        for (name, text) in [
            ("about.txt", about),
            ("tables.txt", &tables),
            ("rows.txt", &rows),
        ] {
            ctx.disk.put_dump(&self.id, &dump, name, text)?;
        }
        Ok(dump)
    }
}

fn hash_of(row: &[u8]) -> [u8; 32] {
    blake3::derive_key(DUMP_CONTEXT, row)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
