//! What a node works on: one name, a list of names, or a map from the op's input names.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// The value of a node's `in`. A map keeps the order in which it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Inputs {
    /// Not given: only for ops without inputs.
    #[default]
    None,
    /// `"in": "name"`
    One(String),
    /// `"in": ["name", …]`
    List(Vec<String>),
    /// `"in": {"input": "name", …}`
    Map(Vec<(String, String)>),
}

impl Inputs {
    /// True when not given.
    pub fn is_none(&self) -> bool {
        matches!(self, Inputs::None)
    }

    /// The names of fields and nodes, in order.
    pub fn sources(&self) -> Vec<&str> {
        match self {
            Inputs::None => Vec::new(),
            Inputs::One(name) => vec![name],
            Inputs::List(names) => names.iter().map(String::as_str).collect(),
            Inputs::Map(pairs) => pairs.iter().map(|(_, source)| source.as_str()).collect(),
        }
    }
}

impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Inputs::None => serializer.serialize_none(),
            Inputs::One(name) => serializer.serialize_str(name),
            Inputs::List(names) => serializer.collect_seq(names),
            Inputs::Map(pairs) => serializer.collect_map(pairs.iter().map(|(k, v)| (k, v))),
        }
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Inputs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`in` as one name, a list of names, or a map from input to name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Inputs, E> {
                Ok(Inputs::One(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Inputs, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Inputs::List(names))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inputs, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some((input, source)) = map.next_entry::<String, String>()? {
                    if pairs.iter().any(|(other, _)| *other == input) {
                        let text = format!("{input:?} is written twice");
                        return Err(serde::de::Error::custom(text));
                    }
                    pairs.push((input, source));
                }
                Ok(Inputs::Map(pairs))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Inputs {
    fn schema_name() -> Cow<'static, str> {
        "Inputs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One name, a list of names, or a map from the op's input names.",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": {"type": "string"}}
            ]
        })
    }
}
