//! `tombolo describe`.

use clap::Args;
use serde_json::Value;

use super::Target;
use super::client::{Client, database};
use super::output::{plain, print, print_json, shown};

/// Arguments of `describe`.
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Name or identity of the database
    database: String,
    /// Print tables and reducers as JSON
    #[arg(long)]
    json: bool,
}

impl Describe {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let schema = client.get(&database(&self.database, "/schema?version=plain"))?;
        if self.json {
            print_json(&schema);
        } else {
            print(&for_people(&schema));
        }
        Ok(())
    }
}

/// Tables with their columns, then reducers with their parameters.
fn for_people(schema: &Value) -> String {
    let mut text = String::new();
    for table in list(&schema["tables"]) {
        text.push_str(&table_for_people(table));
        text.push('\n');
    }
    for reducer in list(&schema["reducers"]) {
        let parameters: Vec<String> = list(&reducer["parameters"])
            .map(|parameter| format!("{}: {}", word(&parameter["name"]), word(&parameter["type"])))
            .collect();
        let note = match reducer["lifecycle"].as_str() {
            Some(_) => "  (life cycle)",
            None if is(&reducer["client_callable"]) => "",
            None => "  (not for clients)",
        };
        text.push_str(&format!(
            "reducer {}({}){note}\n",
            word(&reducer["name"]),
            parameters.join(", ")
        ));
    }
    text
}

fn table_for_people(table: &Value) -> String {
    let kind = match (is(&table["public"]), is(&table["event"])) {
        (true, false) => "public",
        (false, false) => "private",
        (true, true) => "public, rows are events",
        (false, true) => "private, rows are events",
    };
    let columns: Vec<[String; 3]> = list(&table["columns"])
        .map(|column| [word(&column["name"]), word(&column["type"]), notes(column)])
        .collect();
    let width = |at: usize| {
        let widths = columns.iter().map(|column| column[at].chars().count());
        widths.max().unwrap_or(0)
    };
    let (names, types) = (width(0), width(1));
    let mut text = format!("table {} ({kind})\n", word(&table["name"]));
    for [name, ty, notes] in &columns {
        let line = format!("    {name:names$}  {ty:types$}  {notes}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    // Those of one unique column are noted there.
    for index in list(&table["indexes"]) {
        let columns: Vec<String> = list(&index["columns"]).map(word).collect();
        let unique = is(&index["unique"]);
        if unique && columns.len() == 1 {
            continue;
        }
        text.push_str(&format!(
            "    {}{} index on {}\n",
            if unique { "unique " } else { "" },
            word(&index["kind"]),
            columns.join(", ")
        ));
    }
    text
}

fn notes(column: &Value) -> String {
    let mut notes = Vec::new();
    if is(&column["primary_key"]) {
        notes.push("primary key");
    } else if is(&column["unique"]) {
        notes.push("unique");
    }
    if is(&column["auto_inc"]) {
        notes.push("auto_inc");
    }
    notes.join(", ")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

fn word(value: &Value) -> String {
    shown(&plain(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_is_readable() {
        let schema = json!({
            "tables": [{
                "name": "message", "public": true, "event": false,
                "columns": [
                    { "name": "id", "type": "u64", "primary_key": true, "unique": true, "auto_inc": true },
                    { "name": "room", "type": "u64" },
                ],
                "indexes": [
                    { "columns": ["id"], "unique": true, "kind": "btree" },
                    { "columns": ["room"], "unique": false, "kind": "btree" },
                ],
            }],
            "reducers": [
                { "name": "say", "parameters": [{ "name": "text", "type": "string" }], "client_callable": true },
                { "name": "init", "parameters": [], "lifecycle": "init", "client_callable": false },
            ],
        });
        let expected = "table message (public)\n    id    u64  primary key, auto_inc\n    room  u64\n    \
                        btree index on room\n\nreducer say(text: string)\nreducer init()  (life cycle)\n";
        assert_eq!(for_people(&schema), expected);
    }
}
