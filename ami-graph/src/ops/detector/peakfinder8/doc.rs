//! What people are told about `peakfinder8`.

use crate::op::doc::{Class, OpDoc, OutputDoc, param};
use crate::ops::detector::images::{IMAGE, MASK, center, pixel_size_doc};

pub static DOC: OpDoc = OpDoc {
    name: "peakfinder8",
    summary: "Bragg peaks of a diffraction image, as peakfinder8 of Cheetah and psocake finds them",
    text: "Mean and spread of the pixels at each radius, outliers left out five times, give a \
           threshold; pixels above it that touch make a peak, which must stand out of its \
           surroundings. All arithmetic is float32 in the original's order, so peak lists are \
           the same to the bit; other element types are converted to float32 first. \
           The original reads one entry past the end of its list of pixels, which holds what an \
           earlier peak left there, and at times merges a bright pixel into an unrelated peak: \
           `exact` repeats that, and `\"exact\": false` does not (157 peaks instead of 155 on a \
           frame made to show it; no difference on ordinary frames). The image is a slab of equal \
           panels; peaks do not reach across panels and do not begin in a panel's outermost \
           pixels. NaN is never bright and in no background.",
    example: r#"{"op": "peakfinder8", "in": "image", "center": [0.5, 1], "min_snr": 5, "adc_threshold": 20}"#,
    class: Class::PerEvent,
    form: IMAGE,
    with: false,
    params: &[
        param(
            "radius",
            "file",
            "none",
            "pixel",
            ".npy, shape of the image; 0 to 1e6",
            "distance of each pixel from the beam; this or `center`",
        ),
        center("none", "where the beam hits: radii are computed from it"),
        pixel_size_doc("any", "only the ratio counts, with `center`"),
        MASK,
        param(
            "min_res",
            "number",
            "none",
            "pixel",
            "any",
            "pixels at a smaller radius are not used",
        ),
        param(
            "max_res",
            "number",
            "none",
            "pixel",
            "any",
            "pixels at a larger radius are not used",
        ),
        param(
            "asic_nx",
            "whole number",
            "none",
            "pixel",
            "1 to 65536",
            "width of a panel; default: the image's over nasics_x",
        ),
        param(
            "asic_ny",
            "whole number",
            "none",
            "pixel",
            "1 to 65536",
            "height of a panel; default: the image's over nasics_y",
        ),
        param("nasics_x", "whole number", "1", "", "1 to 65536", "panels beside each other"),
        param("nasics_y", "whole number", "1", "", "1 to 65536", "panels above each other"),
        param(
            "adc_threshold",
            "number",
            "0",
            "of the input",
            "any",
            "pixels below it are never bright",
        ),
        param(
            "min_snr",
            "number",
            "5",
            "",
            "any",
            "signal over noise, of bright pixels and of peaks",
        ),
        param(
            "min_pixel_count",
            "whole number",
            "2",
            "pixel",
            "1 to 1000000",
            "smaller peaks are left out",
        ),
        param(
            "max_pixel_count",
            "whole number",
            "40",
            "pixel",
            "1 to 1000000",
            "larger peaks are left out",
        ),
        param(
            "local_bg_radius",
            "whole number",
            "4",
            "pixel",
            "1 to 1000",
            "the background of a peak is that of a disc of twice this radius",
        ),
        param(
            "max_num_peaks",
            "whole number",
            "2048",
            "",
            "1 to 1000000",
            "further peaks are counted only",
        ),
        param(
            "exact",
            "true or false",
            "true",
            "",
            "true, false",
            "false: without the original's defect",
        ),
    ],
    outputs: &[
        OutputDoc { name: "ss", doc: "float32 [peaks]: row of the centroid, pixels from 0" },
        OutputDoc { name: "fs", doc: "float32 [peaks]: column of the centroid, pixels from 0" },
        OutputDoc { name: "intensity", doc: "float32 [peaks]: sum above the local background" },
        OutputDoc { name: "npix", doc: "int64 [peaks]: pixels" },
        OutputDoc { name: "max", doc: "float32 [peaks]: brightest pixel above the background" },
        OutputDoc { name: "snr", doc: "float32 [peaks]: intensity / sigma" },
        OutputDoc { name: "count", doc: "int64 scalar: peaks found, also beyond max_num_peaks" },
        OutputDoc { name: "index", doc: "int64 [peaks]: pixel at the centroid, row-major" },
        OutputDoc { name: "sigma", doc: "float32 [peaks]: spread of the local background" },
    ],
};
