use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;

/// A file with this JSON and this many bytes after it: the file's length, then what the parser says.
fn parse(json: &str, data_bytes: u64) -> Result<SafetensorsHeader, HeaderError> {
    SafetensorsHeader::parse(json.as_bytes(), 8 + json.len() as u64 + data_bytes)
}

fn tensor(name: &str, dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

fn reason(json: &str, data_bytes: u64) -> String {
    parse(json, data_bytes).expect_err(json).to_string()
}

#[test]
fn tensors_are_found_in_the_file() {
    let json = format!(
        r#"{{"__metadata__":{{"format":"pt"}},{},{},{}}}"#,
        tensor("b", "F32", "[2,3]", 4, 28),
        tensor("scalar", "F32", "[]", 0, 4),
        tensor("a", "BF16", "[1]", 28, 30)
    );
    let json = json + "   ";
    let header = parse(&json, 30).unwrap();
    let data_start = 8 + json.len() as u64;
    let names: Vec<&str> = header.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "scalar"]);
    let b = header.tensor("b").unwrap();
    assert_eq!((b.dtype, b.shape.as_slice(), b.elements(), b.size_bytes()), (Dtype::F32, [2, 3].as_slice(), 6, 24));
    assert_eq!(b.file_range, data_start + 4..data_start + 28);
    assert_eq!(header.tensor("scalar").unwrap().elements(), 1);
    assert_eq!((header.tensor("c"), header.elements()), (None, 8));
    assert_eq!((header.header_bytes(), header.file_bytes()), (json.len() as u64, data_start + 30));
}

#[test]
fn a_file_without_tensors_and_tensors_without_bytes_are_sound() {
    assert!(parse("{}", 0).unwrap().tensors().is_empty());
    let empty = |name, at| tensor(name, "F32", "[4,0]", at, at);
    let json = format!("{{{},{},{}}}", tensor("x", "U8", "[3]", 0, 3), empty("y", 3), empty("w", 0));
    let header = parse(&json, 3).unwrap();
    assert_eq!((header.tensors().len(), header.elements()), (3, 3));
    // An empty tensor has to stand where another one begins or ends.
    let json = format!("{{{},{}}}", tensor("x", "U8", "[3]", 0, 3), empty("y", 2));
    assert!(matches!(parse(&json, 3), Err(HeaderError::Overlap { start: 2, expected: 3, .. })));
}

#[test]
fn the_first_bytes_are_bounded_by_file_and_limits() {
    let length = |claimed: u64, file_bytes| SafetensorsHeader::length(claimed.to_le_bytes(), file_bytes);
    assert_eq!(length(2, 10).unwrap(), 2);
    assert_eq!(length(0, 7), Err(HeaderError::FileTooShort { file_bytes: 7 }));
    assert_eq!(length(3, 10), Err(HeaderError::BeyondFile { header_bytes: 3, file_bytes: 10 }));
    for claimed in [1 << 63, u64::MAX, u64::MAX - 7] {
        assert!(matches!(length(claimed, 5_000_000_000), Err(HeaderError::BeyondFile { .. })));
    }
    assert_eq!(length(MAX_HEADER_BYTES, u64::MAX).unwrap(), MAX_HEADER_BYTES);
    for claimed in [MAX_HEADER_BYTES + 1, MAX_FORMAT_HEADER_BYTES, MAX_FORMAT_HEADER_BYTES + 1, u64::MAX - 8] {
        assert_eq!(length(claimed, u64::MAX), Err(HeaderError::TooLong { header_bytes: claimed }));
    }
}

#[test]
fn duplicate_names_are_refused_though_serde_would_keep_the_last() {
    let json = format!("{{{},{}}}", tensor("a", "U8", "[1]", 0, 1), tensor("a", "U8", "[1]", 1, 2));
    assert_eq!(parse(&json, 2), Err(HeaderError::DuplicateName { tensor: "\"a\"".into() }));
    // The same name, written otherwise.
    let json = format!("{{{},{}}}", tensor("a", "U8", "[1]", 0, 1), tensor("\\u0061", "U8", "[1]", 1, 2));
    assert_eq!(parse(&json, 2), Err(HeaderError::DuplicateName { tensor: "\"a\"".into() }));
    let json = r#"{"__metadata__":{},"__metadata__":{}}"#;
    assert!(reason(json, 0).contains("__metadata__ is there twice"));
    let json = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"shape":[1]}}"#;
    assert!(reason(json, 1).contains("tensor \"a\": a field is there twice"));
}

#[test]
fn places_have_to_cover_the_file() {
    let pair = |start, end| format!("{{{},{}}}", tensor("a", "U8", "[4]", 0, 4), tensor("b", "U8", "[4]", start, end));
    assert!(parse(&pair(4, 8), 8).is_ok());
    assert!(matches!(parse(&pair(5, 9), 9), Err(HeaderError::Gap { start: 5, expected: 4, .. })));
    assert!(matches!(parse(&pair(3, 7), 8), Err(HeaderError::Overlap { start: 3, expected: 4, .. })));
    assert!(matches!(parse(&pair(0, 4), 4), Err(HeaderError::Overlap { .. })));
    assert!(matches!(parse(&pair(4, 8), 7), Err(HeaderError::TensorBeyondFile { end: 8, data_bytes: 7, .. })));
    assert!(matches!(parse(&pair(4, 8), 9), Err(HeaderError::TrailingBytes { tensors_end: 8, data_bytes: 9 })));
    assert!(matches!(parse(&pair(8, 4), 8), Err(HeaderError::Reversed { start: 8, end: 4, .. })));
    assert!(matches!(parse("{}", 1), Err(HeaderError::TrailingBytes { .. })));
    assert!(reason(&pair(5, 9), 9).contains("1 bytes belong to no tensor"));
}

#[test]
fn shape_and_dtype_have_to_fit_the_bytes() {
    let one = |dtype, shape, end| format!("{{{}}}", tensor("a", dtype, shape, 0, end));
    assert_eq!(
        parse(&one("BF16", "[3]", 5), 5).unwrap_err().to_string(),
        "tensor \"a\" of shape [3] and dtype BF16 needs 6 bytes; its offsets give it 5"
    );
    for shape in ["[4294967296,4294967296]", "[18446744073709551615,2]", "[2305843009213693952]"] {
        assert!(matches!(parse(&one("F32", shape, 8), 8), Err(HeaderError::ShapeOverflow { .. })), "{shape}");
    }
    assert!(matches!(parse(&one("F4", "[3]", 2), 2), Err(HeaderError::PartialByte { .. })));
    assert!(parse(&one("F4", "[4]", 2), 2).is_ok());
    assert!(parse(&one("U8", "[1,1,1,1,1,1,1,1]", 1), 1).is_ok());
    assert!(reason(&one("U8", "[1,1,1,1,1,1,1,1,1]", 1), 1).contains("more than 8 dimensions"));
    assert!(reason(&one("INT4", "[1]", 1), 1).contains("unknown dtype \"INT4\""));
}

#[test]
fn what_is_not_json_of_the_format_is_named() {
    let long_name = "n".repeat(MAX_TENSOR_NAME_BYTES + 1);
    for (json, part) in [
        ("", "does not begin with {"),
        (" {}", "does not begin with {"),
        ("[]", "does not begin with {"),
        ("{", "EOF"),
        ("{}x", "trailing"),
        (r#"{"a":1}"#, "expected an object with dtype, shape and data_offsets for tensor \"a\""),
        (r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, "tensor \"a\": invalid value: integer `-1`"),
        (r#"{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}"#, "floating point"),
        (r#"{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}}"#, "floating point"),
        (r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,-1]}}"#, "invalid value"),
        (r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}"#, "invalid length 1"),
        (r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}"#, "trailing characters"),
        (r#"{"a":{"dtype":"U8","shape":[1]}}"#, "is missing"),
        (r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":{"deep":[[[]]]}}}"#, "\"more\" is no field"),
        (r#"{"a":{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}"#, "\"b\" is no field"),
        (r#"{"__metadata__":{"a":{"b":1}}}"#, "a text in __metadata__"),
        (r#"{"__metadata__":1}"#, "an object of texts"),
        (r#"{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, "is empty"),
        (r#"{"a\u001b[31mb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, "printable ASCII"),
        (r#"{"é":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, "printable ASCII"),
        (&format!(r#"{{"{long_name}":{{}}}}"#), "is too long"),
    ] {
        let message = reason(json, 1);
        assert!(message.contains(part), "{json}: {message}");
        assert!(message.chars().count() < 500 && !message.contains(char::is_control), "{message}");
    }
    let not_utf8 = b"{\"\xff\":{}}";
    assert!(matches!(SafetensorsHeader::parse(not_utf8, 100), Err(HeaderError::Json { .. })));
    let nested = format!("{{\"__metadata__\":{{\"a\":{}", "[".repeat(1_000_000));
    assert!(parse(&nested, 0).is_err());
    // A long text from the file stays short in the message.
    let message = reason(&format!(r#"{{"a":{{"dtype":"{}"}}}}"#, "D\\n".repeat(100_000)), 1);
    assert!(message.chars().count() < 500 && !message.contains('\n'), "{message}");
}

#[test]
fn a_file_that_safetensors_writes_is_read() {
    let data = [1u8; 24];
    let view =
        |shape: Vec<usize>, bytes| safetensors::tensor::TensorView::new(Dtype::F32, shape, &data[..bytes]).unwrap();
    let tensors = [("model.norm.weight", view(vec![2, 3], 24)), ("lm_head.weight", view(vec![1], 4))];
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let file = safetensors::serialize(tensors, Some(metadata)).unwrap();
    let json_bytes = SafetensorsHeader::length(file[..8].try_into().unwrap(), file.len() as u64).unwrap();
    let header = SafetensorsHeader::parse(&file[8..8 + json_bytes as usize], file.len() as u64).unwrap();
    assert_eq!(header.tensors().len(), 2);
    assert_eq!(header.tensor("model.norm.weight").unwrap().shape, [2, 3]);
}

/// Small headers, most of them sound, with one thing or another wrong.
fn nearly_sound() -> impl Strategy<Value = (String, u64)> {
    let tensors = proptest::collection::vec(("[a-c]{1,2}", 0..3u64, 0..4u64, 0..12u32), 0..6);
    (tensors, 0..8u32).prop_map(|(tensors, end_fault)| {
        let mut at = 0;
        let mut fields = Vec::new();
        for (name, rows, columns, fault) in tensors {
            let start = at + u64::from(fault == 0);
            let end = start + 2 * rows * columns + u64::from(fault == 1);
            let dtype = ["BF16", "F32", "XX"][if fault < 2 { fault as usize } else { 0 }];
            fields.push(tensor(&name, dtype, &format!("[{rows},{columns}]"), start, end));
            at = end;
        }
        (format!("{{{}}}", fields.join(",")), at + u64::from(end_fault == 0))
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(json in proptest::collection::vec(any::<u8>(), 0..200), file_bytes in any::<u64>()) {
        let _ = SafetensorsHeader::parse(&json, file_bytes);
        let mut json = json;
        json.insert(0, b'{');
        let _ = SafetensorsHeader::parse(&json, 8 + json.len() as u64);
    }

    #[test]
    fn no_json_makes_it_panic(
        name in ".{0,5}", dtype in ".{0,5}|BF16|F4|C64", shape in proptest::collection::vec(any::<u64>(), 0..10),
        start in any::<u64>(), end in any::<u64>(), data_bytes in 0..u64::MAX / 2,
    ) {
        let name = serde_json::to_string(&name).unwrap();
        let dtype = serde_json::to_string(&dtype).unwrap();
        let json = format!(r#"{{{name}:{{"dtype":{dtype},"shape":{shape:?},"data_offsets":[{start},{end}]}}}}"#);
        let _ = parse(&json, data_bytes);
    }

    #[test]
    fn a_cut_header_is_refused(json in nearly_sound(), cut in 0.0..1.0f64) {
        let (json, data_bytes) = json;
        let cut = (json.len() as f64 * cut) as usize;
        prop_assert!(parse(&json[..cut], data_bytes).is_err());
    }

    #[test]
    fn what_is_taken_safetensors_takes_and_reads_alike(json in nearly_sound()) {
        let (json, data_bytes) = json;
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(json.as_bytes());
        file.resize(file.len() + data_bytes as usize, 0);
        let theirs = SafeTensors::read_metadata(&file);
        match parse(&json, data_bytes) {
            Ok(header) => {
                let (json_bytes, metadata) = theirs.expect(&json);
                prop_assert_eq!(header.tensors().len(), metadata.tensors().len());
                for (name, info) in metadata.tensors() {
                    let ours = header.tensor(&name).expect("the same names");
                    let start = (8 + json_bytes + info.data_offsets.0) as u64;
                    prop_assert_eq!(ours.file_range.start, start);
                    prop_assert_eq!(ours.size_bytes(), (info.data_offsets.1 - info.data_offsets.0) as u64);
                }
            }
            // safetensors knows no duplicates; all else that is wrong here it refuses too.
            Err(HeaderError::DuplicateName { .. }) => {}
            Err(error) => prop_assert!(theirs.is_err(), "{}: {}", error, json),
        }
    }
}
