//! Opens a file as bytes, unpacked where its first bytes say that it is packed.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::error::Error;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A regular file, as [`crate::mmap::Map::open`] asks for it.
pub(super) fn regular(path: &Path) -> Result<File, Error> {
    let read = |source: io::Error| Error::new(path, source);
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let is_file = |meta: std::fs::Metadata| meta.is_file();
    if !is_file(std::fs::metadata(path).map_err(read)?) {
        return Err(Error::new(path, "not a regular file"));
    }
    let file = File::open(path).map_err(read)?;
    let meta = file.metadata().map_err(read)?;
    if !meta.is_file() {
        return Err(Error::new(path, "not a regular file"));
    }
    if meta.len() == 0 {
        return Err(Error::new(path, "the file is empty"));
    }
    Ok(file)
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
    let start = first_bytes(path)?;
    Ok(start.starts_with(&GZIP) || start.starts_with(&ZSTD))
}

/// The bytes of a file, unpacked.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    let mut file = regular(path)?;
    let mut start = [0; 4];
    let n = fill(&mut file, &mut start).map_err(|e| Error::new(path, e))?;
    file.rewind().map_err(|e| Error::new(path, e))?;
    let reader = BufReader::with_capacity(1 << 16, file);
    if start[..n].starts_with(&GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(reader)));
    }
    if start[..n] == ZSTD {
        return Ok(Box::new(Frames { source: Some(reader), frame: None }));
    }
    Ok(Box::new(reader))
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
    frame: Option<Box<StreamingDecoder<Source, ruzstd::decoding::FrameDecoder>>>,
}

impl Read for Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        use std::io::BufRead;
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
            let frame = StreamingDecoder::new(source)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            self.frame = Some(Box::new(frame));
        }
    }
}
