//! Opens a file as bytes, unpacked where its first bytes say that it is packed.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::{error::Error, file::regular};

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a file is packed.
enum Packing {
    Gzip,
    Zstd,
    /// In a way that is not read here.
    Other(&'static str),
}

impl Packing {
    /// By its first bytes. Of formats whose mark could be the start of a text, more is asked.
    fn of(start: &[u8]) -> Option<Packing> {
        let is = |mark: &[u8]| start.starts_with(mark);
        if is(&[0x1f, 0x8b]) {
            Some(Packing::Gzip)
        } else if is(&ZSTD) || skips(start) {
            Some(Packing::Zstd)
        } else if is(b"\xfd7zXZ\0") {
            Some(Packing::Other("xz"))
        } else if is(b"BZh") && start.get(4..10) == Some(b"1AY&SY") {
            Some(Packing::Other("bzip2"))
        } else if is(b"PK\x03\x04") {
            Some(Packing::Other("zip"))
        } else if is(b"7z\xbc\xaf\x27\x1c") {
            Some(Packing::Other("7z"))
        } else if is(&[0x04, 0x22, 0x4d, 0x18]) {
            Some(Packing::Other("lz4"))
        } else {
            None
        }
    }
}

/// Whether a frame of zstd says nothing (RFC 8878, 3.1.2): 0x184d2a50 to 0x184d2a5f, the number of
/// its bytes, and those.
fn skips(start: &[u8]) -> bool {
    start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == [0x2a, 0x4d, 0x18]
}

/// The first bytes of a file as it is on the disk.
pub(super) fn first_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let mut start = Vec::new();
    let mut file = regular(path)?.take(4096);
    file.read_to_end(&mut start).map_err(|e| Error::new(path, e))?;
    Ok(start)
}

/// Whether a file is packed.
pub(crate) fn is_packed(path: &Path) -> Result<bool, Error> {
    Ok(Packing::of(&first_bytes(path)?).is_some())
}

/// The bytes of a file, unpacked.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    let mut file = regular(path)?;
    let mut start = [0; 16];
    let n = fill(&mut file, &mut start).map_err(|e| Error::new(path, e))?;
    file.rewind().map_err(|e| Error::new(path, e))?;
    let reader = BufReader::with_capacity(1 << 16, file);
    match Packing::of(&start[..n]) {
        None => Ok(Box::new(reader)),
        Some(Packing::Gzip) => Ok(Box::new(MultiGzDecoder::new(reader))),
        Some(Packing::Zstd) => Ok(Box::new(Frames { source: Some(reader), frame: None })),
        Some(Packing::Other(how)) => {
            let message =
                format!("packed with {how}, which is not read; unpack it, or use gzip or zstd");
            Err(Error::new(path, message))
        }
    }
}

/// Reads until `buffer` is full or the source has ended.
pub(super) fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match source.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(read) => n += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

type Source = BufReader<File>;

/// The frames of a zstd file, one behind the other.
struct Frames {
    /// Between frames.
    source: Option<Source>,
    /// Inside of one.
    frame: Option<Box<StreamingDecoder<Source, FrameDecoder>>>,
}

impl Read for Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        use std::io::BufRead;
        let invalid =
            |e: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, e.to_string());
        loop {
            if let Some(frame) = &mut self.frame {
                let n = frame.read(out)?;
                if n > 0 || out.is_empty() {
                    return Ok(n);
                }
                self.source = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let mut head = [0; 8];
            let n = fill(&mut source, &mut head)?;
            if n == 8 && skips(&head) {
                let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
                if io::copy(&mut (&mut source).take(length), &mut io::sink())? < length {
                    return Err(invalid(&"the file ends inside of a frame"));
                }
                self.source = Some(source);
                continue;
            }
            source.seek_relative(-(n as i64))?;
            let frame = StreamingDecoder::new(source).map_err(|e| invalid(&e))?;
            self.frame = Some(Box::new(frame));
        }
    }
}
