//! Files of ids, as nanoGPT and llm.c write them.
//!
//! Those of nanoGPT are nothing but 16-bit ids, those of llm.c have a header.
//! The header is 256 i32: a magic number, a version, the number of ids. All numbers are
//! little-endian. Every id is looked at before any of them is used.

use crate::{
    error::{Error, Position},
    mmap::Map,
    shard::{Shard, Width},
};

const HEADER_BYTES: usize = 1024;

/// Magic number, version and width of each form with a header.
const FORMS: [(i32, i32, Width); 2] = [(20_240_520, 1, Width::Two), (20_240_801, 7, Width::Four)];

/// The ids of a file, all of them below `vocab`.
pub(crate) fn open(map: Map, vocab: u64) -> Result<Shard, Error> {
    let path = map.path().to_owned();
    let bytes = map.bytes()?;
    let (start, width) = layout(&map, bytes)?;
    let n = (bytes.len() - start) / width.bytes();
    if n == 0 {
        return Err(Error::new(path, "the file holds no id"));
    }
    let found = match width {
        Width::Two => first_beyond::<2>(&bytes[start..], vocab),
        Width::Four => first_beyond::<4>(&bytes[start..], vocab),
        Width::One => unreachable!("files of ids have at least 16 bits an id"),
    };
    if let Some((i, id)) = found {
        let at = Position::Byte((start + i * width.bytes()) as u64);
        let message = format!(
            "id {id} is not below {vocab}, the size of the vocabulary; \
             name the tokenizer that made the file"
        );
        return Err(Error::at(path, at, message));
    }
    Ok(Shard::of_ids(map, start, width, n as u64))
}

/// Where the ids start and how wide they are.
fn layout(map: &Map, bytes: &[u8]) -> Result<(usize, Width), Error> {
    let number = |i: usize| {
        let four = bytes.get(4 * i..4 * i + 4).and_then(|b| b.try_into().ok());
        four.map(i32::from_le_bytes)
    };
    let fail =
        |at: usize, message: String| Error::at(map.path(), Position::Byte(at as u64), message);
    let Some((_, version, width)) = FORMS.into_iter().find(|(m, ..)| Some(*m) == number(0)) else {
        if !bytes.len().is_multiple_of(2) {
            let message = "the last id is cut: ids have 2 bytes and the number of bytes is odd; \
                           write the file again";
            return Err(fail(bytes.len() - 1, message.to_owned()));
        }
        return Ok((0, Width::Two));
    };
    if bytes.len() < HEADER_BYTES {
        return Err(fail(
            bytes.len(),
            "the file ends inside of its header of 1024 bytes".to_owned(),
        ));
    }
    if number(1) != Some(version) {
        let found = number(1).unwrap_or_default();
        return Err(fail(4, format!("version {found} of the format is not known, {version} is")));
    }
    let stated = number(2).unwrap_or_default();
    let body = bytes.len() - HEADER_BYTES;
    let wanted = u64::try_from(stated).ok().map(|n| n * width.bytes() as u64);
    if wanted != Some(body as u64) {
        let held = body / width.bytes();
        let rest = body % width.bytes();
        let cut = if rest == 0 { String::new() } else { format!(" and {rest} bytes") };
        let message =
            format!("the header states {stated} ids, the file holds {held}{cut}; write it again");
        return Err(fail(bytes.len(), message));
    }
    Ok((HEADER_BYTES, width))
}

/// The first id that is not below `vocab`, with its number.
fn first_beyond<const N: usize>(bytes: &[u8], vocab: u64) -> Option<(usize, u64)> {
    let id = |b: &[u8; N]| b.iter().rev().fold(0, |id, &b| id << 8 | u64::from(b));
    let (ids, _) = bytes.as_chunks::<N>();
    ids.iter().map(id).enumerate().find(|(_, id)| *id >= vocab)
}
