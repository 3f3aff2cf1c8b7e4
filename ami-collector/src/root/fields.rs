//! The fields of all hosts, by which the root plans. Pure.

use ami_graph::data::schema::Schema;
use std::collections::HashSet;

/// Each name once, as the first host has it that has it; a name that is an alias of an earlier
/// host's field is that field. Asked for again with every host that comes: the time is linear in
/// all fields of all hosts.
pub fn of_all<'a>(hosts: impl Iterator<Item = &'a Schema>) -> Schema {
    let mut known: HashSet<&str> = HashSet::new();
    let mut fields = Vec::new();
    for schema in hosts {
        let first = fields.len();
        fields.extend(schema.fields.iter().filter(|f| !known.contains(f.name.as_str())));
        for field in &fields[first..] {
            known.insert(&field.name);
            known.extend(field.aliases.iter().map(String::as_str));
        }
    }
    Schema { fields: fields.into_iter().cloned().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ami_graph::data::schema::{Field, Kind};
    use ami_graph::data::value::DType;

    fn schema(fields: &[(&str, DType, &[&str])]) -> Schema {
        let field = |&(name, dtype, aliases): &(&str, DType, &[&str])| Field {
            name: name.into(),
            aliases: aliases.iter().map(|&a| a.into()).collect(),
            dtype,
            rank: 0,
            shape: None,
            kind: Kind::Event,
            labels: Default::default(),
        };
        Schema { fields: fields.iter().map(field).collect() }
    }

    #[test]
    fn every_name_is_there_once_as_the_first_host_has_it() {
        let one = schema(&[("a", DType::F64, &["x"]), ("b", DType::U8, &[])]);
        let two = schema(&[("b", DType::F32, &[]), ("x", DType::F32, &[]), ("c", DType::I64, &[])]);
        let all = of_all([&one, &two, &one].into_iter());
        let named: Vec<_> = all.fields.iter().map(|f| (f.name.as_str(), f.dtype)).collect();
        assert_eq!(named, [("a", DType::F64), ("b", DType::U8), ("c", DType::I64)]);
        assert_eq!(of_all(std::iter::empty()), Schema::default());
    }
}
