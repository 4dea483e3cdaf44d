//! Weights as numbers, whatever they are stored in.

use plan::{BufferId, Dtype};

use crate::device::cpu::widen_f16;
use crate::error::Error;
use crate::executor::Executor;

/// What a buffer of real numbers holds, by rows.
pub fn values(executor: &mut Executor, id: BufferId) -> Result<Vec<f32>, Error> {
    executor.fetch_buffer(id)?;
    let dtype = executor.plan()[id].dtype;
    let bytes = executor.memory().bytes(id);
    let half = |pair: &[u8]| u16::from_le_bytes([pair[0], pair[1]]);
    Ok(match dtype {
        Dtype::F32 => executor.memory().f32(id).to_vec(),
        Dtype::F64 => executor.memory().f64(id).iter().map(|&x| x as f32).collect(),
        Dtype::F16 => bytes.chunks_exact(2).map(|pair| widen_f16(half(pair))).collect(),
        Dtype::Bf16 => {
            let upper = |pair: &[u8]| f32::from_bits(u32::from(half(pair)) << 16);
            bytes.chunks_exact(2).map(upper).collect()
        }
        Dtype::I32 => executor.memory().i32(id).iter().map(|&n| n as f32).collect(),
    })
}
