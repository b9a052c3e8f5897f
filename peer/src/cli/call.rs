//! `tombolo call`.

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::Target;
use super::client::{Client, database, segment};
use super::output::print_json;
use crate::driver::api::CALL_HEADER;

/// Arguments of `call`.
#[derive(Debug, Args)]
pub(crate) struct Call {
    /// Name or identity of the database
    database: String,
    /// Name of the reducer
    reducer: String,
    /// Its arguments in order, each as JSON; what is not JSON is taken as text
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Print where the call ended up, as JSON
    #[arg(long)]
    json: bool,
}

impl Call {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let path = database(&self.database, &format!("/call/{}", segment(&self.reducer)));
        let arguments = array(&self.arguments);
        let (headers, _) = client.post_raw(&path, "application/json", arguments.as_bytes())?;
        if self.json {
            let place = headers
                .get(CALL_HEADER.as_str())
                .and_then(|value| value.to_str().ok())
                .context("the peer does not say where the call ended up; is it a Tombolo peer?")?;
            print_json(&serde_json::from_str(place)?);
        }
        Ok(())
    }
}

/// The arguments as one JSON array. They are joined as text: a number of 128 bits would not
/// survive being read.
fn array(arguments: &[String]) -> String {
    let parts: Vec<String> = arguments
        .iter()
        .map(|argument| {
            if serde_json::from_str::<&serde_json::value::RawValue>(argument).is_ok() {
                argument.clone()
            } else {
                Value::String(argument.clone()).to_string()
            }
        })
        .collect();
    format!("[{}]", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_json_or_text() {
        let check = |arguments: &[&str], expected: &str| {
            let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
            assert_eq!(array(&arguments), expected);
        };
        check(&[], "[]");
        check(&["1", "-2.5", "true", "null"], "[1,-2.5,true,null]");
        check(
            &["\"quoted\"", "Hello, World!"],
            "[\"quoted\",\"Hello, World!\"]",
        );
        check(
            &["{\"a\":[1]}", "", "say \"hi\""],
            "[{\"a\":[1]},\"\",\"say \\\"hi\\\"\"]",
        );
        let big = "340282366920938463463374607431768211455";
        check(&[big], &format!("[{big}]"));
    }
}
