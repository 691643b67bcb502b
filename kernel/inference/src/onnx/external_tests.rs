//! Models with data in other files: the same bits as with all of it inside, every byte under the
//! hash, and nothing that the library would read by itself.

use std::fs;

use super::tests::{TriedModel, ready};
use crate::account::{FileFault, external_names, model_account, model_notes};
use crate::external_file::{ExternalFile, model_sha256};
use crate::registry::{self, LoadedModel, ModelError, ModelFile, ModelHome, ModelTerms};
use crate::scan::{self, ScanFault, Surroundings};
use crate::{BackendFailure, Interrupter};

fn case(name: &str) -> Vec<u8> {
    let path = format!("{}/cases/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn file(name: &str, bytes: &[u8]) -> ExternalFile {
    ExternalFile { name: name.to_owned(), bytes: bytes.into() }
}

/// `external_all.onnx` and its files.
fn external() -> (Vec<u8>, Vec<ExternalFile>) {
    let files = ["external_all.bin", "more/external_all.bin"].map(|name| file(name, &case(name)));
    (case("external_all.onnx"), files.to_vec())
}

fn load(bytes: &[u8], external: &[ExternalFile]) -> Result<TriedModel, ModelError> {
    let (terms, home) = (ModelTerms::default(), ModelHome::Here);
    let file =
        ModelFile { name: "m", bytes, external, sha256: None, batch: 1, home, terms: &terms };
    let LoadedModel { setup, fingerprint, backend } =
        registry::load_model(&file, None, &Interrupter::default())?;
    Ok(TriedModel { setup, fingerprint, backend })
}

fn bits(rows: Result<Vec<f32>, BackendFailure>) -> Vec<u32> {
    rows.expect("it runs").into_iter().map(f32::to_bits).collect()
}

/// A protobuf field with bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(bytes);
    out
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// Keys and values of where a tensor's data are.
fn outside(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = number(14, 1);
    for (key, value) in pairs {
        let pair = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
        out.extend(field(13, &pair));
    }
    out
}

/// `y = x * w` for rows of `WIDE`, where `data` says where the values of `w` are.
fn product(data: &[u8]) -> Vec<u8> {
    let dim = |size: Option<usize>| match size {
        None => field(1, &field(2, b"N")),
        Some(size) => field(1, &[1 << 3, size as u8 | 0x80, (size >> 7) as u8]),
    };
    let port = |name: &[u8]| {
        let shape = [dim(None), dim(Some(WIDE))].concat();
        let tensor = [number(1, 1), field(2, &shape)].concat();
        [field(1, name), field(2, &field(1, &tensor))].concat()
    };
    let node = [field(1, b"x"), field(1, b"w"), field(2, b"y"), field(4, b"MatMul")].concat();
    let size = [1 << 3, WIDE as u8 | 0x80, (WIDE >> 7) as u8];
    let weights = [&size[..], &size, &number(2, 1), &field(8, b"w"), data].concat();
    let graph = [field(1, &node), field(2, b"g"), field(5, &weights)].concat();
    let graph = [graph, field(11, &port(b"x")), field(12, &port(b"y"))].concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
}

/// More than the library gets inside the model: 160 kB.
const WIDE: usize = 200;

fn weights() -> Vec<u8> {
    let value = |at: usize| (at as f32 * 0.37).sin();
    (0..WIDE * WIDE).flat_map(|at| value(at).to_le_bytes()).collect()
}

#[test]
fn data_in_other_files_give_the_bits_of_data_inside() {
    if !ready() {
        return;
    }
    // An initializer, one that a shape depends on, one in a subgraph, a constant; two spellings.
    let (bytes, files) = external();
    let row = [0.5, -1.25, 3.0, 1e-3];
    let inline = bits(load(&case("inline_all.onnx"), &[]).expect("loads").run(&row));
    assert_eq!(bits(load(&bytes, &files).expect("loads").run(&row)), inline);
    // Large ones do not become a part of the model, and are not needed once it is loaded.
    let row: Vec<f32> = (0..WIDE).map(|at| at as f32 / 3.0).collect();
    let inline = product(&field(9, &weights()));
    let inline = bits(load(&inline, &[]).expect("loads").run(&row));
    let length = weights().len().to_string();
    let model = product(&outside(&[("location", "w"), ("offset", "8"), ("length", &length)]));
    let with_head = [&[9; 8][..], &weights()].concat();
    let files = vec![file("w", &with_head)];
    let embedded = scan::embed(&model, &files).expect("it suits");
    assert_eq!(embedded.large.len(), 1);
    assert!(embedded.model.len() < 1000);
    let mut loaded = load(&model, &files).expect("loads");
    drop(embedded);
    drop(files);
    let _elsewhere = vec![7_u8; 4 * with_head.len()];
    assert_eq!(bits(loaded.run(&row)), inline);
}

#[test]
fn the_library_opens_no_file() {
    if !ready() {
        return;
    }
    // The file is where the library would find it; what is handed over is another one.
    let length = weights().len().to_string();
    let model = product(&outside(&[("location", "Cargo.toml"), ("length", &length)]));
    let other = vec![0; weights().len()];
    let mut loaded = load(&model, &[file("Cargo.toml", &other)]).expect("loads");
    assert_eq!(loaded.run(&[1.0; WIDE]).expect("runs"), vec![0.0; WIDE]);
    let error = load(&model, &[]).expect_err("it was not read");
    assert!(error.to_string().contains("`Cargo.toml`, which is not there"), "{error}");
}

#[test]
fn every_cut_and_flip_of_a_file_is_another_hash() {
    let (bytes, files) = external();
    let mut seen = vec![model_sha256(&bytes, &files)];
    for at in 0..files.len() {
        let content = files[at].bytes.to_vec();
        let mut other = files.clone();
        for len in 0..content.len() {
            other[at].bytes = content[..len].into();
            seen.push(model_sha256(&bytes, &other));
        }
        for bit in 0..content.len() * 8 {
            let mut flipped = content.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            other[at].bytes = flipped.into();
            seen.push(model_sha256(&bytes, &other));
        }
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
    let (terms, home) = (ModelTerms::default(), ModelHome::Here);
    let mut changed = files.clone();
    changed[0].bytes = [&files[0].bytes[..], b"x"].concat().into();
    let error = registry::load_model(
        &ModelFile {
            name: "m",
            bytes: &bytes,
            external: &changed,
            sha256: Some(&seen[0]),
            batch: 1,
            home,
            terms: &terms,
        },
        None,
        &Interrupter::default(),
    );
    assert!(matches!(error, Err(ModelError::Sha256 { .. })), "{error:?}");
}

#[test]
fn the_names_of_files_are_found_wherever_they_are() {
    let (bytes, files) = external();
    let names: Vec<_> = external_names(&bytes).expect("inside").into_iter().collect();
    assert_eq!(names, ["external_all.bin", "more/external_all.bin"]);
    let notes = model_notes(&bytes, &files);
    assert_eq!((notes.producer.as_str(), notes.file_version), ("cases", Some(3)));
    assert_eq!(notes.opsets["ai.onnx"], 17);
    assert_eq!(notes.bytes, bytes.len() as u64 + 101 + 64);
    let account = model_account(&bytes, &files).expect("a model");
    assert_eq!((account.refused_in_thread, account.refused_in_process), (None, None));
    assert_eq!(account.inputs[0].value, "f32[N, 4]");
    assert_eq!(account.inputs[0].varies, ["N"]);
    assert_eq!(external_names(b"garbage, not a model"), Ok(Default::default()));
}

#[test]
fn names_outside_the_folder_are_refused() {
    for (name, why) in [
        ("/etc/passwd", "absolute"),
        ("..", "outside its folder"),
        ("../w", "outside its folder"),
        ("a/../../w", "outside its folder"),
        ("a/../w", "outside its folder"),
        ("a\\w", "separates"),
        ("a\0w", "separates"),
        ("", "no name"),
        ("./", "no name"),
    ] {
        let model = product(&outside(&[("location", name)]));
        match external_names(&model) {
            Err(error @ FileFault::Refused { .. }) => {
                assert!(error.to_string().contains(why), "{name}: {error}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let model = product(&outside(&[("location", "./a//w")]));
    assert_eq!(external_names(&model).expect("inside").into_iter().next().as_deref(), Some("a/w"));
}

#[test]
fn offsets_and_lengths_are_checked_before_the_library_sees_them() {
    let right = weights().len().to_string();
    let files = [file("w", &weights())];
    let refused = |pairs: &[(&str, &str)]| -> String {
        let model = product(&outside(pairs));
        match scan::embed(&model, &files) {
            Err(ScanFault::Refused { what, .. }) => what,
            other => panic!("{pairs:?}: {other:?}"),
        }
    };
    let location = ("location", "w");
    for (pairs, words) in [
        (vec![location, ("offset", "1")], "has 160000"),
        (vec![location, ("offset", "18446744073709551615")], "has 160000"),
        (vec![location, ("length", "159999")], "of 160000 bytes"),
        (vec![location, ("length", "0")], "of 160000 bytes"),
        (vec![location, ("length", "+160000")], "position in its file is none"),
        (vec![location, ("offset", "-1")], "position in its file is none"),
        (vec![location, ("offset", "")], "position in its file is none"),
        (vec![location, location], "with `location`"),
        (vec![location, ("prepacked_0", "x")], "with `prepacked_0`"),
        (vec![("length", &right)], "which has no name"),
    ] {
        let text = refused(&pairs);
        assert!(text.contains(words), "{pairs:?}: {text}");
    }
    let checked = product(&outside(&[location, ("length", &right), ("checksum", "any")]));
    assert_eq!(scan::embed(&checked, &files).expect("suits").large[0].1, files[0].bytes);
    // 2^30 values of 4 bytes: more than the library takes at once.
    let dims = [1 << 3, 0x80, 0x80, 0x80, 0x80, 0x04];
    let large = [&dims[..], &number(2, 1), &outside(&[location])].concat();
    match scan::embed(&field(7, &field(5, &large)), &files) {
        Err(ScanFault::Refused { what, .. }) => assert!(what.contains("takes 2147483648")),
        other => panic!("{other:?}"),
    }
    let both = product(&[outside(&[location]), field(9, &weights())].concat());
    assert!(matches!(scan::embed(&both, &files), Err(ScanFault::Malformed(_))));
    let nowhere = product(&number(14, 2));
    assert!(matches!(scan::embed(&nowhere, &files), Err(ScanFault::Malformed(_))));
}

#[test]
fn no_change_of_a_byte_makes_it_panic_or_leaves_a_file_to_the_library() {
    let (mut bytes, files) = external();
    let mut embedded = 0;
    for at in 0..bytes.len() {
        for change in [0x01, 0x02, 0x08, 0x80, 0xff] {
            bytes[at] ^= change;
            if let Ok(whole) = scan::embed(&bytes, &files) {
                assert!(whole.large.is_empty());
                let left = scan::external_names(&whole.model);
                assert_eq!(left.map(|names| names.len()).unwrap_or(0), 0, "{at} {change}");
                embedded += 1;
            }
            bytes[at] ^= change;
        }
    }
    assert!(embedded > 100, "{embedded}");
}

#[test]
fn integers_in_other_files_are_known_to_the_scan_or_may_be_anything() {
    // `intmin_div` with its divisor outside: small, so its values are known.
    let node = |divisor: &[u8]| {
        let div = [field(1, b"x"), field(1, b"d"), field(2, b"y"), field(4, b"Div")].concat();
        let dims = [1 << 3, 0x80, 0x80, 0x04];
        let dims = if divisor.len() == 8 { &[1 << 3, 1][..] } else { &dims };
        let pairs = outside(&[("location", "d")]);
        let divisor = [dims, &number(2, 7), &field(8, b"d"), &pairs].concat();
        let x = [field(1, b"x"), field(2, &field(1, &number(1, 7)))].concat();
        field(7, &[field(1, &div), field(5, &divisor), field(11, &x)].concat())
    };
    let scanned = |values: &[i64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (model, files) = (node(&bytes), [file("d", &bytes)]);
        let embedded = scan::embed(&model, &files).expect("suits");
        scan::model(&embedded.model, Surroundings::Kernel).map(drop)
    };
    assert_eq!(scanned(&[2]), Ok(()));
    assert!(matches!(scanned(&[-1]), Err(ScanFault::Ends { .. })));
    assert!(matches!(scanned(&[2; 65536]), Err(ScanFault::Ends { .. })), "nobody looked");
}
