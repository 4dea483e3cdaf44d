//! The safetensors format: a strict reader of headers, and our header.
//!
//! In: any bytes. Out: names, element types, shapes and places that cover the data exactly, or a
//! sentence that names the tensor. No more than [`MAX_HEADER_BYTES`] is allocated, whatever the
//! file claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Read,
};

use plan::Dtype;
use serde::{Deserialize, Deserializer, de};

/// Longest header.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// Most tensors of a file.
const MAX_TENSORS: usize = 100_000;
/// Longest name.
const MAX_NAME_BYTES: usize = 256;
/// Highest rank.
const MAX_RANK: usize = 8;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its element type as the format writes it: `F32`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// First byte, counted from the start of the file.
    pub start: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The format's word for an element type.
pub fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "F32",
        Dtype::F64 => "F64",
        Dtype::F16 => "F16",
        Dtype::Bf16 => "BF16",
        Dtype::I32 => "I32",
    }
}

/// The element type that the format writes so, when it is one of ours.
pub fn dtype_of(name: &str) -> Option<Dtype> {
    Dtype::ALL.into_iter().find(|&dtype| dtype_name(dtype) == name)
}

fn element_bytes(dtype: &str) -> Option<u64> {
    match dtype {
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" => Some(1),
        "U16" | "I16" | "F16" | "BF16" => Some(2),
        "U32" | "I32" | "F32" => Some(4),
        "U64" | "I64" | "F64" => Some(8),
        _ => None,
    }
}

/// The header for tensors `(name, dtype, shape, bytes)` stored in this order, length included.
pub fn header<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, &'a [u64], u64)>) -> Vec<u8> {
    let mut json = String::from("{");
    let mut at = 0;
    for (name, dtype, shape, bytes) in tensors {
        if at > 0 || json.len() > 1 {
            json.push(',');
        }
        let name = serde_json::Value::from(name);
        let (dtype, end) = (dtype_name(dtype), at + bytes);
        json += &format!(
            "{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{at},{end}]}}"
        );
        at = end;
    }
    json.push('}');
    // Data start at a multiple of 8, as the format recommends.
    while json.len() % 8 != 0 {
        json.push(' ');
    }
    let mut out = (json.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(json.as_bytes());
    out
}

/// The tensors of a file of `file_bytes` bytes, by place; the reader stands behind the header.
pub fn read_header(from: &mut impl Read, file_bytes: u64) -> Result<Vec<Entry>, String> {
    let mut start = [0; 8];
    from.read_exact(&mut start).map_err(|_| {
        format!("the file has {file_bytes} bytes, too few for the length of a safetensors header")
    })?;
    refuse_pickle(start)?;
    let length = u64::from_le_bytes(start);
    if length > MAX_HEADER_BYTES {
        return Err(format!("the header claims {length} bytes; the limit is {MAX_HEADER_BYTES}"));
    }
    if length > file_bytes.saturating_sub(8) {
        return Err(format!("the header claims {length} bytes, the file has {file_bytes} in all"));
    }
    if length < 2 {
        return Err(format!("the header claims {length} bytes, too few for one"));
    }
    let mut json = vec![0; usize::try_from(length).expect("at most 16 MiB")];
    from.read_exact(&mut json).map_err(|e| format!("the header cannot be read: {e}"))?;
    let top: Top = serde_json::from_slice(&json).map_err(|e| format!("the header: {e}"))?;
    place(top.0, 8 + length, file_bytes)
}

fn refuse_pickle(start: [u8; 8]) -> Result<(), String> {
    if start.starts_with(b"PK\x03\x04") || (start[0] == 0x80 && (2..=5).contains(&start[1])) {
        return Err("this is a pickle, which can run code when loaded; \
                    convert it to safetensors where it was made"
            .to_owned());
    }
    if start.starts_with(b"GGUF") {
        return Err("this is a GGUF file, not safetensors".to_owned());
    }
    Ok(())
}

/// Checks what each tensor says of itself, then that they cover the data without holes.
fn place(
    infos: Vec<(String, Info)>,
    data_start: u64,
    file_bytes: u64,
) -> Result<Vec<Entry>, String> {
    let data_bytes = file_bytes - data_start;
    let mut entries = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        let bytes = info.check(data_bytes).map_err(|e| format!("tensor {name:?}: {e}"))?;
        let start = data_start + info.data_offsets.0;
        entries.push(Entry { name, dtype: info.dtype, shape: info.shape, start, bytes });
    }
    entries.sort_by(|a, b| (a.start, a.bytes, &a.name).cmp(&(b.start, b.bytes, &b.name)));
    let mut at = data_start;
    for entry in &entries {
        if entry.start < at {
            return Err(format!("tensor {:?}: overlaps the one before it", entry.name));
        }
        if entry.start > at {
            return Err(format!(
                "tensor {:?}: {} unused bytes before it",
                entry.name,
                entry.start - at
            ));
        }
        at += entry.bytes;
    }
    if at != file_bytes {
        return Err(format!("{} bytes behind the last tensor", file_bytes - at));
    }
    Ok(entries)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Info {
    /// The size, when everything said fits together.
    fn check(&self, data_bytes: u64) -> Result<u64, String> {
        let Some(element) = element_bytes(&self.dtype) else {
            return Err(format!("unknown element type {:?}", self.dtype));
        };
        if self.shape.len() > MAX_RANK {
            return Err(format!("rank {}; the limit is {MAX_RANK}", self.shape.len()));
        }
        let size = self.shape.iter().try_fold(element, |n, &dim| n.checked_mul(dim));
        let size = size.ok_or_else(|| format!("the shape {:?} is too large", self.shape))?;
        let (begin, end) = self.data_offsets;
        let given = end.checked_sub(begin);
        let given =
            given.ok_or_else(|| format!("it ends at {end}, before it begins at {begin}"))?;
        if end > data_bytes {
            return Err(format!("it ends at byte {end} of {data_bytes}"));
        }
        if given != size {
            let shape = &self.shape;
            return Err(format!("{given} bytes, but {} {shape:?} takes {size}", self.dtype));
        }
        Ok(size)
    }
}

/// The header's object with its keys in order; a plain map would hide doubled names.
struct Top(Vec<(String, Info)>);

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> de::Visitor<'de> for Names {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut found = Vec::new();
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("the name {name:?} stands twice")));
            }
            if name == "__metadata__" {
                map.next_value::<BTreeMap<String, String>>()?;
                continue;
            }
            check_name(&name).map_err(de::Error::custom)?;
            found.push((name, map.next_value()?));
            if found.len() > MAX_TENSORS {
                return Err(de::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
        }
        Ok(Top(found))
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(format!("a name of {} bytes; allowed are 1 to {MAX_NAME_BYTES}", name.len()));
    }
    if name.chars().any(char::is_control) || name.split(['/', '\\']).any(|part| part == "..") {
        return Err(format!("the name {name:?} is not allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str, data: usize) -> Vec<u8> {
        let mut out = (json.len() as u64).to_le_bytes().to_vec();
        out.extend_from_slice(json.as_bytes());
        out.resize(out.len() + data, 0);
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<Entry>, String> {
        read_header(&mut &bytes[..], bytes.len() as u64)
    }

    #[track_caller]
    fn refused(bytes: &[u8], why: &str) {
        let error = read(bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let tensors = [
            ("a\"b", Dtype::F32, &[2u64, 3][..], 24),
            ("c", Dtype::F64, &[], 8),
            ("d", Dtype::Bf16, &[1], 2),
            ("e", Dtype::F16, &[3], 6),
        ];
        let mut bytes = header(tensors.into_iter());
        assert_eq!(bytes.len() % 8, 0);
        let start = bytes.len() as u64;
        bytes.resize(bytes.len() + 40, 0);
        let entries = read(&bytes).unwrap();
        assert_eq!(entries[0].name, "a\"b");
        assert_eq!((entries[0].start, entries[0].bytes), (start, 24));
        assert_eq!((entries[1].start, entries[1].shape.len()), (start + 24, 0));
        assert_eq!((entries[2].dtype.as_str(), entries[2].bytes), ("BF16", 2));
        assert_eq!((entries[3].dtype.as_str(), entries[3].bytes), ("F16", 6));
        assert_eq!(read(&header(std::iter::empty())).unwrap(), []);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        refused(b"1234567", "has 7 bytes");
        refused(&(1u64 << 63).to_le_bytes(), "limit is 16777216");
        refused(&1000u64.to_le_bytes(), "the file has 8");
        refused(&0u64.to_le_bytes(), "too few for one");
    }

    #[test]
    fn pickles_are_refused_by_content() {
        refused(b"PK\x03\x04\0\0\0\0more", "pickle");
        refused(b"\x80\x02ctorch\nmore", "pickle");
    }

    #[test]
    fn places_that_do_not_fit_are_refused_by_name() {
        let two = |a: &str, b: &str, data| {
            let tensor =
                |at: &str| format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":[{at}]}}"#);
            file(&format!(r#"{{"x":{},"y":{}}}"#, tensor(a), tensor(b)), data)
        };
        assert_eq!(read(&two("8,16", "0,8", 16)).unwrap()[0].name, "y");
        refused(&two("0,8", "4,12", 12), "\"y\": overlaps");
        refused(&two("0,8", "12,20", 20), "\"y\": 4 unused bytes");
        refused(&two("0,8", "8,16", 12), "\"y\": it ends at byte 16 of 12");
        refused(&two("0,8", "8,16", 17), "1 bytes behind");
        refused(&two("0,8", "16,8", 16), "before it begins");
        refused(&two("0,8", "-8,0", 16), "invalid value");
        refused(&two("0,8", "8,12", 12), "4 bytes, but F32 [2] takes 8");
    }

    #[test]
    fn shapes_and_types_are_checked() {
        let one = |dtype: &str, shape: &str| {
            let json =
                format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,4]}}}}"#);
            file(&json, 4)
        };
        refused(&one("F32", "[4294967296,4294967296]"), "too large");
        refused(&one("F32", "[1,1,1,1,1,1,1,1,1]"), "rank 9");
        refused(&one("Q4", "[1]"), "unknown element type");
        refused(&one("F32", "[1.5]"), "invalid type");
    }

    #[test]
    fn names_and_metadata_are_checked() {
        let tensor = r#"{"dtype":"F32","shape":[],"data_offsets":[0,4]}"#;
        refused(&file(&format!(r#"{{"x":{tensor},"x":{tensor}}}"#), 4), "stands twice");
        refused(&file(&format!(r#"{{"a/../b":{tensor}}}"#), 4), "not allowed");
        refused(&file(&format!(r#"{{"a\u0000":{tensor}}}"#), 4), "not allowed");
        refused(&file(&format!(r#"{{"":{tensor}}}"#), 4), "0 bytes");
        refused(&file(r#"{"__metadata__":{"a":1}}"#, 0), "expected a string");
        let twice = r#"{"x":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
        refused(&file(twice, 4), "duplicate field");
        refused(&file(&"[".repeat(1_000_000), 0), "the header");
    }

    #[test]
    fn a_million_tensors_are_refused() {
        let tensor = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        let many: Vec<String> = (0..100_001).map(|i| format!(r#""{i}":{tensor}"#)).collect();
        refused(&file(&format!("{{{}}}", many.join(",")), 0), "more than 100000");
    }
}
