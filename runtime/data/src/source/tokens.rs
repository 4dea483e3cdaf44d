//! Files of ids, as nanoGPT and llm.c write them.
//!
//! Those of nanoGPT are nothing but 16-bit ids, those of llm.c have a header.
//! The header is 256 i32: a magic number, a version, the number of ids. All numbers are
//! little-endian. Every id is looked at before any of them is used.

use crate::{
    error::{Error, Position},
    file::Original,
    shard::{Shard, Width},
};

const HEADER_BYTES: u64 = 1024;

/// Magic number, version and width of each form with a header.
const FORMS: [(i32, i32, Width); 2] = [(20_240_520, 1, Width::Two), (20_240_801, 7, Width::Four)];

/// The ids of a file, all of them below `vocab`.
pub(crate) fn open(file: Original, vocab: u64) -> Result<Shard, Error> {
    let (start, width) = layout(&file)?;
    let n = (file.len() - start) / width.bytes() as u64;
    if n == 0 {
        return Err(Error::new(file.path(), "the file holds no id"));
    }
    file.read(|at, bytes| {
        let before = usize::try_from(start.saturating_sub(at)).expect("a header is short");
        let ids = &bytes[before.min(bytes.len())..];
        let found = match width {
            Width::Two => first_beyond::<2>(ids, vocab),
            Width::Four => first_beyond::<4>(ids, vocab),
            Width::One => unreachable!("files of ids have at least 16 bits an id"),
        };
        let Some((i, id)) = found else { return Ok(()) };
        let at = Position::Byte(at + (before + i * width.bytes()) as u64);
        let message = format!(
            "id {id} is not below {vocab}, the size of the vocabulary; \
             name the tokenizer that made the file"
        );
        Err(Error::at(file.path(), at, message))
    })?;
    let start = usize::try_from(start).expect("a header is short");
    Ok(Shard::of_ids(file, start, width, n))
}

/// Where the ids start and how wide they are.
fn layout(file: &Original) -> Result<(u64, Width), Error> {
    let len = file.len();
    let n = usize::try_from(len.min(HEADER_BYTES)).expect("a header is short");
    let header = file.start(n)?;
    let number = |i: usize| {
        let four = header.get(4 * i..4 * i + 4).and_then(|b| b.try_into().ok());
        four.map(i32::from_le_bytes)
    };
    let fail = |at: u64, message: String| Error::at(file.path(), Position::Byte(at), message);
    let Some((_, version, width)) = FORMS.into_iter().find(|(m, ..)| Some(*m) == number(0)) else {
        if !len.is_multiple_of(2) {
            let message = "the last id is cut: ids have 2 bytes and the number of bytes is odd; \
                           write the file again";
            return Err(fail(len - 1, message.to_owned()));
        }
        return Ok((0, Width::Two));
    };
    if len < HEADER_BYTES {
        return Err(fail(len, "the file ends inside of its header of 1024 bytes".to_owned()));
    }
    if number(1) != Some(version) {
        let found = number(1).unwrap_or_default();
        return Err(fail(4, format!("version {found} of the format is not known, {version} is")));
    }
    let stated = number(2).unwrap_or_default();
    let (body, of_id) = (len - HEADER_BYTES, width.bytes() as u64);
    if u64::try_from(stated).ok().map(|n| n * of_id) != Some(body) {
        let (held, rest) = (body / of_id, body % of_id);
        let cut = if rest == 0 { String::new() } else { format!(" and {rest} bytes") };
        let message =
            format!("the header states {stated} ids, the file holds {held}{cut}; write it again");
        return Err(fail(len, message));
    }
    Ok((HEADER_BYTES, width))
}

/// The first id that is not below `vocab`, with its number.
fn first_beyond<const N: usize>(bytes: &[u8], vocab: u64) -> Option<(usize, u64)> {
    let id = |b: &[u8; N]| b.iter().rev().fold(0, |id, &b| id << 8 | u64::from(b));
    let (ids, _) = bytes.as_chunks::<N>();
    ids.iter().map(id).enumerate().find(|(_, id)| *id >= vocab)
}
