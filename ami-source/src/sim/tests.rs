//! Descriptions: what is refused and how it is said; what presets promise.

use crate::sim::*;

fn model(text: &str) -> Result<Model, String> {
    let made = SimConfig::parse(text).and_then(|c| Model::new(&c, 0, "here"));
    made.map_err(|e| format!("{e:#}"))
}

#[test]
fn every_preset_is_sound() {
    for name in preset_names() {
        let config = SimConfig::load(name).unwrap();
        assert!(config.pace().is_ok(), "{name}");
        let model = Model::new(&config, 0, "here").unwrap();
        assert!(model.schema.fields.iter().all(|f| f.shape.is_some() || f.name.contains("ragged")));
    }
}

#[test]
fn mistakes_are_explained() {
    let cases = [
        ("", "no field"),
        ("sed = 1", "did you mean \"seed\""),
        ("[[field]]\nname = 'a'\nkind = 'norml'", "did you mean \"normal\""),
        ("[[field]]\nname = 'a'\nkind = 'normal'\nsigm = 1.0", "field \"a\""),
        ("[[field]]\nname = 'a'\nkind = 'normal'\nsigm = 1.0", "did you mean \"sigma\""),
        ("[[field]]\nname = 'a'\nkind = 'normal'\nfollow = 'b'", "declared above"),
        ("[[field]]\nname = 'a'\nkind = 'normal'\n[[field]]\nname = 'a'\nkind = 'normal'", "two"),
        ("[[field]]\nname = 'a'\nkind = 'step_value'\nof = 'b'", "kind \"scan\""),
        ("[[field]]\nname = 'a'\nkind = 'frame'\nshape = [4]", "two axes"),
        ("[[field]]\nname = 'a'\nkind = 'frame'\nshape = [99999, 99999]", "lower pool"),
        ("[[field]]\nname = 'a'\nkind = 'frame'\nshape = [4, 4]\ndtype = 'i8'", "u8, u16"),
        ("steps = 3", "events_per_step"),
        ("rate_hz = 0.0", "rate_hz"),
        ("events = 0", "at least 1"),
        ("runs = 2", "events_per_run"),
        ("[[held]]\nname = 'x'\nkind = 'scan'", "from, to and points"),
        (
            "[[held]]\nname = 'x'\nkind = 'enum'\nlabels = { open = 1 }\nvalues = ['opn']",
            "did you mean \"open\"",
        ),
    ];
    for (text, words) in cases {
        let error = model(text).unwrap_err();
        assert!(error.contains(words), "{text}\n{error}");
    }
    let error = SimConfig::load("pump-prob").unwrap_err().to_string();
    assert!(error.contains("did you mean \"pump-probe\""), "{error}");
}

#[test]
fn the_pump_probe_response_steps_and_decays() {
    let model = Model::new(&SimConfig::load("pump-probe").unwrap(), 0, "here").unwrap();
    let config = SimConfig::load("pump-probe").unwrap();
    let place =
        |name| config.field.iter().filter(|f| is_scalar(f)).position(|f| f.common.name == name);
    let at = |name, i| model.scalars.at(place(name).unwrap(), i);
    let (mut before, mut after, mut off) = (vec![], vec![], vec![]);
    for i in 0..5000 {
        let (delay, laser) = (at("delay:raw:ps", i), at("evr:raw:laser", i));
        let response = at("sim:true:response", i);
        match (laser == 1.0, delay) {
            (false, _) => off.push(response),
            (true, d) if d < -0.8 => before.push(response),
            (true, d) if (0.8..1.2).contains(&d) => after.push(response),
            _ => {}
        }
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    assert!(off.iter().all(|r| *r == 1.0) && off.len() > 2000);
    assert!((mean(&before) - 1.0).abs() < 0.02, "{}", mean(&before));
    // 1 ps after time zero: half of exp(-1 / 1.5); jitter and the window's width add little.
    let expected = 1.0 + 0.5 * (-1.0f64 / 1.5).exp();
    assert!((mean(&after) - expected).abs() < 0.005, "{} not {expected}", mean(&after));
}

fn is_scalar(field: &kinds::FieldConfig) -> bool {
    use kinds::FieldKind::{Codes, Edge, Frame, Image, Ragged, String, Waveform};
    !matches!(
        field.kind,
        Codes(_) | Edge(_) | Frame(_) | Image(_) | Ragged(_) | String(_) | Waveform(_)
    )
}

#[test]
fn the_documentation_is_true() {
    let text = include_str!("../../../docs/sim.md");
    let example = text.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    model(example).unwrap();
    for name in preset_names() {
        assert!(text.contains(&format!("| `{name}` |")), "docs/sim.md lacks preset {name}");
    }
}
