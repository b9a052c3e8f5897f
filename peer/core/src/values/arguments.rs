//! The arguments of a call as people and HTTP clients write them: a JSON array in order, or an
//! object keyed by parameter.
//!
//! How a value is written, by type: integers as numbers or as text, decimal or `0x…`, so that 256
//! bits survive; floats also as `"NaN"` and `"Infinity"`; bytes as hex text or a list of numbers;
//! products as objects or lists of fields; enums as `{"Variant": payload}`, `"Variant"` or `[tag,
//! payload]`; options also as null or the bare value; identities and connection ids as hex;
//! timestamps as microseconds or RFC 3339 text. Names match as they are written, or else if they
//! differ only in upper case and underscores.

use spacetimedb_sats::AlgebraicType;
use sync_protocol::limits::ARGUMENTS_BYTES_MAX;

use super::DEPTH_MAX;
use super::cursor::{Cursor, Kind, NotJson};
use super::encode::{Encoder, Fault, find_name, seen};
use super::words::{expectation, list_names, type_name};

/// Bytes of the JSON text. The widest common case, a list of bytes written as numbers, takes four
/// characters a byte; the rest is room for names and spaces.
pub(crate) const ARGUMENTS_JSON_BYTES_MAX: usize = 8 << 20;
const _: () = assert!(4 * ARGUMENTS_BYTES_MAX < ARGUMENTS_JSON_BYTES_MAX);

/// Why a JSON text is not the arguments of a reducer. Always the caller's fault; the text says
/// what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    /// Not JSON.
    #[error("the arguments are not JSON: {problem} at line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What was expected there.
        problem: &'static str,
    },
    /// JSON, but no list and no object.
    #[error(
        "expected the arguments as a JSON array, or as an object keyed by parameter, got {got}"
    )]
    NotArguments {
        /// What came.
        got: String,
    },
    /// A value of the wrong shape.
    #[error("argument {number} `{name}`{}: expected {expected}, got {got}", inside(.path))]
    Wrong {
        /// From 1.
        number: usize,
        /// The parameter's name.
        name: String,
        /// Where inside the argument, from the outside in.
        path: Vec<String>,
        /// The type in words.
        expected: String,
        /// What came, in words.
        got: String,
    },
    /// Not enough arguments.
    #[error("argument {number} `{name}` is missing: expected {expected}{}", count(.given, .wanted))]
    Missing {
        /// From 1.
        number: usize,
        /// The parameter's name.
        name: String,
        /// The type in words.
        expected: String,
        /// How many came.
        given: usize,
        /// How many there are.
        wanted: usize,
    },
    /// Too many arguments.
    #[error("{given} arguments were given, but the reducer takes {}", takes(.parameters))]
    Extra {
        /// How many came.
        given: usize,
        /// Names and types.
        parameters: Vec<String>,
    },
    /// A name that no parameter has.
    #[error("there is no parameter `{name}`: the reducer takes {}", takes(.parameters))]
    Unknown {
        /// What came.
        name: String,
        /// Names and types.
        parameters: Vec<String>,
    },
    /// The same parameter twice.
    #[error("argument `{name}` is given twice")]
    Twice {
        /// The parameter's name.
        name: String,
    },
    /// The JSON text or its BSATN is too large.
    #[error("the {what} of the arguments is over {bytes_max} bytes")]
    TooLarge {
        /// Which form.
        what: &'static str,
        /// The bound.
        bytes_max: usize,
    },
    /// A type beyond what is followed.
    #[error("argument {number} `{name}`: its type is nested over {DEPTH_MAX} levels")]
    TooDeep {
        /// From 1.
        number: usize,
        /// The parameter's name.
        name: String,
    },
}

fn inside(path: &[String]) -> String {
    path.iter()
        .fold(String::new(), |text, part| text + ", " + part)
}

fn count(given: &usize, wanted: &usize) -> String {
    let were = if *given == 1 { "was" } else { "were" };
    format!("; {given} of {wanted} {were} given")
}

fn takes(parameters: &[String]) -> String {
    if parameters.is_empty() {
        "none".to_owned()
    } else {
        parameters.join(", ")
    }
}

/// Turns the JSON text of a call's arguments into the BSATN product that a module reads. An empty
/// text stands for no arguments.
///
/// # Errors
/// [`ArgumentError`] names the argument, what was expected and what came.
pub(crate) fn arguments_from_json(
    params: &[(String, AlgebraicType)],
    json: &str,
) -> Result<Vec<u8>, ArgumentError> {
    if json.len() > ARGUMENTS_JSON_BYTES_MAX {
        return Err(ArgumentError::TooLarge {
            what: "JSON text",
            bytes_max: ARGUMENTS_JSON_BYTES_MAX,
        });
    }
    let start = Cursor::new(json);
    let not_json = |fault: NotJson| not_json(&start, &fault);
    let mut encoder = Encoder::new(ARGUMENTS_BYTES_MAX);
    let mut rest = start;
    match rest.kind().map_err(not_json)? {
        Kind::List => from_list(params, &mut rest, &mut encoder)?,
        Kind::Object => from_object(params, &mut rest, &mut encoder)?,
        Kind::End => match params.first() {
            Some(_) => return Err(missing(params, 0, 0)),
            None => return Ok(vec![]),
        },
        _ => {
            let mut whole = start;
            whole.skip().map_err(not_json)?;
            whole.finish().map_err(not_json)?;
            return Err(ArgumentError::NotArguments {
                got: seen(start).map_err(not_json)?,
            });
        }
    }
    rest.finish().map_err(not_json)?;
    Ok(encoder.out)
}

fn from_list(
    params: &[(String, AlgebraicType)],
    json: &mut Cursor<'_>,
    encoder: &mut Encoder,
) -> Result<(), ArgumentError> {
    let start = *json;
    let not_json = |fault: NotJson| not_json(&start, &fault);
    json.open_list().map_err(not_json)?;
    let mut first = true;
    for (at, (_, ty)) in params.iter().enumerate() {
        if !json.next_element(&mut first).map_err(not_json)? {
            return Err(missing(params, at, at));
        }
        encoder
            .value(ty, json, 0)
            .map_err(|fault| argument_error(params, at, &start, fault))?;
    }
    let mut given = params.len();
    while json.next_element(&mut first).map_err(not_json)? {
        json.skip().map_err(not_json)?;
        given += 1;
    }
    if given > params.len() {
        return Err(ArgumentError::Extra {
            given,
            parameters: parameters(params),
        });
    }
    Ok(())
}

fn from_object(
    params: &[(String, AlgebraicType)],
    json: &mut Cursor<'_>,
    encoder: &mut Encoder,
) -> Result<(), ArgumentError> {
    let start = *json;
    let not_json = |fault: NotJson| not_json(&start, &fault);
    let names: Vec<_> = params.iter().map(|(name, _)| Some(name.as_str())).collect();
    let mut places = vec![None; params.len()];
    json.open_object().map_err(not_json)?;
    let mut first = true;
    while let Some(name) = json.next_member(&mut first).map_err(not_json)? {
        let Some(at) = find_name(&names, &name) else {
            return Err(ArgumentError::Unknown {
                name: name.into_owned(),
                parameters: parameters(params),
            });
        };
        if places[at].replace(*json).is_some() {
            return Err(ArgumentError::Twice {
                name: params[at].0.clone(),
            });
        }
        json.skip().map_err(not_json)?;
    }
    let given = places.iter().flatten().count();
    for (at, place) in places.into_iter().enumerate() {
        let mut place = place.ok_or_else(|| missing(params, at, given))?;
        encoder
            .value(&params[at].1, &mut place, 0)
            .map_err(|fault| argument_error(params, at, &start, fault))?;
    }
    Ok(())
}

fn argument_error(
    params: &[(String, AlgebraicType)],
    at: usize,
    start: &Cursor<'_>,
    fault: Fault,
) -> ArgumentError {
    let (number, name) = (at + 1, params[at].0.clone());
    match fault {
        Fault::NotJson(fault) => not_json(start, &fault),
        Fault::Wrong {
            mut path,
            expected,
            got,
        } => {
            path.reverse();
            ArgumentError::Wrong {
                number,
                name,
                path,
                expected,
                got,
            }
        }
        Fault::TooLarge => ArgumentError::TooLarge {
            what: "BSATN",
            bytes_max: ARGUMENTS_BYTES_MAX,
        },
        Fault::TooDeep => ArgumentError::TooDeep { number, name },
    }
}

fn not_json(text: &Cursor<'_>, fault: &NotJson) -> ArgumentError {
    let (line, column) = text.place(fault.at);
    ArgumentError::NotJson {
        line,
        column,
        problem: fault.problem,
    }
}

fn missing(params: &[(String, AlgebraicType)], at: usize, given: usize) -> ArgumentError {
    let (name, ty) = &params[at];
    ArgumentError::Missing {
        number: at + 1,
        name: name.clone(),
        expected: expectation(ty),
        given,
        wanted: params.len(),
    }
}

fn parameters(params: &[(String, AlgebraicType)]) -> Vec<String> {
    params
        .iter()
        .map(|(name, ty)| format!("{} ({})", list_names([name.as_str()]), type_name(ty)))
        .collect()
}

#[cfg(test)]
mod tests;
