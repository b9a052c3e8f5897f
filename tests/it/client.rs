//! Talks to a peer over HTTP, as its owner.

use serde_json::Value;
use std::time::Duration;

/// How long one answer may take: a reducer that is stopped by its budget takes seconds.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Called {
    /// It is durable and ran.
    Ok,
    /// It is durable, and the reducer failed or was stopped, with this text.
    Failed(String),
    /// No acknowledgement: the peer went away, or refused.
    Unknown(String),
}

/// The HTTP side of one peer. Cheap to clone: each thread of a test has its own.
#[derive(Clone)]
pub(crate) struct Client {
    http: String,
    token: String,
    agent: ureq::Agent,
}

impl Client {
    pub(crate) fn new(http: &str, token: &str) -> Client {
        Client {
            http: http.trim_end_matches('/').to_string(),
            token: token.to_string(),
            agent: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(ANSWER_PATIENCE))
                .build()
                .into(),
        }
    }

    /// The peer's address.
    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    /// The owner's token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// One request: status code and body.
    ///
    /// # Errors
    /// When no answer came.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<(u16, String), String> {
        let content = match body {
            Some(text) if text.starts_with(['[', '{']) => "application/json",
            _ => "text/plain",
        };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.http))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", content)
            .body(body.unwrap_or_default().to_string())
            .map_err(|error| error.to_string())?;
        let answer = match body {
            Some(_) => self.agent.run(request),
            None => self.agent.run(request.map(|_| ())),
        };
        let mut answer = answer.map_err(|error| format!("{method} {path}: {error}"))?;
        let text = answer
            .body_mut()
            .read_to_string()
            .map_err(|error| format!("{method} {path}: {error}"))?;
        Ok((answer.status().as_u16(), text))
    }

    /// Sends bytes; gives the answer, which has to be JSON and 200.
    ///
    /// # Panics
    /// When it is something else.
    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Value {
        let request = self.agent.put(format!("{}{path}", self.http));
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let mut answer = request.send(body).expect("the peer answers");
        let text = answer.body_mut().read_to_string().expect("a text");
        assert_eq!(answer.status().as_u16(), 200, "{path}: {text}");
        serde_json::from_str(&text).expect("the answer is JSON")
    }

    /// Calls a reducer with a JSON array of arguments.
    ///
    /// # Panics
    /// When the call is refused for what it asks: a test that calls wrongly is wrong.
    pub(crate) fn call(&self, database: &str, reducer: &str, arguments: &Value) -> Called {
        let path = format!("/v1/database/{database}/call/{reducer}");
        match self.request("POST", &path, Some(&arguments.to_string())) {
            Ok((200, _)) => Called::Ok,
            Ok((530, text)) => Called::Failed(text),
            Ok((status @ 400..500, text)) => panic!("{path} {arguments}: {status} {text}"),
            Ok((status, text)) => Called::Unknown(format!("{status} {text}")),
            Err(error) => Called::Unknown(error),
        }
    }

    /// Rows of a query.
    pub(crate) fn sql(&self, database: &str, text: &str) -> Vec<Value> {
        let answer = self.sql_text(database, text);
        let mut answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
        match answer[0]["rows"].take() {
            Value::Array(rows) => rows,
            _ => panic!("no rows: {answer}"),
        }
    }

    /// The answer to a query as it came: numbers over 64 bits stay whole.
    pub(crate) fn sql_text(&self, database: &str, text: &str) -> String {
        let (status, answer) = self
            .request("POST", &format!("/v1/database/{database}/sql"), Some(text))
            .expect("the peer answers");
        assert_eq!(status, 200, "{text}: {answer}");
        answer
    }

    /// The rows of a query as text, without what differs from one asking to the next.
    pub(crate) fn sql_text_rows(&self, database: &str, text: &str) -> String {
        let answer = self.sql_text(database, text);
        let rows = answer.split_once("\"rows\"").expect("an answer has rows").1;
        rows.split("\"total_duration_micros\"")
            .next()
            .unwrap_or_default()
            .to_string()
    }

    /// `SELECT COUNT(*)` of one table.
    pub(crate) fn count(&self, database: &str, table: &str) -> u64 {
        let rows = self.sql(database, &format!("SELECT COUNT(*) AS n FROM {table}"));
        let count = &rows[0][0];
        count
            .as_u64()
            .or_else(|| count.as_str()?.parse().ok())
            .unwrap_or_else(|| panic!("not a count: {rows:?}"))
    }

    /// What `tombolo status DATABASE --json` shows.
    pub(crate) fn status(&self, database: &str) -> Value {
        self.try_status(database)
            .expect("the peer tells its status")
    }

    /// The same.
    ///
    /// # Errors
    /// When the peer has no such database yet, or does not answer.
    pub(crate) fn try_status(&self, database: &str) -> Result<Value, String> {
        let (status, answer) =
            self.request("GET", &format!("/v1/database/{database}/status"), None)?;
        if status != 200 {
            return Err(format!("{status}: {answer}"));
        }
        serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))
    }
}
