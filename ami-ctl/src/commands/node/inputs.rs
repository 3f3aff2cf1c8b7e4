//! Which field each input of a node is taken from.

use crate::failure::Failure;
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::types::Type;
use ami_graph::error::nearest;
use serde_json::Value;

/// Most fields that an error lists.
const MOST_LISTED: usize = 30;

/// `NAME=FIELD`, or a field for the next input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    name: Option<String>,
    field: String,
}

/// An input and the field that it is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// As the code calls it.
    pub name: String,
    /// Index in the schema.
    pub field: usize,
}

/// Reads `NAME=FIELD` or `FIELD`.
///
/// # Errors
/// Says what is accepted.
pub fn given(text: &str) -> Result<Given, String> {
    let (name, field) = match text.split_once('=') {
        Some((name, field)) => (Some(name.trim().to_string()), field.trim()),
        None => (None, text.trim()),
    };
    if field.is_empty() || name.as_ref().is_some_and(String::is_empty) {
        return Err(
            "write NAME=FIELD, such as image=jungfrau:raw:raw, or FIELD for the next input".into(),
        );
    }
    Ok(Given { name, field: field.into() })
}

/// Finds a field for each input: by name, by position, or the only one that is called like the input.
///
/// # Errors
/// Names the input or field, and lists the fields that there are.
pub fn matched(
    names: &[String],
    varargs: bool,
    given: &[Given],
    schema: &Schema,
) -> Result<Vec<Input>, Failure> {
    let mut fields: Vec<Option<usize>> = vec![None; names.len()];
    for Given { name, field } in given {
        let Some(name) = name else { continue };
        let place = names.iter().position(|known| known == name).ok_or_else(|| {
            let hint = nearest(name, names.iter().map(String::as_str));
            Failure::usage(format!("--in {name}={field}: the code has no input {name:?}"), hint)
        })?;
        if fields[place].replace(find(schema, field)?).is_some() {
            let error = format!("--in {name}=… is given twice");
            return Err(Failure::usage(error, "give each input once"));
        }
    }
    let mut more = Vec::new();
    for Given { field, .. } in given.iter().filter(|given| given.name.is_none()) {
        let index = find(schema, field)?;
        match fields.iter_mut().find(|field| field.is_none()) {
            Some(free) => *free = Some(index),
            None if varargs => more.push(Input { name: field.clone(), field: index }),
            None => {
                let error = format!("--in {field}: all {} inputs have a field", names.len());
                return Err(Failure::usage(error, format!("the code takes {}", names.join(", "))));
            }
        }
    }
    let named = names.iter().zip(fields).map(|(name, field)| {
        let field = field.map_or_else(|| called_like(name, schema), Ok)?;
        Ok(Input { name: name.clone(), field })
    });
    let mut all = named.collect::<Result<Vec<Input>, Failure>>()?;
    all.append(&mut more);
    Ok(all)
}

fn find(schema: &Schema, name: &str) -> Result<usize, Failure> {
    schema.find(name).ok_or_else(|| {
        let names = schema.fields.iter().map(|field| field.name.as_str());
        let hint = nearest(name, names);
        Failure::usage(format!("the source has no field {name:?}"), hint)
            .with(list(&all(schema), schema))
    })
}

/// The only field of which a part of the name, or an alias, is this name.
fn called_like(name: &str, schema: &Schema) -> Result<usize, Failure> {
    let is_called = |field: &Field| {
        field.name.split([':', '.']).any(|part| part == name)
            || field.aliases.iter().any(|a| a == name)
    };
    let like: Vec<usize> =
        all(schema).into_iter().filter(|&index| is_called(&schema.fields[index])).collect();
    match like[..] {
        [one] => Ok(one),
        [] => {
            let error = format!("input {name:?}: no field of the source is called so");
            let hint = format!("say which one it is: --in {name}=FIELD");
            Err(Failure::usage(error, hint).with(list(&all(schema), schema)))
        }
        _ => {
            let error = format!("input {name:?}: several fields of the source fit");
            let hint = format!("say which one it is: --in {name}=FIELD");
            Err(Failure::usage(error, hint).with(list(&like, schema)))
        }
    }
}

fn all(schema: &Schema) -> Vec<usize> {
    (0..schema.fields.len()).collect()
}

/// Fields with their types, a line each.
fn list(fields: &[usize], schema: &Schema) -> Vec<Value> {
    let width = fields.iter().map(|&i| schema.fields[i].name.len()).max().unwrap_or(0);
    let mut lines: Vec<Value> = fields
        .iter()
        .take(MOST_LISTED)
        .map(|&i| described(&schema.fields[i], width).into())
        .collect();
    if fields.len() > MOST_LISTED {
        lines.push(format!("… and {} more", fields.len() - MOST_LISTED).into());
    }
    lines
}

fn described(field: &Field, width: usize) -> String {
    let held = if field.kind == Kind::Held { ", held" } else { "" };
    format!("{:width$}  {}{held}", field.name, type_of(field))
}

/// What is known of a field's values.
pub fn type_of(field: &Field) -> Type {
    match &field.shape {
        Some(shape) => Type::shaped(field.dtype, shape),
        None => Type::array(field.dtype, field.rank),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ami_graph::data::value::DType;
    use std::collections::BTreeMap;

    fn schema() -> Schema {
        let field = |name: &str, rank| Field {
            name: name.into(),
            aliases: if rank == 2 { vec!["camera".into()] } else { Vec::new() },
            dtype: DType::U16,
            rank,
            shape: None,
            kind: Kind::Event,
            labels: BTreeMap::new(),
        };
        Schema {
            fields: vec![
                field("gmd:raw:energy", 0),
                field("jungfrau:raw:raw", 2),
                field("xgmd:raw:energy", 0),
            ],
        }
    }

    fn found(names: &[&str], varargs: bool, texts: &[&str]) -> Result<Vec<usize>, Failure> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let given: Vec<Given> = texts.iter().map(|text| given(text).unwrap()).collect();
        Ok(matched(&names, varargs, &given, &schema())?
            .into_iter()
            .map(|input| input.field)
            .collect())
    }

    #[test]
    fn by_name_by_position_and_by_likeness() {
        let two = ["a", "b"];
        assert_eq!(found(&two, false, &["b=gmd:raw:energy", "a=jungfrau:raw:raw"]), Ok(vec![1, 0]));
        assert_eq!(found(&two, false, &["b=gmd:raw:energy", "camera"]), Ok(vec![1, 0]));
        assert_eq!(found(&["gmd", "jungfrau"], false, &[]), Ok(vec![0, 1]));
        assert_eq!(found(&["camera"], false, &[]), Ok(vec![1]));
        assert_eq!(found(&["a"], true, &["gmd:raw:energy", "camera", "camera"]), Ok(vec![0, 1, 1]));
    }

    #[test]
    fn mistakes_list_what_there_is() {
        let told = |names: &[&str], texts: &[&str]| {
            let failure = found(names, false, texts).unwrap_err();
            assert_eq!(failure.code, 2);
            crate::client::refusal::text(&failure.refusal)
        };
        let none = told(&["image"], &[]);
        assert!(
            none.contains("--in image=FIELD") && none.contains("jungfrau:raw:raw  uint16[?×?]"),
            "{none}"
        );
        let several = told(&["energy"], &[]);
        assert!(several.contains("xgmd:raw:energy") && !several.contains("jungfrau"), "{several}");
        assert!(told(&["a"], &["a=gmd:raw:enrgy"]).contains("did you mean \"gmd:raw:energy\""));
        assert!(told(&["image"], &["imag=camera"]).contains("did you mean \"image\""));
        assert!(told(&["a"], &["a=camera", "a=camera"]).contains("given twice"));
        assert!(told(&["a"], &["camera", "camera"]).contains("all 1 inputs have a field"));
        assert!(given("=x").is_err() && given("a=").is_err() && given("").is_err());
    }
}
