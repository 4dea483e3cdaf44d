//! The interpreter on the same bytes.

use ir::eval::kernel::{Memory, eval_kernel};
use ir::eval::tensor::Data;
use ir::kernel::Kernel;
use ir::narrow;
use ir::schedule::{Arg, BufferId};
use ir::types::Dtype;

/// The bytes of all operands after the kernel ran.
pub(crate) fn run(kernel: &Kernel, operands: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let types: Vec<Dtype> = kernel.operands.iter().map(|o| o.dtype).collect();
    let data = operands.iter().zip(&types).map(|(bytes, &dtype)| read(dtype, bytes)).collect();
    let mut memory = Memory(data);
    let args: Vec<Arg> =
        (0..types.len()).map(|i| Arg { buffer: BufferId(i as u32), offset: 0 }).collect();
    eval_kernel(kernel, &mut memory, &args);
    memory.0.iter().zip(&types).map(|(data, &dtype)| write(dtype, data)).collect()
}

fn read(dtype: Dtype, bytes: &[u8]) -> Data {
    let width = dtype.bytes() as usize;
    let mut data = Data::zeros(dtype, bytes.len() / width);
    for (at, element) in bytes.chunks_exact(width).enumerate() {
        if dtype.is_narrow() {
            let number = narrow::unpack(dtype, u16::from_le_bytes([element[0], element[1]]));
            data.set_bits(at, u64::from(number.to_bits()));
            continue;
        }
        let mut bits = [0; 8];
        bits[..width].copy_from_slice(element);
        data.set_bits(at, u64::from_le_bytes(bits));
    }
    data
}

fn write(dtype: Dtype, data: &Data) -> Vec<u8> {
    let width = dtype.bytes() as usize;
    if dtype.is_narrow() {
        let number = |at: usize| f32::from_bits(data.bits(at) as u32);
        return (0..data.len())
            .flat_map(|at| narrow::pack(dtype, number(at)).to_le_bytes())
            .collect();
    }
    (0..data.len()).flat_map(|at| data.bits(at).to_le_bytes()[..width].to_vec()).collect()
}

/// Makes every NaN the interpreter's: that of hardware has other bits.
pub(crate) fn one_nan(dtype: Dtype, bytes: &mut [u8]) {
    for element in bytes.chunks_exact_mut(dtype.bytes() as usize) {
        let mut all = [0; 8];
        all[..element.len()].copy_from_slice(element);
        let bits = u64::from_le_bytes(all);
        let one = match dtype {
            Dtype::F32 if f32::from_bits(bits as u32).is_nan() => f32::NAN.to_bits().into(),
            Dtype::F64 if f64::from_bits(bits).is_nan() => f64::NAN.to_bits(),
            Dtype::F16 | Dtype::Bf16 if narrow::unpack(dtype, bits as u16).is_nan() => {
                narrow::pack(dtype, f32::NAN).into()
            }
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => bits,
            Dtype::I32 | Dtype::Bool => bits,
        };
        element.copy_from_slice(&one.to_le_bytes()[..element.len()]);
    }
}
