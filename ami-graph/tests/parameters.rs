//! Bad parameters of every op: refused, with node, parameter and what is accepted.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::files::Files;
use ami_graph::op::doc::{OpDoc, ParamDoc};
use serde_json::{Value as Json, json};
use support::*;

/// Values out of range of a parameter of a reduction.
fn of_a_reduction(op: &str, parameter: &str) -> Vec<Json> {
    match (op, parameter) {
        (_, "nan") => vec![json!("omit"), json!("Skip"), json!(""), json!(true)],
        ("hist", "bins") => {
            vec![json!(0), json!(1e9), json!([1]), json!([2, 1]), json!([0, "a"]), json!(2.5)]
        }
        ("profile", "bins") => vec![json!(0), json!(-3), json!(1e9), json!([0, 0])],
        ("hist2d", "bins") => {
            vec![json!(0), json!([0, 5]), json!([5]), json!([5, 5, 5]), json!([4096, 4096])]
        }
        ("hist" | "profile", "range") => {
            vec![json!([1, 1]), json!([2, 1]), json!([0, "NaN"]), json!([0]), json!("all")]
        }
        ("hist2d", "range") => vec![json!([0, 1]), json!([[0, 1]]), json!([[1, 0], [0, 1]])],
        ("last" | "buffer" | "sample", "n") => vec![json!(0), json!(-1), json!(1_000_001)],
        ("per_frame", "n") => vec![json!(0), json!(-1), json!(100_001), json!(1.5)],
        ("per_frame", "max_values") => vec![json!(0), json!(1_000_001)],
        ("per_frame", "first") => vec![json!("drop"), json!(true)],
        ("buffer", "unique" | "with_time") => vec![json!(2)],
        ("by_key" | "scan" | "unique", "limit") => vec![json!(0), json!(100_001), json!(0.5)],
        ("by_key" | "scan", "stat") => vec![json!("median")],
        ("scan", "by") => vec![json!(3)],
        ("quantile", "q") => vec![json!(1.01), json!(-0.1), json!([]), json!([0.5, "NaN"])],
        ("quantile", "accuracy") => vec![json!(0), json!(1e-9), json!(0.5), json!("NaN")],
        ("ewma", "tau") => vec![json!(0), json!(-1), json!("Infinity"), json!("NaN")],
        ("covariance", "limit") => vec![json!(0), json!(1u64 << 40)],
        other => panic!("say in a function of this file what {other:?} does not accept"),
    }
}

/// Values out of range of a parameter of an operation on single events. The image of the examples
/// has the shape [2, 3].
fn of_single_events(op: &str, parameter: &str) -> Vec<Json> {
    let statistics = || vec![json!("mode"), json!("Sum"), json!(""), json!(1)];
    let axes = || vec![json!(2), json!(-3), json!(0.5), json!([0, 1, 0])];
    match (op, parameter) {
        ("const", "value") => vec![json!([[1], [1, 2]]), json!([[[[[[1]]]]]]), json!([1, "text"])],
        ("expr", "expr") => vec![json!("img +"), json!("nothing * 2"), json!(""), json!([1])],
        ("gate", "when") => vec![json!("laser =="), json!("lasr == 1"), json!(""), json!(null)],
        ("select", "cases") => vec![
            json!([]),
            json!(vec![json!({"when": "laser", "out": {"a": "x"}}); 65]),
            json!([{"when": "laser"}]),
            json!([{"when": "lasr", "out": {"a": "x"}}]),
            json!([{"when": "laser", "out": {"a b": "x"}}]),
            json!([{"when": "laser", "out": {}}]),
        ],
        ("select", "else") => vec![json!({}), json!([1]), json!({"on": "y"})],
        ("array_stat" | "rebin" | "project", "stat") => statistics(),
        ("array_stat" | "project", "q") => vec![json!(-0.1), json!(101), json!("NaN"), json!([0])],
        ("array_stat" | "take" | "split" | "diff", "axis") => axes(),
        ("concatenate" | "cumsum", "axis") => vec![json!(1), json!(-2), json!(0.5)],
        ("stack", "axis") => vec![json!(1), json!(-2), json!(0.5)],
        ("flip", "axis") => vec![json!(2), json!(-3), json!([0, 0]), json!(0.5)],
        ("project", "axis") => vec![json!(2), json!(-3), json!(0.5)],
        ("roi", "x" | "y") => {
            vec![json!([2, 2]), json!([2, 1]), json!([0]), json!([0, 1.5])]
        }
        ("roi", "slices") => {
            vec![json!([":", ":", ":"]), json!(["a:b"]), json!(["::0"]), json!([])]
        }
        ("pixel", "at") => vec![json!([2, 0]), json!([0, -4]), json!([0]), json!([0, 0.5])],
        ("take", "index") => vec![json!([3]), json!(-4), json!(0.5), json!(vec![0; 65_537])],
        ("take", "mode") => vec![json!("fold"), json!(1)],
        ("split", "count") => vec![json!(0), json!(257), json!(3), json!(0.5)],
        ("rot90", "k") => vec![json!(0.5), json!("NaN")],
        ("rot90", "axes") => vec![json!([0, 0]), json!([0, 2]), json!([0]), json!([0, 1, 0])],
        ("transpose", "axes") => vec![json!([0, 0]), json!([0]), json!([0, 2]), json!([1, 0.5])],
        ("rebin", "by") => vec![json!([0, 1]), json!([1]), json!([1, -2]), json!([1, 1.5])],
        ("threshold", "below" | "above") => vec![json!("high"), json!([1])],
        ("threshold" | "mask" | "assemble", "fill") => vec![json!(-1), json!(65_536), json!("NaN")],
        ("normalize", "by") => vec![json!("mean"), json!(2)],
        ("interp", "grid") => vec![
            json!([]),
            json!({"start": 0, "stop": 1, "n": 0}),
            json!({"start": 0, "stop": 1, "n": 1_048_577}),
            json!({"start": 0, "n": 2}),
            json!([0, "x"]),
        ],
        ("interp", "left" | "right") => vec![json!("edge"), json!([1])],
        ("combinations", "length") => vec![json!(0), json!(9), json!(1.5)],
        other => of_parts(other.0, other.1),
    }
}

fn of_parts(op: &str, parameter: &str) -> Vec<Json> {
    match (op, parameter) {
        ("stack", "missing") => vec![json!("zeros"), json!(true)],
        // Without missing "fill" there is nothing to fill.
        ("stack", "fill") => vec![json!(0), json!("NaN")],
        other => of_detectors(other.0, other.1),
    }
}

fn of_detectors(op: &str, parameter: &str) -> Vec<Json> {
    let sizes = || vec![json!(0), json!(-1), json!("NaN"), json!("Infinity")];
    let numbers = || vec![json!("high"), json!([1])];
    match (op, parameter) {
        ("azimuthal" | "polar" | "peakfinder8", "center") => {
            vec![json!([1]), json!([1, 2, 3]), json!(["NaN", 0]), json!([0, "Infinity"]), json!(1)]
        }
        ("azimuthal", "bins") => vec![json!(0), json!(100_001), json!(2.5)],
        ("azimuthal", "range") => vec![json!([1, 1]), json!([2, 1]), json!([0]), json!([0, "NaN"])],
        ("azimuthal" | "polar" | "peakfinder8" | "calibrate", "mask") => {
            vec![json!("none.npy"), json!("mask.txt"), json!(1), json!(SHAPE)]
        }
        ("mask", "file") => vec![json!("none.npy"), json!(1), json!(SHAPE)],
        ("calibrate", "pedestal") => vec![json!("none.npy"), json!(true), json!(SHAPE)],
        ("calibrate", "gain") => vec![json!("none.npy"), json!("NaN"), json!(SHAPE)],
        ("peakfinder8", "radius") => vec![json!("none.npy"), json!(1), json!(SHAPE)],
        ("assemble", "geometry") => vec![json!("none.geom"), json!("map.txt"), json!(1)],
        ("azimuthal" | "peakfinder8", "pixel_size") => sizes(),
        ("azimuthal", "distance" | "wavelength") => sizes(),
        ("azimuthal", "unit") => vec![json!("mm"), json!("Q"), json!(1)],
        ("azimuthal", "sectors") => vec![json!(0), json!(3601), json!(1.5)],
        ("azimuthal", "split") => vec![json!("full"), json!(true)],
        ("polar", "radius") => vec![json!([-1, 2]), json!([2, 2]), json!([2]), json!([0, "NaN"])],
        ("polar", "angle") => {
            vec![json!([0, 0]), json!([0, 361]), json!([-361, 0]), json!([-200, 200]), json!([0])]
        }
        ("polar", "bins") => vec![json!([0, 4]), json!([2]), json!(4), json!([2000, 2000])],
        ("mask", "rectangles") => vec![
            json!([{"x": [2, 1]}]),
            json!([{"x": [-1, 1]}]),
            json!([{"z": [0, 1]}]),
            json!([{}]),
            json!([{"x": [0]}]),
            json!({"x": [0, 1]}),
        ],
        ("calibrate", "common_mode") => vec![json!("median"), json!(true)],
        ("calibrate", "bank") => vec![json!([0, 1]), json!([1]), json!([1, 1.5]), json!([1, 1])],
        ("centroid" | "blobs", "threshold") => numbers(),
        ("blobs", "min_sum") => numbers(),
        ("peakfinder8", "min_res" | "max_res" | "adc_threshold" | "min_snr") => numbers(),
        ("peakfinder8", "asic_nx" | "asic_ny" | "nasics_x" | "nasics_y") => {
            vec![json!(0), json!(65_537), json!(1.5)]
        }
        ("peakfinder8", "min_pixel_count" | "max_pixel_count" | "max_num_peaks") => {
            vec![json!(0), json!(1_000_001), json!(1.5)]
        }
        ("peakfinder8", "local_bg_radius") => vec![json!(0), json!(1001), json!(1.5)],
        ("peakfinder8", "exact") => vec![json!(1), json!("yes")],
        other => of_signals(other.0, other.1),
    }
}

fn of_signals(op: &str, parameter: &str) -> Vec<Json> {
    let any_number = || vec![json!("NaN"), json!("Infinity"), json!("high"), json!([1])];
    match (op, parameter) {
        ("gaussian_filter", "sigma") => vec![json!(-1), json!(1001), json!("NaN"), json!([1, -1])],
        ("gaussian_filter" | "median_filter", "mode") => vec![json!("edge"), json!(0)],
        ("gaussian_filter", "truncate") => vec![json!(0), json!(101), json!("NaN")],
        ("median_filter", "size") => vec![json!(0), json!(256), json!(1.5), json!([3, 0])],
        ("rotate", "angle") | ("cfd", "walk" | "offset") => any_number(),
        ("rotate", "order") => vec![json!(2), json!(-1), json!(0.5)],
        ("rotate", "reshape") | ("fit_peak", "offset") => vec![json!(1), json!("yes")],
        ("irfft", "n") => vec![json!(0), json!(16_777_217), json!(1.5)],
        ("peaks", "lo") => vec![json!(2), json!("NaN"), json!("high")],
        ("peaks", "hi") => vec![json!("NaN"), json!("high")],
        ("cfd", "fraction") => vec![json!(0), json!(1), json!("NaN")],
        ("cfd", "delay") => vec![json!(0), json!(65_536), json!(1.5)],
        ("cfd", "threshold" | "gain") => vec![json!(0), json!("NaN"), json!("high")],
        ("cfd", "sample_interval") => vec![json!(0), json!(-1), json!("Infinity")],
        ("edge", "kernel") => {
            vec![json!(0), json!(32_768), json!(1.5), json!("none.npy"), json!([])]
        }
        ("edge", "direction") => vec![json!("up"), json!(1)],
        ("fit_peak", "model") => vec![json!("voigt"), json!(1)],
        ("fit_peak", "start") => vec![json!({"width": 1}), json!([1, 2]), json!({"center": "x"})],
        ("polyfit", "degree") => vec![json!(-1), json!(21), json!(1.5)],
        other => of_a_reduction(other.0, other.1),
    }
}

/// A file that was read, of an array whose shape fits nothing here.
const SHAPE: &str = "shape.npy#sha256=5";

fn files() -> Files {
    Files::from([("5".to_owned(), npy(&[5]))])
}

/// What is wrong with the refusal of a value; None if nothing is.
fn complaint(doc: &OpDoc, param: &ParamDoc, value: &Json) -> Option<String> {
    let mut node: Json = serde_json::from_str(doc.example).unwrap();
    node[param.name] = value.clone();
    if param.name == "bins" && doc.name != "hist2d" && value.is_array() {
        // A list of edges goes without a range.
        node.as_object_mut().unwrap().remove("range");
    }
    let graph = json!({"name": "g", "nodes": {"here": node}}).to_string();
    let plan = plan_with_files(&graph, schema(), files());
    let what = format!("{} with {} = {value}", doc.name, param.name);
    let Some(error) = plan.errors().first() else { return Some(format!("{what} is accepted")) };
    // In a list of cases or of rectangles the place stands behind the name.
    let place = error.parameter.as_deref().unwrap_or_default();
    let named = place.split(['[', '.']).next() == Some(param.name);
    // Where an expression cannot be read the reason says what should be there.
    let helps = !error.hint.is_empty() || error.reason.contains("should be");
    let right = named && error.node.as_deref() == Some("here") && helps;
    (!right).then(|| format!("{what}: {error}"))
}

fn assert_refused(values: impl Fn(&OpDoc, &ParamDoc) -> Vec<Json>) {
    let params = engine_ops().flat_map(|op| op.params.iter().map(move |param| (op, param)));
    let complaints: Vec<String> = params
        .flat_map(|(doc, param)| values(doc, param).into_iter().map(move |v| (doc, param, v)))
        .filter_map(|(doc, param, value)| complaint(doc, param, &value))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_value_of_a_wrong_type_is_refused() {
    assert_refused(|doc, param| {
        let mut wrong = vec![json!({"no": "such"}), json!("no such"), json!([[[]]])];
        match (doc.name, param.name) {
            // Any text may be a variable's name.
            ("scan", "by") => wrong.retain(|value| !value.is_string()),
            // Texts and empty arrays are constants, too.
            ("const", "value") => wrong.truncate(1),
            _ => {}
        }
        wrong
    });
}

#[test]
fn a_value_out_of_range_is_refused() {
    assert_refused(|doc, param| {
        let values = of_single_events(doc.name, param.name);
        assert!(!values.is_empty());
        values
    });
}

#[test]
fn a_parameter_without_a_default_must_be_given() {
    assert_refused(|_, param| if param.default.is_empty() { vec![Json::Null] } else { Vec::new() });
}

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest() {
    let graph = r#"{"name": "g", "nodes": {"here": {"op": "by_key", "in": ["flag", "scalar"], "limt": 3}}}"#;
    let error = plan(graph).errors()[0].to_string();
    assert!(error.contains("limt") && error.contains("limit"), "{error}");
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let nodes = [
        json!({"op": "by_key", "in": ["image", "scalar"]}),
        json!({"op": "unique", "in": "waveform"}),
        json!({"op": "covariance", "in": "image"}),
        json!({"op": "covariance", "in": {"x": "waveform", "partial": "image"}}),
        json!({"op": "linregress", "in": "scalar"}),
        json!({"op": "hist2d", "in": {"x": "scalar", "z": "flag"}, "range": [[0, 1], [0, 1]]}),
        json!({"op": "by_key", "in": ["flag", "image"], "limit": 100000, "window": {"heartbeats": 900}}),
    ];
    for node in nodes {
        let graph = json!({"name": "g", "nodes": {"here": node}}).to_string();
        let plan = plan(&graph);
        assert!(!plan.errors().is_empty(), "{node} is accepted");
        assert!(!plan.errors()[0].hint.is_empty(), "{node}");
    }
}
