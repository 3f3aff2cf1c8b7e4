//! What holds at a point of the stream, as the transitions that lead there: what a file that begins
//! there says first.

use ami_graph::data::schema::Schema;
use ami_graph::data::value::Value;
use ami_proto::data_path::transition::TransitionKind;
use ami_proto::data_path::ventilator_to_worker::Context;
use ami_source::source::Transition;
use std::sync::Arc;

/// The transitions that lead to events of a context: Configure with all held values, BeginRun, in a
/// step BeginStep with what it set, Enable.
pub fn in_force(context: &Context, schema: &Arc<Schema>, timestamp: u64) -> Vec<Transition> {
    use TransitionKind::{BeginRun, BeginStep, Configure, Enable};
    let plain = |kind| Transition {
        kind,
        timestamp,
        schema: None,
        run: None,
        step: None,
        held: Vec::new(),
    };
    let held = context.held.iter().map(|(field, value)| (*field, value.clone())).collect();
    let (run, step) = (context.conditions.run, context.conditions.step);
    let begin_step = || Transition { step, held: set_by_step(context, schema), ..plain(BeginStep) };
    let mut list = vec![
        Transition { schema: Some(schema.clone()), held, ..plain(Configure) },
        Transition { run: Some(run), ..plain(BeginRun) },
    ];
    list.extend(step.map(|_| begin_step()));
    list.push(plain(Enable));
    list
}

/// The transitions that must be in force before one of this kind may follow; the context is that
/// after it.
pub fn before(
    kind: TransitionKind,
    context: &Context,
    schema: &Arc<Schema>,
    timestamp: u64,
) -> Vec<Transition> {
    use TransitionKind as T;
    let last = match kind {
        T::Configure => return Vec::new(),
        T::BeginRun | T::Unconfigure => T::Configure,
        T::BeginStep | T::EndRun => T::BeginRun,
        T::Enable | T::EndStep => T::BeginStep,
        T::Disable | T::SlowUpdate | T::GraphUpdate => T::Enable,
    };
    let mut list = in_force(context, schema, timestamp);
    list.retain(|t| t.kind.lcls() <= last.lcls());
    list
}

fn set_by_step(context: &Context, schema: &Schema) -> Vec<(u32, Value)> {
    let names = &context.step_values;
    let fields = context.held.iter().filter(|(field, _)| {
        let field = schema.fields.get(**field as usize);
        field.is_some_and(|field| names.contains_key(&field.name))
    });
    fields.map(|(field, value)| (*field, value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ami_graph::data::schema::{Field, Kind};
    use ami_graph::data::value::{DType, Scalar};
    use ami_proto::data_path::ids::Conditions;
    use std::collections::BTreeMap;

    fn example(step: Option<u32>) -> (Context, Arc<Schema>) {
        let field = |name: &str| Field {
            name: name.into(),
            aliases: Vec::new(),
            dtype: DType::F64,
            rank: 0,
            shape: Some(Vec::new()),
            kind: Kind::Held,
            labels: BTreeMap::new(),
        };
        let value = |v| Value::Scalar(Scalar::F64(v));
        let context = Context {
            number: 7,
            conditions: Conditions { run: 12, step, ..Conditions::default() },
            held: [(0, value(3.0)), (1, value(20.0))].into(),
            step_values: [("motor".to_owned(), value(3.0))].into(),
        };
        (context, Arc::new(Schema { fields: vec![field("motor"), field("temperature")] }))
    }

    fn kinds(list: &[Transition]) -> Vec<TransitionKind> {
        list.iter().map(|t| t.kind).collect()
    }

    #[test]
    fn a_file_that_begins_in_mid_step_says_run_step_and_values() {
        use TransitionKind::{BeginRun, BeginStep, Configure, Enable};
        let (context, schema) = example(Some(2));
        let list = in_force(&context, &schema, 5);
        assert_eq!(kinds(&list), [Configure, BeginRun, BeginStep, Enable]);
        assert_eq!((list[1].run, list[2].step), (Some(12), Some(2)));
        let fields = |t: &Transition| t.held.iter().map(|(f, _)| *f).collect::<Vec<_>>();
        assert_eq!((fields(&list[0]), fields(&list[2])), (vec![0, 1], vec![0]));
        let (context, schema) = example(None);
        assert_eq!(kinds(&in_force(&context, &schema, 5)), [Configure, BeginRun, Enable]);
    }

    #[test]
    fn what_the_first_transition_itself_begins_is_not_begun_twice() {
        use TransitionKind as T;
        let (context, schema) = example(Some(0));
        let kinds = |kind| kinds(&before(kind, &context, &schema, 5));
        assert_eq!(kinds(T::Configure), []);
        assert_eq!(kinds(T::BeginRun), [T::Configure]);
        assert_eq!(kinds(T::BeginStep), [T::Configure, T::BeginRun]);
        assert_eq!(kinds(T::Enable), [T::Configure, T::BeginRun, T::BeginStep]);
        assert_eq!(kinds(T::EndStep), [T::Configure, T::BeginRun, T::BeginStep]);
        assert_eq!(kinds(T::Disable), [T::Configure, T::BeginRun, T::BeginStep, T::Enable]);
    }
}
