//! peakfinder8 against the peak lists of the original implementation, and its edges.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::files::Files;
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType};
use ami_graph::root::{Published, RootStage};
use ami_graph::worker::WorkerStage;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// The reference data beside the repository, where they are.
fn reference() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peakfinder8");
    path.is_dir().then_some(path)
}

fn unzipped(path: &Path) -> Vec<u8> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", path.display());
    output.stdout
}

/// The elements of a .npy file.
fn image(npy: &[u8], shape: &[usize]) -> Array {
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    Array::from_bytes(DType::F32, shape, &npy[header..]).unwrap()
}

fn find(node: &Json, files: &Files, image: Array) -> Vec<Published> {
    let shape = image.shape().to_vec();
    let dtype = image.dtype();
    let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
    let schema = Schema { fields: vec![field("img", dtype, Some(&shape), 2)] };
    let plan = plan_with_files(&graph, schema, files.clone());
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    let mut worker = WorkerStage::new(plan.clone());
    let events = [Some(image)];
    let columns: Vec<Column<'_>> = vec![arrays(dtype, &events)];
    worker.absorb(&Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &[0],
        columns,
    });
    RootStage::new(plan).close(&frame(1, 1), worker.take())
}

/// A case of the reference data as node, files and image.
fn reference_case(dir: &Path, name: &str, case: &Json) -> (Json, Files, Array) {
    let asic: Vec<u64> =
        case["asic"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    let params = &case["params"];
    let node = json!({
        "op": "peakfinder8", "in": "img",
        "mask": "/mask.npy#sha256=mask", "radius": "/radius.npy#sha256=radius",
        "asic_nx": asic[0], "asic_ny": asic[1], "nasics_x": asic[2], "nasics_y": asic[3],
        "max_num_peaks": params["max_num_peaks"], "adc_threshold": params["adc_threshold"],
        "min_snr": params["minimum_snr"], "min_pixel_count": params["min_pixel_count"],
        "max_pixel_count": params["max_pixel_count"],
        "local_bg_radius": params["local_bg_radius"],
    });
    let part = |what: &str| unzipped(&dir.join(format!("{name}_{what}.npy.gz")));
    let files = [("mask", part("mask")), ("radius", part("radius"))];
    let files: Files = files.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    let shape: Vec<usize> =
        case["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    (node, files, image(&part("data"), &shape))
}

#[test]
fn peak_lists_are_those_of_the_original() {
    let Some(dir) = reference() else {
        println!("skipped: no reference data beside the repository");
        return;
    };
    let cases: Json =
        serde_json::from_str(&std::fs::read_to_string(dir.join("cases.json")).unwrap()).unwrap();
    for (name, case) in cases.as_object().unwrap() {
        let (node, files, image) = reference_case(&dir, name, case);
        let published = find(&node, &files, image);
        let list = std::fs::read_to_string(dir.join(format!("{name}_full_peaks.csv"))).unwrap();
        let mut lines = list.lines();
        let columns = lines.next().unwrap().trim_start_matches(['#', ' ']).split(',');
        let rows: Vec<Vec<f32>> =
            lines.map(|l| l.split(',').map(|x| x.parse().unwrap()).collect()).collect();
        assert_eq!(output(&published, "g/n", "count"), int(rows.len() as i64), "{name}");
        for (at, column) in columns.enumerate() {
            let found: Vec<f32> =
                numbers(&output(&published, "g/n", column)).iter().map(|&x| x as f32).collect();
            let expected: Vec<f32> = rows.iter().map(|row| row[at]).collect();
            assert_eq!(found, expected, "{name} {column}");
        }
    }
}

#[test]
fn without_the_defect_the_stress_case_has_157_peaks() {
    let Some(dir) = reference() else {
        println!("skipped: no reference data beside the repository");
        return;
    };
    let cases: Json =
        serde_json::from_str(&std::fs::read_to_string(dir.join("cases.json")).unwrap()).unwrap();
    let (mut node, files, image) = reference_case(&dir, "e_stress", &cases["e_stress"]);
    node["exact"] = json!(false);
    assert_eq!(output(&find(&node, &files, image), "g/n", "count"), int(157));
}

/// The side of an image with room enough at each radius that a peak stands out.
const SIDE: usize = 128;

/// A flat background with a peak of 3×3 pixels at (30, 90) and (100, 40).
fn two_peaks() -> Vec<u16> {
    let mut pixels: Vec<u16> = (0..SIDE * SIDE).map(|i| 100 + (i * 7919 % 5) as u16).collect();
    for (y, x) in [(30, 90), (100, 40)] {
        for (dy, dx) in (0..9).map(|k| (k / 3, k % 3)) {
            pixels[(y - 1 + dy) * SIDE + x - 1 + dx] = 1000;
        }
        pixels[y * SIDE + x] = 2000;
    }
    pixels
}

fn node() -> Json {
    json!({"op": "peakfinder8", "in": "img", "center": [63.5, 63.5], "adc_threshold": 500})
}

#[test]
fn peaks_are_found_in_images_of_every_type() {
    let pixels = two_peaks();
    let floats: Vec<f64> = pixels.iter().map(|&p| f64::from(p)).collect();
    let wide: Vec<i64> = pixels.iter().map(|&p| i64::from(p)).collect();
    let images = [
        Array::from_elements(&[SIDE, SIDE], &pixels),
        Array::from_elements(&[SIDE, SIDE], &floats),
        Array::from_elements(&[SIDE, SIDE], &wide),
    ];
    for image in images {
        let published = find(&node(), &Files::new(), image);
        assert_eq!(numbers(&output(&published, "g/n", "ss")), [30.0, 100.0]);
        assert_eq!(numbers(&output(&published, "g/n", "fs")), [90.0, 40.0]);
        assert_eq!(numbers(&output(&published, "g/n", "npix")), [9.0, 9.0]);
        assert_eq!(numbers(&output(&published, "g/n", "index")), [3930.0, 12840.0]);
    }
}

#[test]
fn only_the_first_peaks_are_kept_and_all_are_counted() {
    let mut node = node();
    node["max_num_peaks"] = json!(1);
    let published = find(&node, &Files::new(), Array::from_elements(&[SIDE, SIDE], &two_peaks()));
    assert_eq!(numbers(&output(&published, "g/n", "ss")), [30.0]);
    assert_eq!(output(&published, "g/n", "count"), int(2));
}

#[test]
fn hostile_pixels_and_empty_images_give_no_peaks() {
    for fill in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0] {
        let mut node = node();
        node["max_pixel_count"] = json!(1_000_000);
        let image = Array::from_elements(&[SIDE, SIDE], &[fill; SIDE * SIDE]);
        let published = find(&node, &Files::new(), image);
        assert_eq!(output(&published, "g/n", "count"), int(0), "{fill}");
    }
    let published = find(&node(), &Files::new(), Array::from_elements::<u16>(&[0, 7], &[]));
    assert_eq!(output(&published, "g/n", "count"), int(0));
}

fn refused(node: &Json, shape: &[usize], files: Files) -> String {
    let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
    let schema = Schema { fields: vec![field("img", DType::U16, Some(shape), shape.len())] };
    let plan = plan_with_files(&graph, schema, files);
    plan.errors()[0].to_string()
}

#[test]
fn what_cannot_be_is_refused_before_an_image_comes() {
    let with = |key: &str, value: Json| {
        let mut node = node();
        node[key] = value;
        node
    };
    let shape = [SIDE, SIDE];
    let error = refused(&with("asic_nx", json!(10)), &shape, Files::new());
    assert!(error.contains("do not make an image of [128, 128]"), "{error}");
    let error = refused(&with("center", json!([1])), &shape, Files::new());
    assert!(error.contains("[y, x]"), "{error}");
    let error = refused(&with("center", Json::Null), &shape, Files::new());
    assert!(error.contains("one of `radius` and `center`"), "{error}");
    let error = refused(&node(), &[4, SIDE, SIDE], Files::new());
    assert!(error.contains("assemble"), "{error}");
}
