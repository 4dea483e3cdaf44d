//! Rows of a parquet file, each a document.
//!
//! Only the columns that are asked for are read, row group by row group.

use std::{path::Path, sync::Arc};

use parquet::{
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
    schema::types::Type,
};
use plan::Columns;

use super::{
    Give, Item, Next,
    table::{document, places},
};
use crate::{
    error::{Error, Position},
    file::regular,
    quiet::caught,
};

/// Gives the rows of a file.
pub(super) fn read(path: &Path, columns: &Columns, give: &mut Give<'_>) -> Result<(), Error> {
    let file = regular(path)?;
    let fail = |error: &ParquetError| Error::new(path, words(error));
    let reader = trusting(|| SerializedFileReader::new(file)).map_err(|e| fail(&e))?;
    let schema = reader.metadata().file_metadata().schema();
    let fields = schema.get_fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let places = places(columns, &names, fields.len()).map_err(|m| Error::new(path, m))?;
    let mut wanted: Vec<usize> = places.into_iter().flatten().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let projected = wanted.iter().map(|&at| Arc::clone(&fields[at])).collect();
    let projection = Type::group_type_builder(schema.name())
        .with_fields(projected)
        .build()
        .map_err(|e| fail(&e))?;
    let mut rows = trusting(|| reader.get_row_iter(Some(projection))).map_err(|e| fail(&e))?;
    for place in (1..).map(Position::Row) {
        let Some(row) =
            trusting(|| rows.next().transpose()).map_err(|e| Error::at(path, place, words(&e)))?
        else {
            break;
        };
        let mut cells = [None, None];
        for (cell, column) in cells.iter_mut().zip(places) {
            let Some(column) = column else { continue };
            let at = wanted.partition_point(|&other| other < column);
            let field = row.get_column_iter().nth(at).map(|(_, field)| field);
            let text = field.map(|field| text_of(field, names[column])).transpose();
            *cell = text.map_err(|message| Error::at(path, place, message))?.flatten();
        }
        let [first, second] = &cells;
        let document = document(columns, [first.as_deref(), second.as_deref()], place)
            .map_err(|message| Error::at(path, place, message))?;
        if give(Item::Document(document))? == Next::Stop {
            break;
        }
    }
    Ok(())
}

/// A call of the reader, which trusts sizes in places that a damaged file can reach, and panics
/// there.
fn trusting<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let damaged = || ParquetError::General("the file is damaged; write it again".to_owned());
    caught(call).unwrap_or_else(|| Err(damaged()))
}

/// A cell as text; `None` where there is none.
fn text_of(field: &Field, column: &str) -> Result<Option<String>, String> {
    Ok(Some(match field {
        Field::Null => return Ok(None),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data())
            .map_err(|e| format!("column `{column}`: byte {} is not UTF-8", e.valid_up_to()))?
            .to_owned(),
        Field::Bool(yes) => yes.to_string(),
        Field::Byte(n) => n.to_string(),
        Field::Short(n) => n.to_string(),
        Field::Int(n) => n.to_string(),
        Field::Long(n) => n.to_string(),
        Field::UByte(n) => n.to_string(),
        Field::UShort(n) => n.to_string(),
        Field::UInt(n) => n.to_string(),
        Field::ULong(n) => n.to_string(),
        Field::Float16(_)
        | Field::Float(_)
        | Field::Double(_)
        | Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)
        | Field::Group(_)
        | Field::ListInternal(_)
        | Field::MapInternal(_) => {
            return Err(format!("column `{column}` holds neither text nor whole numbers"));
        }
    }))
}

/// The reader's words, or what to do where a codec is missing.
fn words(error: &ParquetError) -> String {
    let text = error.to_string();
    let codec = text.rsplit_once("Disabled feature at compile time: ").map(|(_, codec)| codec);
    match codec {
        Some(codec) => {
            format!("its pages are packed with {codec}; write it with snappy, gzip or none")
        }
        None => text,
    }
}
