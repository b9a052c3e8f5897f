//! Reducers and procedures, one file each: `…_reducer.rs` and `…_procedure.rs`.

use super::names::{Pool, identifier, snake, type_identifier};
use super::text::{Variant, braces, call, fill, signature};
use super::types::{IMPORTS, Known, Writer};
use crate::error::BindingsError;
use crate::literal::string;
use crate::model::Function;

/// A function's parameters, as they are written in the folder's files.
pub(super) struct Params {
    /// `name: type`.
    typed: Vec<String>,
    pub(super) names: Vec<String>,
}

impl Params {
    fn new(function: &Function, writer: &mut Writer<'_>) -> Result<Self, BindingsError> {
        let (mut typed, mut names) = (Vec::new(), Vec::new());
        for (source, ty) in &function.params {
            let name = identifier(source);
            typed.push(format!("{name}: {}", writer.ty(ty)?));
            names.push(name);
        }
        Ok(Self { typed, names })
    }

    /// The parameters of a method.
    fn of_method(&self, last: Option<&str>) -> Vec<String> {
        let mut all = vec!["&self".to_owned()];
        all.extend_from_slice(&self.typed);
        all.extend(last.map(str::to_owned));
        all
    }
}

fn writer<'a>(function: &Function, known: &'a Known<'a>) -> Writer<'a> {
    let name = type_identifier(&function.source_name);
    Writer::new(known, format!("{name}Args"))
}

/// A reducer as a variant of the enum of them all, and the names of its parameters.
pub(super) fn variant(
    function: &Function,
    known: &Known<'_>,
) -> Result<(Variant, Vec<String>), BindingsError> {
    let params = Params::new(function, &mut writer(function, known))?;
    let variant = Variant {
        name: type_identifier(&function.source_name),
        fields: params.typed,
    };
    Ok((variant, params.names))
}

/// Writes a reducer's file: its name without `.rs`, and what is in it.
pub(super) fn reducer(
    function: &Function,
    known: &Known<'_>,
    pool: &mut Pool,
) -> Result<(String, String), BindingsError> {
    let mut writer = writer(function, known);
    let params = Params::new(function, &mut writer)?;
    let variant = type_identifier(&function.source_name);
    let value = match params.names.as_slice() {
        [] => format!("super::Reducer::{variant}"),
        names => braces(2, &format!("super::Reducer::{variant}"), names),
    };
    let callback = "impl FnOnce(&super::ReducerEventContext, Outcome) + Send + 'static";
    let methods = Methods {
        function,
        params: &params,
        callback,
        ignore: "super::remote_module::ignore_reducer",
        returns: " -> __sdk::Result<()>",
        end: "",
    };
    let mut text = IMPORTS.to_owned();
    text += "\nuse super::remote_module::Outcome;\n";
    text += &methods.filled(REDUCER, &[("value", &value)], pool)?;
    text += &writer.parts(pool)?;
    Ok((format!("{}_reducer", snake(&function.source_name)), text))
}

/// Writes a procedure's file: its name without `.rs`, and what is in it.
pub(super) fn procedure(
    function: &Function,
    known: &Known<'_>,
    pool: &mut Pool,
) -> Result<(String, String), BindingsError> {
    let mut writer = writer(function, known);
    let params = Params::new(function, &mut writer)?;
    let returned = writer.ty(&function.returns)?;
    let args = format!("{}Args", type_identifier(&function.source_name));
    let fields = params.typed.iter().map(|param| format!("    {param},\n"));
    let fields: String = fields.collect();
    let methods = Methods {
        function,
        params: &params,
        callback: "impl FnOnce(&super::ProcedureEventContext, Outcome) + Send + 'static",
        ignore: "super::remote_module::ignore_procedure",
        returns: "",
        end: ";",
    };
    let values = [
        ("returned", returned.as_str()),
        ("args", &args),
        (
            "fields",
            &match fields.is_empty() {
                true => "{}".to_owned(),
                false => format!("{{\n{fields}}}"),
            },
        ),
        ("value", &braces(2, &args, &params.names)),
        ("name", &string(&function.wire_name)),
    ];
    let mut text = IMPORTS.to_owned();
    text += &methods.filled(PROCEDURE, &values, pool)?;
    text += &writer.parts(pool)?;
    Ok((format!("{}_procedure", snake(&function.source_name)), text))
}

/// The two methods by which a function is called.
struct Methods<'a> {
    function: &'a Function,
    params: &'a Params,
    /// The type of the callback.
    callback: &'a str,
    /// The callback that does nothing.
    ignore: &'a str,
    /// What both return.
    returns: &'a str,
    /// What ends the statement that calls one by way of the other.
    end: &'a str,
}

impl Methods<'_> {
    fn filled(
        &self,
        template: &str,
        values: &[(&str, &str)],
        pool: &mut Pool,
    ) -> Result<String, BindingsError> {
        let accessor = identifier(&self.function.source_name);
        let then = format!("{}_then", snake(&self.function.source_name));
        pool.take(&accessor)?;
        // Names that were converted do not end so: it is no parameter's.
        let callback = format!("callback_: {}", self.callback);
        let plain = |end: &str| {
            let params = self.params.of_method(None);
            signature(
                1,
                &format!("fn {accessor}"),
                &params,
                &format!("{}{end}", self.returns),
            )
        };
        let with_callback = |end: &str| {
            let params = self.params.of_method(Some(&callback));
            signature(
                1,
                &format!("fn {then}"),
                &params,
                &format!("{}{end}", self.returns),
            )
        };
        let mut arguments = self.params.names.clone();
        arguments.push(self.ignore.to_owned());
        let mut all = vec![
            ("accessor", accessor.clone()),
            ("plain", plain(" {")),
            (
                "call",
                call(2, &format!("self.{then}"), &arguments, self.end),
            ),
            ("then", with_callback(";")),
            ("then_body", with_callback(" {")),
        ];
        all.extend(
            values
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let all: Vec<(&str, &str)> = all.iter().map(|(name, it)| (*name, it.as_str())).collect();
        Ok(fill(template, &all))
    }
}

const REDUCER: &str = "
/// Calls a reducer, of [`super::RemoteReducers`].
pub trait @accessor@ {
    /// Sends the call. An error is that it cannot be sent; what comes of it is not told.
@plain@@call@    }

    /// Sends the call, and gives the callback what came of it.
@then@}

impl @accessor@ for super::RemoteReducers {
@then_body@        let value = @value@;
        self.imp.invoke_reducer_with_callback(value, callback_)
    }
}
";

const PROCEDURE: &str = "
/// What the procedure returned, or why it did not.
type Outcome = Result<@returned@, __sdk::InternalError>;

#[derive(Clone, Debug, PartialEq, __lib::ser::Serialize, __lib::de::Deserialize)]
#[sats(crate = __lib)]
struct @args@ @fields@

impl __sdk::InModule for @args@ {
    type Module = super::RemoteModule;
}

/// Calls a procedure, of [`super::RemoteProcedures`].
pub trait @accessor@ {
    /// Sends the call; what comes of it is not told.
@plain@@call@    }

    /// Sends the call, and gives the callback what came of it.
@then@}

impl @accessor@ for super::RemoteProcedures {
@then_body@        let value = @value@;
        let imp = &self.imp;
        imp.invoke_procedure_with_callback(@name@, value, callback_);
    }
}
";
